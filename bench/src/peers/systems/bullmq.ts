import { createPostgresBackend, type JobsOptions, Queue, Worker, withBackend } from 'bullmq';
import { createEffect } from '../effect.ts';
import type { Payload, Work } from '../payload.ts';
import type { Driver, Target } from '../system.ts';
import type { Tally } from '../tally.ts';

const QUEUE = 'bench';
const CONCURRENCY = 100;
/** What a handler's statements may use; more connections than that made nothing faster on two cores. */
const EFFECT_CONNECTIONS = 20;
/** Finished jobs kept in Redis cost it memory and 30 % of the rate. */
const OPTIONS: JobsOptions = { removeOnComplete: true, removeOnFail: 1_000 };

function handler(target: Target, work: Work, tally: Tally) {
  const effect = work === 'noop' ? null : createEffect(target.databaseUrl, EFFECT_CONNECTIONS);
  return {
    async handle(job: { data: Payload }): Promise<void> {
      tally.begin([job.data]);
      if (effect !== null) await effect.update(job.data.i);
    },
    close: async () => effect?.close(),
  };
}

function redisOf(target: Target) {
  const url = new URL(target.redisUrl);
  return { host: url.hostname, port: Number(url.port), password: decodeURIComponent(url.password) };
}

/** BullMQ itself: the upper bound of what can be done with one BullMQ job a run. */
export const bullmq: Driver = {
  async produce(target) {
    const queue = new Queue<Payload>(QUEUE, { connection: redisOf(target), defaultJobOptions: OPTIONS });
    await queue.waitUntilReady();
    return {
      add: (work, payload) => queue.add(work, payload),
      addMany: (work, payloads) => queue.addBulk(payloads.map((data) => ({ name: work, data }))),
      close: () => queue.close(),
    };
  },
  async consume(target, work, tally) {
    const { handle, close } = handler(target, work, tally);
    const connection = { ...redisOf(target), maxRetriesPerRequest: null };
    const worker = new Worker<Payload>(QUEUE, handle, { connection, concurrency: CONCURRENCY, ...kept });
    worker.on('error', () => undefined);
    await worker.waitUntilReady();
    return {
      async stop() {
        await worker.close();
        await close();
      },
    };
  },
};

const kept = { removeOnComplete: { count: 0 }, removeOnFail: { count: 1_000 } };

/** BullMQ's own backend on Postgres. */
export const bullmqPostgres: Driver = {
  async produce(target) {
    const backed = withBackend(createPostgresBackend);
    const connection = { connectionString: target.databaseUrl, max: EFFECT_CONNECTIONS, migrate: true };
    const queue = new backed.Queue<Payload>(QUEUE, { connection, defaultJobOptions: OPTIONS });
    await queue.waitUntilReady();
    return {
      add: (work, payload) => queue.add(work, payload),
      addMany: (work, payloads) => queue.addBulk(payloads.map((data) => ({ name: work, data }))),
      close: () => queue.close(),
    };
  },
  async consume(target, work, tally) {
    const { handle, close } = handler(target, work, tally);
    const backed = withBackend(createPostgresBackend);
    const connection = { connectionString: target.databaseUrl, max: EFFECT_CONNECTIONS };
    const worker = new backed.Worker<Payload>(QUEUE, handle, { connection, concurrency: CONCURRENCY, ...kept });
    worker.on('error', () => undefined);
    await worker.waitUntilReady();
    return {
      async stop() {
        await worker.close();
        await close();
      },
    };
  },
};
