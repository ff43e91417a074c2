import { Worker as BullWorker, Queue } from 'bullmq';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redisOptions } from './broker.ts';
import { createLiveness } from './liveness.ts';
import { listQueues } from './query/index.ts';
import { queuePrefix } from './redis-names.ts';
import { type TestEngine, testEngine, until } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

const job = tinyRequest('idle', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const log = pino({ level: 'silent' });

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
});
afterAll(() => engine.close());

/** A consumer as the engine's, watched closely; `stuck` resolves with the queue that it says is stuck. */
async function watched(name: string) {
  const { redisUrl, namespace } = engine.store;
  const connection = { ...redisOptions(redisUrl), maxRetriesPerRequest: null };
  const prefix = queuePrefix(namespace, name);
  const queue = new Queue(name, { connection, prefix });
  let tell: (queue: string) => void = () => undefined;
  const said: string[] = [];
  const stuck = new Promise<string>((resolve) => {
    tell = (which) => {
      said.push(which);
      resolve(which);
    };
  });
  const liveness = createLiveness({ redisUrl, namespace, log, stuckAfterMs: 300, onStuck: tell });
  const rounds = liveness.watch(name, 2);
  let taken = 0;
  const consumer = new BullWorker(
    name,
    async () => {
      rounds.began();
      taken += 1;
      rounds.ended();
    },
    { connection, prefix, concurrency: 2 },
  );
  await consumer.waitUntilReady();
  return {
    queue,
    consumer,
    stuck,
    said,
    taken: () => taken,
    async close() {
      await liveness.stop();
      await consumer.close(true);
      await queue.obliterate({ force: true });
      await queue.close();
    },
  };
}

test('a consumer that takes nothing while work waits is stuck', async () => {
  const one = await watched('deaf');
  await one.consumer.close(true);
  await one.queue.add('x', {}, { priority: 1 });
  expect(await one.stuck).toBe('deaf');
  await one.close();
});

test('neither an idle consumer is, nor a busy one, nor one whose queue was paused in Redis', async () => {
  const idle = await watched('idle');
  const paused = await watched('paused');
  await paused.queue.pause();
  await paused.queue.add('x', {}, { priority: 1 });
  // A deaf one in the same time proves that the others had it too.
  const deaf = await watched('deaf-too');
  await deaf.consumer.close(true);
  await deaf.queue.add('x', {});
  await idle.queue.addBulk(Array.from({ length: 50 }, () => ({ name: 'x', data: {} })));
  await deaf.stuck;
  await until('all taken', async () => idle.taken() === 50);
  expect([idle.said, paused.said]).toEqual([[], []]);
  await Promise.all([idle.close(), paused.close(), deaf.close()]);
});

test('a worker answers the probe of each of its queues, paused or not', async () => {
  await engine.producer.pause('queue', 'tiny', 'ada');
  const worker = await engine.addWorker({ canarySeconds: 1, onStuck: () => undefined });
  const probe = await until('an answer', async () => {
    const queues = await listQueues(engine.producer.pools, engine.producer.catalogue);
    const own = queues.find((queue) => queue.queue === 'tiny')?.probe;
    return own?.answeredAt ? own : null;
  });
  expect(probe.worker).toBe(worker.id);
  expect(probe.seconds).toBeGreaterThanOrEqual(0);
  await worker.stop(1_000);
});
