import { Worker } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redisOptions, SCHEDULER_SETTINGS } from './broker.ts';
import type { DefinedJob } from './define-job.ts';
import { queuePrefix, SCHEDULES_QUEUE } from './redis-names.ts';
import { type TestEngine, testEngine } from './testing/test-engine.ts';
import { tinyTask } from './testing/tiny.ts';
import { until } from './testing/until.ts';

const zone = 'America/New_York';
const jobs = [
  tinyTask('nightly', { schedule: { cron: '30 1 * * *', zone, dst: 'twice' }, run: async () => null }),
] as unknown as DefinedJob[];

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs, workers: 0, fireSchedules: true });
});
afterAll(() => engine.close());

test('a mirrored schedule computes its next time by the rule of the schedule, for each job anew', async () => {
  const between = new Date('2026-11-01T05:30:00Z');
  const next = (options: object) => SCHEDULER_SETTINGS.repeatStrategy?.(between.getTime(), options, 'tiny.nightly');
  const pattern = '30 1 * * *';
  expect(next({ pattern, tz: zone, dst: 'twice' })).toBe(Date.parse('2026-11-01T06:30:00Z'));
  expect(next({ pattern, tz: zone, dst: 'once' })).toBe(Date.parse('2026-11-02T06:30:00Z'));

  // What the mirror writes, over and over as BullMQ does it.
  const seen: unknown[] = [];
  const worker = new Worker(SCHEDULES_QUEUE, async (job) => void seen.push((job.opts as { repeat?: unknown }).repeat), {
    connection: { ...redisOptions(engine.store.redisUrl), maxRetriesPerRequest: null },
    prefix: queuePrefix(engine.store.namespace, SCHEDULES_QUEUE),
    settings: SCHEDULER_SETTINGS,
  });
  try {
    await engine.producer.syncSchedules();
    const [row] = (
      await engine.store.admin.query<{ id: string }>(`SELECT id FROM ops.schedules WHERE job = 'tiny.nightly'`)
    ).rows;
    await engine.producer.editSchedule(row?.id ?? '', { cron: '* * * * * *' }, 'ada', { seconds: true });
    await engine.addWorker();
    await until('two mirrored ticks', async () => seen.length >= 2);
    expect(seen.slice(0, 2)).toEqual(
      [0, 1].map(() => expect.objectContaining({ pattern: '* * * * * *', tz: zone, dst: 'twice' })),
    );
  } finally {
    await worker.close();
  }
});
