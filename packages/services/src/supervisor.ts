import { guardsEnded } from './guard.ts';
import { openProcessRecord, type ProcessRecord } from './process-record.ts';
import type { ServerExit } from './server-process.ts';
import { type AppProcess, type AppRole, type AppSpec, startApp } from './supervised-app.ts';

type ServerRole = 'redis' | 'postgres';

export type SupervisorEvent =
  | { type: 'exited'; name: string; code: number | null; signal: NodeJS.Signals | null; restartInMs: number }
  | { type: 'restarted'; name: string; pid: number }
  | { type: 'restart-failed'; name: string; error: Error; restartInMs: number };

/** What the supervisor needs of a PostgresServer or RedisServer. */
export interface SupervisedServer {
  readonly pid: number;
  readonly exited: Promise<ServerExit>;
  stop(): Promise<void>;
}

export interface SupervisorOptions {
  /** Where it writes down its apps' processes; leftovers found there are ended first. Servers keep their own. */
  recordFile: string;
  onEvent: (event: SupervisorEvent) => void;
}

export interface Supervisor {
  /** Processes of an earlier supervisor that had to be ended. */
  readonly reaped: number;
  /** Starts a server and again whenever it ends by itself. */
  superviseServer<S extends SupervisedServer>(role: ServerRole, start: () => Promise<S>): Promise<S>;
  /**
   * Starts an app, and again whenever it ends by itself; resolves when its first process is ready.
   * @throws ChildNotReadyError
   */
  superviseApp(spec: AppSpec): Promise<void>;
  /** The live processes of a role, oldest app first. */
  pids(role: AppRole): number[];
  /** API, workers, Redis, Postgres, in that order; also in the middle of a start. Safe to call twice. */
  stop(): Promise<void>;
  /** Stops without patience for the apps; servers still close their files. */
  force(): Promise<void>;
}

interface Member {
  name: string;
  role: AppRole | ServerRole;
  pid: number | null;
  stop(): Promise<void>;
  kill(): void;
}

const STOP_ORDER = ['api', 'worker', 'redis', 'postgres'] as const;
// A worker gives up by itself after 30 s; the rest is its exit.
const STOP_PATIENCE_MS = { api: 10_000, worker: 35_000 };
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 10_000;
const STEADY_AFTER_MS = 30_000;

interface Fleet {
  members: Member[];
  record: ProcessRecord;
  onEvent: (event: SupervisorEvent) => void;
  stopping: boolean;
  /** Starts of servers under way. */
  starting: Set<Promise<unknown>>;
}

/** Doubles with each quick crash; a process that ran for a while starts over. */
function createBackoff(): (ranForMs: number) => number {
  let next = BACKOFF_FIRST_MS;
  return (ranForMs) => {
    if (ranForMs >= STEADY_AFTER_MS) next = BACKOFF_FIRST_MS;
    const wait = next;
    next = Math.min(next * 2, BACKOFF_MAX_MS);
    return wait;
  };
}

interface Instance {
  pid: number;
  exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  ready: Promise<void>;
}

/** Watches an instance and replaces it until the fleet stops. `start` fills the member's handles. */
function keepRunning(fleet: Fleet, member: Member, first: Instance, start: () => Promise<Instance>): void {
  const backoff = createBackoff();
  const follow = async (instance: Instance): Promise<void> => {
    const since = performance.now();
    const exit = await instance.exited;
    fleet.record.delete(instance.pid);
    member.pid = null;
    if (fleet.stopping) return;
    const restartInMs = backoff(performance.now() - since);
    fleet.onEvent({ type: 'exited', name: member.name, code: exit.code, signal: exit.signal, restartInMs });
    await again(restartInMs);
  };
  const again = async (waitMs: number): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
    if (fleet.stopping) return;
    try {
      const next = await start();
      void follow(next);
      await next.ready;
      if (!fleet.stopping) fleet.onEvent({ type: 'restarted', name: member.name, pid: next.pid });
    } catch (error) {
      // An instance that came up has its own follower, which sees its exit; only a start that made none is repeated here.
      if (fleet.stopping || member.pid !== null || (error as Error).name === 'ChildNotReadyError') return;
      const restartInMs = backoff(0);
      fleet.onEvent({ type: 'restart-failed', name: member.name, error: error as Error, restartInMs });
      await again(restartInMs);
    }
  };
  void follow(first);
}

async function addServer<S extends SupervisedServer>(
  fleet: Fleet,
  role: ServerRole,
  start: () => Promise<S>,
): Promise<S> {
  const member: Member = { name: role, role, pid: null, stop: async () => {}, kill: () => {} };
  const bringUp = async (): Promise<S> => {
    const server = await start();
    member.pid = server.pid;
    member.stop = () => server.stop();
    if (fleet.stopping) await server.stop();
    return server;
  };
  const tracked = async (): Promise<S> => {
    const starting = bringUp();
    fleet.starting.add(starting);
    return await starting.finally(() => fleet.starting.delete(starting));
  };
  fleet.members.push(member);
  const server = await tracked();
  const instance = (s: S): Instance => ({ pid: s.pid, exited: s.exited, ready: Promise.resolve() });
  keepRunning(fleet, member, instance(server), async () => instance(await tracked()));
  return server;
}

async function addApp(fleet: Fleet, spec: AppSpec): Promise<void> {
  const member: Member = { name: spec.name, role: spec.role, pid: null, stop: async () => {}, kill: () => {} };
  const bringUp = (): AppProcess => {
    const app = startApp(spec);
    member.pid = app.pid;
    member.stop = () => app.stop(STOP_PATIENCE_MS[spec.role]);
    member.kill = () => app.kill();
    fleet.record.add(app.pid);
    return app;
  };
  fleet.members.push(member);
  const first = bringUp();
  try {
    await first.ready;
  } catch (error) {
    first.kill();
    await first.exited;
    fleet.record.delete(first.pid);
    member.pid = null;
    throw error;
  }
  keepRunning(fleet, member, first, async () => bringUp());
}

async function stopFleet(fleet: Fleet): Promise<void> {
  fleet.stopping = true;
  await Promise.allSettled(fleet.starting);
  for (const role of STOP_ORDER) {
    const live = fleet.members.filter((member) => member.role === role && member.pid !== null);
    await Promise.all(live.map((member) => member.stop()));
    for (const member of live) if (member.pid !== null) fleet.record.delete(member.pid);
  }
  await guardsEnded();
}

/** The parent of a whole installation on one machine: servers and apps, one `stop` for all. */
export async function createSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { record, reaped } = await openProcessRecord(options.recordFile);
  const fleet: Fleet = { members: [], record, onEvent: options.onEvent, stopping: false, starting: new Set() };
  let stopped: Promise<void> | null = null;
  const stop = () => {
    stopped ??= stopFleet(fleet);
    return stopped;
  };
  return {
    reaped,
    superviseServer: (role, start) => addServer(fleet, role, start),
    superviseApp: (spec) => addApp(fleet, spec),
    pids: (role) =>
      fleet.members.flatMap((member) => (member.role === role && member.pid !== null ? [member.pid] : [])),
    stop,
    force() {
      const stopping = stop();
      for (const member of fleet.members) member.kill();
      return stopping;
    },
  };
}
