import { constants, createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { addAbortSignal, Readable } from 'node:stream';
import { StoragePathError } from '../errors.ts';
import { MissingFileError, type Storage, type StoredFile, type WriteOptions } from './storage.ts';
import { storagePathProblem } from './storage-path.ts';

const PARTIAL = '.partial-';

/** A directory below the backup root. Errors: `StoragePathError` for one that leads out of it. */
export async function localStorage(root: string, path: string): Promise<Storage> {
  const directory = await insideRoot(root, path);
  return {
    type: 'local',
    where: directory,
    write: (name, content, options) => writeWhole(directory, name, content, options),
    async read(name) {
      const handle = await openPlain(join(directory, name));
      return createReadStream('', { fd: handle, highWaterMark: 1024 * 1024 });
    },
    async readText(name) {
      const handle = await openPlain(join(directory, name));
      try {
        return await handle.readFile('utf8');
      } finally {
        await handle.close();
      }
    },
  };
}

/** Follows no link in the last step. */
async function openPlain(path: string) {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new MissingFileError(path);
    throw error;
  }
}

/** The real directory, made where it is missing. What exists of it is resolved before anything is made, and all of it afterwards. */
async function insideRoot(root: string, path: string): Promise<string> {
  const problem = storagePathProblem(path);
  if (problem !== null) throw new StoragePathError(path, problem);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const realRoot = await realpath(root);
  const wanted = resolve(realRoot, path);
  demandInside(realRoot, await realpath(await deepestExisting(wanted)), path);
  await mkdir(wanted, { recursive: true, mode: 0o700 });
  const real = await realpath(wanted);
  demandInside(realRoot, real, path);
  return real;
}

async function deepestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    try {
      await lstat(at);
      return at;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

function demandInside(root: string, real: string, path: string): void {
  if (real !== root && !real.startsWith(root.endsWith(sep) ? root : `${root}${sep}`))
    throw new StoragePathError(path, 'a link in it leads out of BACKUP_ROOT');
}

/** Written under another name, synced, renamed, and the directory synced: a crash leaves nothing under `name`. */
async function writeWhole(directory: string, name: string, content: Readable, options: WriteOptions): Promise<void> {
  const mine = `${PARTIAL}${options.attempt}`;
  for (const left of await readdir(directory)) {
    if (left.startsWith(mine)) await rm(join(directory, left), { force: true });
  }
  const partial = join(directory, `${mine}-${name}`);
  const handle = await open(
    partial,
    constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    try {
      for await (const chunk of addAbortSignal(options.signal, content)) {
        await handle.writeFile(chunk as Buffer);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    options.signal.throwIfAborted();
    await rename(partial, join(directory, name));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  const folder = await open(directory, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Files below the root whose name ends so, by path. */
export async function listLocal(root: string, suffix: string): Promise<StoredFile[]> {
  const found: StoredFile[] = [];
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    },
  );
  for (const entry of entries) {
    if (!entry.isFile() || !entry.name.endsWith(suffix) || entry.name.startsWith(PARTIAL)) continue;
    found.push({ path: relative(root, entry.parentPath).split(sep).join('/'), name: entry.name });
  }
  return found.sort((a, b) => `${a.path}/${a.name}`.localeCompare(`${b.path}/${b.name}`));
}

/** For small texts. */
export function textStream(text: string): Readable {
  return Readable.from([Buffer.from(text)]);
}
