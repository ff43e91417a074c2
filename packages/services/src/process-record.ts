import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { identifyProcess, isRunning, type ProcessIdentity, reapProcess } from './process-identity.ts';

const REAP_GRACE_MS = 10_000;

/** The file that says which app processes a supervisor has, so that the next one can end those that outlived it. */
export interface ProcessRecord {
  add(pid: number): void;
  delete(pid: number): void;
}

function read(path: string): ProcessIdentity[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity[];
  } catch {
    return [];
  }
}

/** Ends what an earlier supervisor left behind and opens an empty record. Returns how many processes it ended. */
export async function openProcessRecord(path: string): Promise<{ record: ProcessRecord; reaped: number }> {
  const leftovers = read(path).filter(isRunning);
  await Promise.all(leftovers.map((identity) => reapProcess(identity, 'SIGTERM', REAP_GRACE_MS)));
  const processes = new Map<number, ProcessIdentity>();
  mkdirSync(dirname(path), { recursive: true });
  const save = () => {
    if (processes.size === 0) {
      rmSync(path, { force: true });
      return;
    }
    writeFileSync(`${path}.next`, JSON.stringify([...processes.values()]), { mode: 0o600 });
    renameSync(`${path}.next`, path);
  };
  save();
  const record: ProcessRecord = {
    add(pid) {
      const identity = identifyProcess(pid);
      if (identity === null) return;
      processes.set(pid, identity);
      save();
    },
    delete(pid) {
      if (processes.delete(pid)) save();
    },
  };
  return { record, reaped: leftovers.length };
}
