import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { WORKER_NODE_FLAGS } from '@nightshift/services';

export type AppRole = 'api' | 'worker';

export interface AppOptions {
  /** As its log is called: `worker-1`. */
  readonly name: string;
  readonly role: AppRole;
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  /** Exit code that is no crash, where it is to exit by itself. */
  readonly mayExit?: number;
}

export interface AppExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One real API or worker, from `dist`, in its own process group. */
export interface App {
  readonly name: string;
  readonly role: AppRole;
  readonly pid: number;
  /** Of the API; null for a worker. */
  readonly url: string | null;
  readonly exited: Promise<AppExit>;
  isUp(): boolean;
  /** It ended and nobody here had asked for it. */
  hasCrashed(): boolean;
  /** SIGSTOP and SIGCONT included. */
  signal(name: NodeJS.Signals): void;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<AppExit>;
  /** SIGTERM, and SIGKILL when it takes longer than it promises (30 s). */
  stop(): Promise<AppExit>;
  log(): string;
}

const READY_MS = 60_000;
const STOP_MS = 35_000;

// A stopped (SIGSTOP) child would not see that its parent is gone.
const alive = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

function entryOf(role: AppRole): string {
  return fileURLToPath(new URL(`../../../apps/${role}/dist/main.js`, import.meta.url));
}

/** Resolves when it has said that it is ready. Errors: with the end of its log when it ends or stays silent. */
export async function startApp({ name, role, env, logFile, mayExit }: AppOptions): Promise<App> {
  const file = openSync(logFile, 'a', 0o600);
  const flags = role === 'worker' ? WORKER_NODE_FLAGS : [];
  const child = spawn(process.execPath, [...flags, entryOf(role)], {
    env,
    detached: true,
    stdio: ['ignore', file, file, 'ipc'],
  });
  closeSync(file);
  alive.add(child);
  const exited = new Promise<AppExit>((resolve) => {
    child.once('exit', (code, signal) => {
      alive.delete(child);
      resolve({ code, signal });
    });
  });
  const log = () => readFileSync(logFile, 'utf8');
  const isUp = () => child.exitCode === null && child.signalCode === null;
  const port = await ready(child, exited).catch((error: Error) => {
    child.kill('SIGKILL');
    throw new Error(`${name} ${error.message}:\n${log().slice(-2_000)}`);
  });
  let asked = false;
  const kill = async () => {
    asked = true;
    child.kill('SIGKILL');
    return exited;
  };
  return {
    name,
    role,
    pid: child.pid ?? -1,
    url: port === null ? null : `http://127.0.0.1:${port}`,
    exited,
    isUp,
    hasCrashed: () => !isUp() && !asked && (mayExit === undefined || child.exitCode !== mayExit),
    signal: (signal) => void child.kill(signal),
    kill,
    async stop() {
      asked = true;
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      const exit = await exited;
      clearTimeout(timer);
      return exit;
    },
    log,
  };
}

function ready(child: ChildProcess, exited: Promise<AppExit>): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`was not ready after ${READY_MS / 1_000} s`)), READY_MS);
    child.once('error', reject);
    child.on('message', (message: { type?: string; port?: number }) => {
      if (message.type !== 'ready') return;
      clearTimeout(timer);
      resolve(message.port ?? null);
    });
    void exited.then(({ code, signal }) => {
      clearTimeout(timer);
      reject(new Error(`ended before it was ready (${signal ?? code})`));
    });
  });
}
