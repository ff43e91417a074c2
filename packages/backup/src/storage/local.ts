import { constants, createReadStream, type Dirent } from 'node:fs';
import { lstat, mkdir, open, readdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
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
    async sizeOf(name) {
      const handle = await openPlain(join(directory, name));
      try {
        return (await handle.stat()).size;
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

/** What a path runs into that is no directory: a file, a link to nothing, links in a circle. */
const NO_DIRECTORY: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'EEXIST', 'ELOOP']);

/** The real directory, made where it is missing. What exists of it is resolved before anything is made, and all of it afterwards. */
async function insideRoot(root: string, path: string): Promise<string> {
  const problem = storagePathProblem(path);
  if (problem !== null) throw new StoragePathError(path, problem);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const realRoot = await realpath(root);
  try {
    const wanted = resolve(realRoot, path);
    demandInside(realRoot, await realpath(await deepestExisting(wanted)), path);
    await mkdir(wanted, { recursive: true, mode: 0o700 });
    const real = await realpath(wanted);
    demandInside(realRoot, real, path);
    return real;
  } catch (error) {
    if (!NO_DIRECTORY.has((error as NodeJS.ErrnoException).code)) throw error;
    throw new StoragePathError(path, 'it leads to something that is no directory', { cause: error });
  }
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
  await removePartials(directory, mine);
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

/** No run writes for so long (the longest timeout of a run is a day). */
const DEAD_AFTER_MS = 2 * 86_400_000;

/** What earlier attempts of this run left, and runs that were killed and never tried again: they would fill the disk for ever. */
async function removePartials(directory: string, mine: string): Promise<void> {
  for (const left of await readdir(directory)) {
    if (!left.startsWith(PARTIAL)) continue;
    const path = join(directory, left);
    if (left.startsWith(mine) || (await isDead(path))) await rm(path, { force: true });
  }
}

async function isDead(path: string): Promise<boolean> {
  // Another run may rename its file, or remove it, meanwhile.
  const found = await lstat(path).catch(() => null);
  return found !== null && Date.now() - found.mtimeMs > DEAD_AFTER_MS;
}

/** Files below the root whose name ends so, by path. Directories that could not be a backup's (`lost+found`) are not looked into. */
export async function listLocal(root: string, suffix: string): Promise<StoredFile[]> {
  const found: StoredFile[] = [];
  const open = [''];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    for (const entry of await entriesOf(join(root, path))) {
      const below = path === '' ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory() && storagePathProblem(below) === null) open.push(below);
      else if (entry.isFile() && entry.name.endsWith(suffix) && !entry.name.startsWith(PARTIAL))
        found.push({ path, name: entry.name });
    }
  }
  return found.sort((a, b) => `${a.path}/${a.name}`.localeCompare(`${b.path}/${b.name}`));
}

/** None for a directory that is not there, or not any more. */
async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** For small texts. */
export function textStream(text: string): Readable {
  return Readable.from([Buffer.from(text)]);
}
