import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { forgetProcess, type GuardSignal, watchProcess } from './guard.ts';

const MAX_LOG_BYTES = 20 * 1024 * 1024;
const LOG_TAIL_LINES = 12;

export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** True when it ended because somebody here asked for it. */
  expected: boolean;
}

export interface ServerProcessOptions {
  command: string;
  args: readonly string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  logFile: string;
  user?: { uid: number; gid: number };
  guardSignal: GuardSignal;
  guardGraceSeconds: number;
}

/** A server in its own process group, its output in a file, watched by the guard. */
export interface ServerProcess {
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  hasExited(): boolean;
  /** Sends the signals one after the other, each with its patience in milliseconds, until the process has ended. */
  end(steps: readonly [signal: NodeJS.Signals, patienceMs: number][]): Promise<void>;
}

/** Appends to `path`, which starts anew when it has become large. */
export function openLog(path: string): number {
  try {
    if (statSync(path).size > MAX_LOG_BYTES) truncateSync(path);
  } catch {
    // No log yet.
  }
  return openSync(path, 'a', 0o600);
}

export function readLogTail(path: string): string {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  } catch {
    return '';
  }
}

function spawned(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? -1));
  });
}

async function endBySteps(
  child: ChildProcess,
  exited: Promise<ServerExit>,
  steps: readonly [NodeJS.Signals, number][],
): Promise<void> {
  for (const [signal, patienceMs] of steps) {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<'late'>((resolve) => {
      timer = setTimeout(resolve, patienceMs, 'late');
    });
    const first = await Promise.race([exited, patience]);
    clearTimeout(timer);
    if (first !== 'late') return;
  }
  await exited;
}

/** @throws the spawn error (ENOENT, EACCES) when the command can't be run. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const log = openLog(options.logFile);
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['ignore', log, log],
    ...options.user,
  });
  closeSync(log);
  let asked = false;
  const exited = new Promise<ServerExit>((resolve) => {
    child.once('exit', (code, signal) => {
      if (child.pid !== undefined) forgetProcess(child.pid);
      resolve({ code, signal, expected: asked });
    });
  });
  const pid = await spawned(child);
  watchProcess(pid, options.guardSignal, options.guardGraceSeconds);
  return {
    pid,
    exited,
    hasExited: () => child.exitCode !== null || child.signalCode !== null,
    end(steps) {
      asked = true;
      return endBySteps(child, exited, steps);
    },
  };
}
