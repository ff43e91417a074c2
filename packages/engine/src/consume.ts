import { Worker as BullWorker, type Job } from 'bullmq';
import { type DispatchData, KEPT, redisOptions, SCHEDULER_SETTINGS } from './broker.ts';
import { DEFAULT_OPTIONS } from './define-job.ts';
import { errorClass } from './errors.ts';
import type { Dispatch, ExecuteDeps } from './execute/execution.ts';
import { executeLong, type LongRunsInHand } from './execute/long.ts';
import { createPlaces } from './execute/places.ts';
import { executeShort } from './execute/short.ts';
import type { Liveness } from './liveness.ts';
import { answerProbe } from './probe.ts';
import { recordCrashes } from './recover.ts';
import { queuePrefix, SCHEDULES_QUEUE } from './redis-names.ts';
import type { Rest } from './rest.ts';

/** A worker that does not renew its lock for so long is taken for dead and its job given to another, ms. */
const LOCK_MS = 10_000;
const STALLED_EVERY_MS = 2_500;

export interface ConsumeDeps extends ExecuteDeps {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly inHand: LongRunsInHand;
  /** Is told of each claim round; absent: nobody watches. */
  readonly watch?: Liveness['watch'];
  /** A mirror of a retry or a schedule fired. */
  readonly wakeClock: () => void;
  /** A slot of the queue is free again. */
  readonly freed: (queue: string, slots: number) => void;
  readonly rest: Rest;
}

/** Message is the error's class alone: Redis and Bull Board must not show what a message may say. */
class RunFailedError extends Error {
  override readonly name = 'RunFailedError';
  constructor(failedWith: string) {
    super(failedWith);
    this.stack = '';
  }
}

/** A BullMQ worker for a queue of the catalogue. */
export function consumeQueue(
  deps: ConsumeDeps,
  queue: { name: string; kind: 'short' | 'long' },
  slots: number,
): BullWorker {
  const rounds = deps.watch?.(queue.name, slots);
  const inPlace = createPlaces(slots);
  const process = async (job: Job<DispatchData>): Promise<void> => {
    if (job.data.probe === true) {
      await answerProbe(deps.ops, queue.name, deps.worker);
      return;
    }
    if (job.data.mirror === true) {
      deps.wakeClock();
      return;
    }
    const dispatch: Dispatch = {
      id: job.id ?? '',
      queue: queue.name,
      runs: job.data.runs,
      job: job.data.job,
      tenantIds: job.data.tenantIds,
      timeoutMs: job.data.timeoutMs ?? DEFAULT_OPTIONS.timeoutMs,
    };
    if (job.stalledCounter > 0) {
      await afterCrash(deps, queue.name, dispatch);
      return;
    }
    const failedWith =
      queue.kind === 'short'
        ? (await inPlace(dispatch.runs.length, () => executeShort(deps, dispatch))).failedWith
        : await executeLong(deps, dispatch, deps.inHand);
    if (failedWith !== null) throw new RunFailedError(failedWith);
  };
  return listenTo(
    deps,
    queue.name,
    slots,
    new BullWorker<DispatchData>(
      queue.name,
      async (job) => {
        rounds?.began();
        deps.rest.began(job.data.runs?.length ?? 0);
        try {
          await guarded(process, job);
        } finally {
          rounds?.ended();
          deps.rest.ended();
        }
      },
      options(deps, queue.name, slots),
    ),
  );
}

/** The mirrored schedules: their jobs only wake the clock. */
export function consumeSchedules(deps: ConsumeDeps): BullWorker {
  const worker = new BullWorker(SCHEDULES_QUEUE, async () => deps.wakeClock(), {
    ...options(deps, SCHEDULES_QUEUE, 1),
    settings: SCHEDULER_SETTINGS,
  });
  return listenTo(deps, SCHEDULES_QUEUE, 1, worker);
}

function options(deps: ConsumeDeps, queue: string, slots: number) {
  return {
    connection: { ...redisOptions(deps.redisUrl), maxRetriesPerRequest: null, socketTimeout: 15_000 },
    prefix: queuePrefix(deps.namespace, queue),
    concurrency: slots,
    lockDuration: LOCK_MS,
    stalledInterval: STALLED_EVERY_MS,
    // Crashes are counted in Postgres: BullMQ must never fail a job for them.
    maxStalledCount: 1_000_000,
    removeOnComplete: { count: KEPT.completed },
    removeOnFail: { count: KEPT.failed },
    skipVersionCheck: true,
  };
}

function listenTo(deps: ConsumeDeps, queue: string, slots: number, worker: BullWorker): BullWorker {
  let last = '';
  worker.on('error', (error) => {
    if (error.message === last) return;
    last = error.message;
    deps.log.warn({ queue, err: { message: error.message } }, 'the queue does not answer; trying again until it does');
  });
  worker.on('ready', () => {
    last = '';
  });
  worker.on('completed', () => deps.freed(queue, slots));
  worker.on('failed', () => deps.freed(queue, slots));
  return worker;
}

/** An error that is not the run's own (Postgres away for long) is logged here and shown in Redis by its class. */
async function guarded(process: (job: Job<DispatchData>) => Promise<void>, job: Job<DispatchData>): Promise<void> {
  try {
    await process(job);
  } catch (error) {
    throw error instanceof RunFailedError ? error : new RunFailedError(errorClass(error));
  }
}

/** BullMQ hands the job out again: its worker died. The crash is committed before anything else may kill this one too. */
async function afterCrash(deps: ConsumeDeps, queue: string, dispatch: Dispatch): Promise<void> {
  const crashed = await recordCrashes(deps, { dispatchId: dispatch.id });
  if (crashed.length > 0)
    deps.log.warn(
      { queue, runs: crashed.map((run) => run.id) },
      'their worker died; the runs are queued again, each alone',
    );
  deps.wake([queue]);
}
