import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import type { DefinedJob, ScheduleDeclaration } from '../define-job.ts';
import { createJobSettings } from '../job-settings.ts';
import { type TestEngine, testEngine } from '../testing/test-engine.ts';
import { tinyRequest, tinyTask } from '../testing/tiny.ts';
import { createClock } from './clock.ts';

const schedule: ScheduleDeclaration = { cron: '0 2 1 1 *', zone: 'UTC' };
const run = async () => ({ result: {} }) as never;
const handle = async (_: unknown, runs: readonly unknown[]) => runs.map(() => ({ ok: null })) as never;
// Neither of the first two has a dry run.
const jobs = [
  tinyRequest('asked', { schedule, handle }),
  tinyTask('outside', { schedule, outsideEffects: true, run }),
  tinyTask('good', { schedule, run }),
] as unknown as DefinedJob[];
const needy = (more: object) => tinyTask('needy', { ...more, run }) as unknown as DefinedJob;

let engine: TestEngine;

beforeAll(async () => {
  engine = await testEngine({ jobs, workers: 0 });
  await engine.store.addTenant('tiny', 'first');
  await engine.producer.syncSchedules();
});
afterAll(() => engine.close());

interface Row {
  readonly id: string;
  readonly options: object;
  readonly paused_by: string | null;
}

async function rows<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
  return (await engine.store.admin.query<T>(text, values)).rows;
}

beforeEach(async () => {
  for (const table of ['ticks', 'open_runs', 'alerts']) await rows(`DELETE FROM ops.${table}`);
  await rows(`UPDATE ops.schedules SET options = '{}', next_due_at = clock_timestamp() + interval '1 day'`);
});

async function scheduleOf(job: string): Promise<Row> {
  const [row] = await rows<Row>('SELECT * FROM ops.schedules WHERE job = $1', [job]);
  if (row === undefined) throw new Error(`${job} has no schedule`);
  return row;
}

/** The job's is due this second, or so long before. */
const due = (job: string, before = '0 s') =>
  rows(`UPDATE ops.schedules SET next_due_at = date_trunc('second', clock_timestamp()) - $2::interval WHERE job = $1`, [
    job,
    before,
  ]);
/** As an older build let them be stored. */
const refusedOptions = (job: string) =>
  rows(`UPDATE ops.schedules SET options = '{"dryRun": true}' WHERE job = $1`, [job]);
const ticks = () => rows<{ job: string; state: string }>('SELECT job, state FROM ops.ticks ORDER BY job');

/** How many schedules each of two passes of one clock looked at. */
async function fireTwice(of: TestEngine): Promise<number[]> {
  const { catalogue, pools } = of.producer;
  const settings = createJobSettings(pools.ops);
  const log = pino({ level: 'silent' });
  const clock = createClock({ ops: pools.ops, catalogue, settings, log, wake: () => undefined, fireSchedules: false });
  const fired = [await clock.fire(), await clock.fire()];
  await clock.stop();
  return fired;
}

test.each(['tiny.asked', 'tiny.outside'])('options that %s refuses are refused when they are given', async (job) => {
  const { schedules } = engine.producer;
  const options = { dryRun: true };
  const own = { job, tenant: 'first', cron: '15 4 * * *' };
  await expect(schedules.create({ ...own, options }, 'olga')).rejects.toThrow('/options/dryRun');
  await expect(schedules.edit((await scheduleOf(job)).id, { options }, 'ada')).rejects.toThrow('/options/dryRun');
  expect(await rows('SELECT FROM ops.schedules WHERE job = $1', [job])).toHaveLength(1);
  expect((await scheduleOf(job)).options).toEqual({});
});

test('a schedule that cannot be fired is told once and then left alone, and the others are fired', async () => {
  await refusedOptions('tiny.asked');
  await due('tiny.asked', '1 minute');
  await due('tiny.good');
  expect(await fireTwice(engine)).toEqual([2, 0]);
  expect(await ticks()).toEqual([{ job: 'tiny.good', state: 'fired' }]);
  const { id } = await scheduleOf('tiny.asked');
  expect(await rows('SELECT key, severity, job, count FROM ops.alerts')).toEqual([
    { key: `schedule-failing:${id}`, severity: 'CRITICAL', job: 'tiny.asked', count: 1 },
  ]);
});

test('a job that is no longer scheduled and now needs an input does not hold up the others', async () => {
  const before = await testEngine({ jobs: [needy({ schedule })], workers: 0, store: engine.store });
  await before.producer.syncSchedules();
  await before.close();
  const input = z.object({ what: z.string() });
  const after = await testEngine({ jobs: [...jobs, needy({ input })], workers: 0, store: engine.store });
  await after.producer.syncSchedules();
  await due('tiny.needy', '1 minute');
  await due('tiny.good');
  expect(await fireTwice(after)).toEqual([2, 0]);
  await after.close();
  expect(await ticks()).toEqual([{ job: 'tiny.good', state: 'fired' }]);
  await rows(`DELETE FROM ops.schedules WHERE job = 'tiny.needy'`);
});

test('a schedule that cannot be fired can be paused, put right and resumed', async () => {
  const { id } = await scheduleOf('tiny.asked');
  await refusedOptions('tiny.asked');
  await due('tiny.asked');
  await engine.producer.pauseSchedule(id, 'ada');
  expect(await scheduleOf('tiny.asked')).toMatchObject({ paused_by: 'ada' });
  await engine.producer.editSchedule(id, { options: {} }, 'ada');
  await engine.producer.resumeSchedule(id, 'ada');
  expect(await scheduleOf('tiny.asked')).toMatchObject({ options: {}, paused_by: null });
  await due('tiny.asked', '1 minute');
  await fireTwice(engine);
  expect(await ticks()).toContainEqual({ job: 'tiny.asked', state: 'fired' });
});

test('a tenant can end its own schedule while the general one of the job cannot be fired', async () => {
  await engine.store.addTenant('tiny', 'second');
  const { schedules } = engine.producer;
  const own = await schedules.create({ job: 'tiny.asked', tenant: 'first', cron: '15 4 * * *' }, 'olga');
  await refusedOptions('tiny.asked');
  await due('tiny.asked', '1 minute');
  await rows(`UPDATE ops.schedules SET options = '{}' WHERE id = $1`, [own]);
  await schedules.remove(own, 'olga');
  expect(await rows('SELECT FROM ops.schedules WHERE id = $1', [own])).toEqual([]);
});
