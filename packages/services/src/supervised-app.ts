import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { ChildNotReadyError } from './errors.ts';
import { forgetProcess, watchProcess } from './guard.ts';
import { openLog } from './server-process.ts';

export type AppRole = 'api' | 'worker';

/**
 * Node's flags for a worker. After eight seconds of rest V8 gives back what it allocates from, and under the next load maps it again page by page and
 * collects more often until it has grown: with four workers 2 to 5 of the 13 to 17 µs that one spends on a short run (decision 0019). V8's
 * collecting helper threads compete with Postgres for the cores, and the worker waits for them: without them a backlog drains a twentieth faster (0021).
 * With `gc` a worker collects while it has nothing in hand (0022).
 */
export const WORKER_NODE_FLAGS: readonly string[] = ['--no-memory-reducer', '--single-threaded-gc', '--expose-gc'];

export interface AppSpec {
  /** As the log and the events name it: `worker-1`. */
  name: string;
  role: AppRole;
  /** A JavaScript file; it sends `{type: 'ready'}` to its parent once it serves, and exits when the channel closes. */
  entry: string;
  args?: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Gets stdout and stderr. */
  logFile: string;
  /** Default 60 s. */
  readyTimeoutMs?: number;
}

export interface AppExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** One process of an app. */
export interface AppProcess {
  readonly pid: number;
  /** Rejects with ChildNotReadyError when it ends or stays silent. */
  readonly ready: Promise<void>;
  readonly exited: Promise<AppExit>;
  /** SIGTERM, then SIGKILL for its whole group after the patience. */
  stop(patienceMs: number): Promise<void>;
  kill(): void;
}

const READY_TIMEOUT_MS = 60_000;
const GUARD_GRACE_SECONDS = 35;

function isReadyMessage(message: unknown): boolean {
  return typeof message === 'object' && message !== null && (message as { type?: unknown }).type === 'ready';
}

function waitForReady(child: ChildProcess, spec: AppSpec): Promise<void> {
  const timeoutMs = spec.readyTimeoutMs ?? READY_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new ChildNotReadyError(spec.name, reason, spec.logFile));
    const timer = setTimeout(() => fail(`was not ready after ${timeoutMs / 1000} s`), timeoutMs);
    child.on('message', (message) => {
      if (!isReadyMessage(message)) return;
      clearTimeout(timer);
      resolve();
    });
    child.once('error', (error) => fail(`could not be started (${error.message})`));
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      fail(`ended before it was ready (${signal ?? `code ${code}`})`);
    });
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

/** Starts one process of an app in its own process group, so that Ctrl-C in the terminal reaches the supervisor alone. */
export function startApp(spec: AppSpec): AppProcess {
  const log = openLog(spec.logFile);
  const flags = spec.role === 'worker' ? WORKER_NODE_FLAGS : [];
  const child = spawn(process.execPath, [...flags, spec.entry, ...(spec.args ?? [])], {
    env: spec.env,
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const ready = waitForReady(child, spec);
  ready.catch(() => {});
  const exited = new Promise<AppExit>((resolve) => {
    child.once('exit', (code, signal) => {
      if (child.pid !== undefined) forgetProcess(child.pid);
      resolve({ code, signal });
    });
    child.once('error', () => {
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
  if (child.pid !== undefined) watchProcess(child.pid, 'none', GUARD_GRACE_SECONDS);
  return {
    pid: child.pid ?? -1,
    ready,
    exited,
    async stop(patienceMs) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => killGroup(child), patienceMs);
      await exited;
      clearTimeout(timer);
    },
    kill: () => killGroup(child),
  };
}
