import type { Catalogue } from '../catalogue.ts';
import { LIST_PAUSES, type PauseView } from '../limits/pauses.ts';
import { liveWorkers, type QueueDepth, queueDepths } from './platform.ts';
import { type Pools, read } from './read.ts';

/** A queue as it stands. */
export interface QueueView extends Omit<QueueDepth, 'queue' | 'priority'> {
  readonly queue: string;
  readonly kind: 'short' | 'long';
  /** Runs (short queues: bundles) that live workers can have in hand at once. */
  readonly slots: number;
  /** Live workers that serve it. */
  readonly workers: number;
  readonly paused: Pick<PauseView, 'by' | 'reason' | 'at'> | null;
  readonly probe: QueueProbe | null;
  readonly byPriority: readonly Omit<QueueDepth, 'queue'>[];
}

/** The latest sign of life: an empty dispatch that some worker answered. Null: none was sent yet. */
export interface QueueProbe {
  readonly askedAt: Date;
  readonly answeredAt: Date | null;
  readonly worker: string | null;
  /** From asking to the answer, s; while the answer is out, so far. */
  readonly seconds: number;
}

const EMPTY = { waiting: 0, oldestWaitingSeconds: 0, scheduled: 0, blocked: 0, dispatched: 0, running: 0 };

/** Every queue of the catalogue. Errors: `StoreUnavailableError`. */
export async function listQueues(pools: Pools, catalogue: Catalogue): Promise<QueueView[]> {
  const [depths, workers, pauses, probes] = await Promise.all([
    queueDepths(pools),
    liveWorkers(pools),
    listPauses(pools),
    listProbes(pools),
  ]);
  return catalogue.queues.map(({ name, kind }) => {
    const own = depths.filter((depth) => depth.queue === name);
    const serving = workers.map((worker) => (worker.stopping ? 0 : slotsOf(worker.slots, name))).filter((n) => n > 0);
    const pause = pauses.find((one) => one.kind === 'queue' && one.key === name);
    return {
      queue: name,
      kind,
      ...own.reduce(added, EMPTY),
      slots: serving.reduce((sum, n) => sum + n, 0),
      workers: serving.length,
      paused: pause === undefined ? null : { by: pause.by, reason: pause.reason, at: pause.at },
      probe: probes.get(name) ?? null,
      byPriority: own.map(({ queue: _, ...depth }) => depth),
    };
  });
}

function slotsOf(slots: unknown, queue: string): number {
  return (slots as Readonly<Record<string, number>>)[queue] ?? 0;
}

function added(sum: typeof EMPTY, depth: QueueDepth): typeof EMPTY {
  return {
    waiting: sum.waiting + depth.waiting,
    oldestWaitingSeconds: Math.max(sum.oldestWaitingSeconds, depth.oldestWaitingSeconds),
    scheduled: sum.scheduled + depth.scheduled,
    blocked: sum.blocked + depth.blocked,
    dispatched: sum.dispatched + depth.dispatched,
    running: sum.running + depth.running,
  };
}

/** Everything that is paused, the oldest first. Errors: `StoreUnavailableError`. */
export async function listPauses(pools: Pools): Promise<PauseView[]> {
  return await read<PauseView>(pools, null, LIST_PAUSES);
}

/** Latest probe of each queue that has had one. Errors: `StoreUnavailableError`. */
export async function listProbes(pools: Pools): Promise<Map<string, QueueProbe>> {
  const rows = await read<QueueProbe & { queue: string }>(
    pools,
    null,
    `SELECT queue, probe_asked_at AS "askedAt", probe_answered_at AS "answeredAt", probe_worker AS worker,
       extract(epoch FROM coalesce(probe_answered_at, clock_timestamp()) - probe_asked_at)::float8 AS seconds
     FROM ops.queues WHERE probe_asked_at IS NOT NULL`,
  );
  return new Map(rows.map(({ queue, ...probe }) => [queue, probe]));
}
