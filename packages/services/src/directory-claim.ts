import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AlreadyRunningError } from './errors.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from './process-identity.ts';

interface ClaimFile {
  owner: ProcessIdentity;
  server: ProcessIdentity | null;
}

/** A directory that this process alone may run a server in, until `release`. */
export interface DirectoryClaim {
  /** The server of an owner that has died, if it still runs: reap it before starting another. */
  readonly leftover: ProcessIdentity | null;
  /** Writes down which process serves this directory, so that a later start can reap it. */
  recordServer(pid: number): void;
  release(): void;
}

const CLAIM_FILE = 'owner.json';

function readClaim(path: string): { text: string; claim: ClaimFile | null } | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  try {
    return { text, claim: JSON.parse(text) as ClaimFile };
  } catch {
    return { text, claim: null };
  }
}

/**
 * Moves a dead owner's claim out of the way. Rename is atomic: if another starter put its own claim there
 * since we read it, we moved that one, see it by its text, and put it back.
 */
function removeStale(path: string, expectedText: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (readFileSync(aside, 'utf8') !== expectedText) linkSync(aside, path);
  rmSync(aside, { force: true });
}

/**
 * Claims `dir` for this process.
 * @throws AlreadyRunningError naming the pid when a live process holds it.
 */
export function claimDirectory(dir: string, what: string): DirectoryClaim {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, CLAIM_FILE);
  const owner = identifyProcess(process.pid) ?? { pid: process.pid, startedAt: 'unknown' };
  let leftover: ProcessIdentity | null = null;
  for (;;) {
    try {
      writeFileSync(path, JSON.stringify({ owner, server: null } satisfies ClaimFile), { flag: 'wx', mode: 0o600 });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = readClaim(path);
    if (found === null) continue;
    if (found.claim !== null && isRunning(found.claim.owner)) {
      throw new AlreadyRunningError(what, dir, found.claim.owner.pid);
    }
    const server = found.claim?.server ?? null;
    if (server !== null && isRunning(server)) leftover = server;
    removeStale(path, found.text);
  }
  chmodSync(path, 0o600);
  return {
    leftover,
    recordServer(pid) {
      const server = identifyProcess(pid);
      const next = `${path}.next`;
      writeFileSync(next, JSON.stringify({ owner, server } satisfies ClaimFile), { mode: 0o600 });
      renameSync(next, path);
    },
    release() {
      rmSync(path, { force: true });
    },
  };
}
