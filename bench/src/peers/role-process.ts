import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { WORKER_NODE_FLAGS } from '@nightshift/services';
import { peerNode } from './peer-packages.ts';
import type { ConsumerCalls, ProducerCalls } from './roles.ts';
import type { SystemName, Target } from './system.ts';
import type { Progress } from './tally.ts';
import { type FromRole, OPENED, type Role, type ToRole } from './wire.ts';

const SCRIPT = fileURLToPath(new URL('../peers-process.js', import.meta.url));
const NOTHING_YET: Progress = { handled: 0, firstAt: null, lastAt: null };

export interface RoleProcess<Calls> {
  readonly pid: number;
  call<Name extends keyof Calls & string>(
    name: Name,
    // biome-ignore lint/suspicious/noExplicitAny: any function's parameters
    ...args: Calls[Name] extends (...args: infer Args) => any ? Args : never
    // biome-ignore lint/suspicious/noExplicitAny: any function's answer
  ): Promise<Calls[Name] extends (...args: any[]) => Promise<infer Answer> ? Answer : never>;
  /** Of a consumer, as it told last. */
  progress(): Progress;
  /** Calls `listener` whenever progress is told. Returns what takes it off. */
  onProgress(listener: () => void): () => void;
  exit(): Promise<void>;
}

export interface RoleOptions {
  readonly system: SystemName;
  readonly target: Target;
  /** Directory for CPU profiles, which are written when the process ends. */
  readonly profileDir: string | null;
  /** How often a consumer tells its progress, ms, if it made some. */
  readonly tellEveryMs: number;
}

export const startProducer = (options: RoleOptions) => startRole<ProducerCalls>('producer', options);
export const startConsumer = (options: RoleOptions) => startRole<ConsumerCalls>('consumer', options);

function needsPeerNode(system: SystemName): boolean {
  return system === 'pg-boss' || system === 'pg-boss-batch' || system === 'graphile-worker';
}

function spawnRole(role: Role, options: RoleOptions): ChildProcess {
  const node = needsPeerNode(options.system) ? peerNode() : process.execPath;
  const profile = ['--cpu-prof', `--cpu-prof-dir=${options.profileDir}`];
  const name = `--cpu-prof-name=${options.system}-${role}-${Date.now()}.cpuprofile`;
  const profiled = options.profileDir === null ? [] : [...profile, name];
  // Every system's workers, so that none is ahead by them.
  const flags = role === 'consumer' ? WORKER_NODE_FLAGS : [];
  return spawn(node, [...flags, ...profiled, SCRIPT], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
  });
}

/** Errors: of the system's start, and when the process ends before it answers. */
async function startRole<Calls>(role: Role, options: RoleOptions): Promise<RoleProcess<Calls>> {
  const child = spawnRole(role, options);
  const answers = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  const listeners = new Set<() => void>();
  let progress = NOTHING_YET;
  let lastId = OPENED;
  child.on('message', (message: FromRole) => {
    if (message.type === 'progress') {
      progress = message.progress;
      for (const listener of listeners) listener();
      return;
    }
    const waiting = answers.get(message.id);
    answers.delete(message.id);
    if (message.error === null) waiting?.resolve(message.value as never);
    else waiting?.reject(new Error(`${options.system} ${role}: ${message.error}`));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of answers.values())
      reject(new Error(`the ${role} of ${options.system} ended with ${code ?? signal}`));
  });
  const ask = (message: ToRole, id: number) =>
    new Promise<never>((resolve, reject) => {
      answers.set(id, { resolve, reject });
      child.send(message, (error) => error && reject(error));
    });
  const { system, target, tellEveryMs } = options;
  await ask({ type: 'open', role, system, target, tellEveryMs }, OPENED);
  return {
    pid: child.pid ?? -1,
    call: (name, ...args) => {
      const id = ++lastId;
      if (name === 'start' || name === 'clear') progress = NOTHING_YET;
      return ask({ type: 'call', id, name, args }, id);
    },
    progress: () => progress,
    onProgress(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async exit() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}
