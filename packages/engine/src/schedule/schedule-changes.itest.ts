import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DefinedJob, ScheduleDeclaration } from '../define-job.ts';
import { createJobSettings } from '../job-settings.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { type TestEngine, testEngine } from '../testing/test-engine.ts';
import { tinyTask } from '../testing/tiny.ts';
import { unblock } from './after.ts';
import { createClock } from './clock.ts';

const HOUR = 3_600_000;
const DAILY: ScheduleDeclaration = { cron: '0 2 * * *', zone: 'UTC' };
const task = (name: string, schedule: ScheduleDeclaration) =>
  tinyTask(name, { schedule, run: async () => ({ result: { done: true } }) as never }) as unknown as DefinedJob;
const jobs = [
  task('hourly', { cron: '0 * * * *', zone: 'UTC' }),
  task('queued', { ...DAILY, overlap: 'queue' }),
  task('in-line', { ...DAILY, overlap: 'queue' }),
  task('own', DAILY),
  task('left', { ...DAILY, cron: '0 2 1 1 *' }),
  task('zoned', { ...DAILY, zone: 'tenant' }),
];

let engine: TestEngine;
let first: string;
let second: string;

beforeAll(async () => {
  engine = await testEngine({ jobs, workers: 0 });
  first = await engine.store.addTenant('tiny', 'first');
  second = await engine.store.addTenant('tiny', 'second', 'America/New_York');
  await engine.producer.syncSchedules();
});
afterAll(() => engine.close());

async function rows<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
  return (await engine.store.admin.query<T>(text, values)).rows;
}

/** Of the job's general schedule, the one of this zone where it follows its tenants'. */
async function idOf(job: string, zone: string | null = null): Promise<string> {
  const [row] = await rows<{ id: string }>(
    'SELECT id FROM ops.schedules WHERE job = $1 AND owner_tenant IS NULL AND tenant_zone IS NOT DISTINCT FROM $2',
    [job, zone],
  );
  if (row === undefined) throw new Error(`${job} has no schedule`);
  return row.id;
}

/** Every pass of a clock for one schedule alone, at this time; without one: now. */
async function fire(id: string, at?: string): Promise<void> {
  await rows('UPDATE ops.schedules SET enabled = (id = $1)', [id]);
  const { catalogue, pools } = engine.producer;
  const clock = createClock({
    ops: pools.ops,
    catalogue,
    settings: createJobSettings(pools.ops),
    log: pino({ level: 'silent' }),
    wake: () => undefined,
    fireSchedules: false,
    ...(at === undefined ? {} : { now: fakeClock(at).now }),
  });
  while ((await clock.fire()) > 0);
  await clock.stop();
  await rows('UPDATE ops.schedules SET enabled = true');
}

const due = (id: string, at: Date | string) =>
  rows('UPDATE ops.schedules SET next_due_at = $2::timestamptz WHERE id = $1', [id, at]);
const notDue = (id: string) =>
  rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() + interval '1 day' WHERE id = $1`, [id]);
const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
const served = async (id: string) => (await engine.producer.schedules.servedBy(id)).map((tenant) => tenant.slug);

/** Dates of the job's open runs that nothing holds back. */
async function queuedDates(job: string): Promise<string[]> {
  await unblock(engine.producer.pools.ops, new Date());
  const queued = await rows<{ date: string }>(
    `SELECT tick_date::text AS date FROM ops.open_runs WHERE job = $1 AND state = 'queued' ORDER BY tick_date`,
    [job],
  );
  return queued.map((run) => run.date);
}

test('a back-fill of what is due and not yet fired makes no second run of it', async () => {
  const id = await idOf('tiny.hourly');
  // Every worker was down for three hours; somebody fills them, then the workers are back.
  const latest = new Date(Math.floor(Date.now() / HOUR) * HOUR);
  const from = new Date(latest.getTime() - 2 * HOUR);
  await due(id, from);
  const [now] = await rows<{ at: Date }>('SELECT clock_timestamp() AS at');
  await engine.producer.schedules.backFill(id, { from, to: now?.at ?? latest, dryRun: false }, 'olga');
  await fire(id);
  const made = await rows<{ due_at: Date; kind: string; runs: number; tenants: number }>(
    `SELECT g.due_at, g.kind, count(*)::int AS runs, count(DISTINCT r.tenant_id)::int AS tenants
     FROM ops.triggers g JOIN ops.open_runs r ON r.trigger_id = g.id
     WHERE g.job = 'tiny.hourly' AND g.due_at <= $1 GROUP BY g.id ORDER BY g.due_at`,
    [latest],
  );
  expect(made).toEqual([
    { due_at: from, kind: 'back-fill', runs: 2, tenants: 2 },
    { due_at: new Date(from.getTime() + HOUR), kind: 'back-fill', runs: 2, tenants: 2 },
    { due_at: latest, kind: 'tick', runs: 2, tenants: 2 },
  ]);
});

test('a tick gives way to open runs of a line, though overlap is skip by now', async () => {
  const id = await idOf('tiny.queued');
  await due(id, '2026-05-02T02:00:00Z');
  await fire(id, '2026-05-02T02:00:01Z');
  await notDue(id);
  await engine.producer.editSchedule(id, { overlap: 'skip' }, 'ada');
  await due(id, '2026-05-03T02:00:00Z');
  await fire(id, '2026-05-03T02:00:01Z');
  expect(await queuedDates('tiny.queued')).toEqual(['2026-05-02', '2026-05-02']);
  expect(await rows(`SELECT state FROM ops.ticks WHERE schedule_id = $1 ORDER BY due_at`, [id])).toEqual([
    { state: 'fired' },
    { state: 'skipped' },
  ]);
});

test('a run in line waits for the open one, though the clock of the worker that made that one is ahead', async () => {
  const id = await idOf('tiny.in-line');
  await due(id, '2026-05-12T02:00:00Z');
  await fire(id, '2026-05-12T02:00:01Z');
  // Ids begin with the time.
  await rows(
    `UPDATE ops.open_runs SET id = overlay(id::text placing '7fffffff-ffff' from 1)::uuid WHERE job = 'tiny.in-line' AND tenant_id = $1`,
    [first],
  );
  await fire(id, '2026-05-13T02:00:01Z');
  expect(await queuedDates('tiny.in-line')).toEqual(['2026-05-12', '2026-05-12']);
});

test('a general schedule that names its tenants leaves those that have their own to theirs', async () => {
  const { schedules } = engine.producer;
  const general = await idOf('tiny.own');
  const own = await schedules.create({ job: 'tiny.own', tenant: 'second', cron: '15 4 * * *' }, 'olga');
  await schedules.edit(general, { tenants: { only: [first, second] } }, 'ada');
  expect(await served(general)).toEqual(['first']);
  expect(await served(own)).toEqual(['second']);
  await schedules.remove(own, 'olga');
  expect(await served(general)).toEqual(['first', 'second']);
});

test('a tenant that the schedule of its zone names and that moves is served in its new zone', async () => {
  const mover = await engine.store.addTenant('tiny', 'mover', 'Asia/Tokyo');
  await engine.producer.syncSchedules();
  const tokyo = await idOf('tiny.zoned', 'Asia/Tokyo');
  await engine.producer.editSchedule(tokyo, { tenants: { only: [mover] } }, 'ada');
  expect(await served(tokyo)).toEqual(['mover']);
  await rows(`UPDATE ops.tenants SET zone = 'UTC' WHERE id = $1`, [mover]);
  expect(await served(tokyo)).toEqual([]);
  expect(await served(await idOf('tiny.zoned', 'UTC'))).toEqual(['first', 'mover']);
  await rows('DELETE FROM ops.tenants WHERE id = $1', [mover]);
});

test('a tenant’s own schedule cannot be given the times of another of its own', async () => {
  const { schedules } = engine.producer;
  const create = (cron: string) => schedules.create({ job: 'tiny.own', tenant: 'second', cron }, 'olga');
  const [one, other] = [await create('15 5 * * *'), await create('15 6 * * *')];
  await expect(schedules.edit(other, { cron: '15 5 * * *' }, 'olga')).rejects.toMatchObject({
    name: 'InvalidInputError',
    message: expect.stringContaining('/cron'),
  });
  for (const id of [one, other]) await schedules.remove(id, 'olga');
});

test('a tenant whose own schedule ends gets nothing of the general one that was due before', async () => {
  const { schedules } = engine.producer;
  const general = await idOf('tiny.left');
  const own = await schedules.create({ job: 'tiny.left', tenant: 'second', cron: '15 4 * * *' }, 'olga');
  await due(general, minutesAgo(5));
  await schedules.remove(own, 'olga');
  await fire(general);
  expect(await rows(`SELECT tenant_id FROM ops.open_runs WHERE job = 'tiny.left'`)).toEqual([{ tenant_id: first }]);
  expect(await served(general)).toEqual(['first', 'second']);
});

test('a tenant can end its own schedule of a job that is gone, whatever is due of it', async () => {
  const own = await engine.producer.schedules.create({ job: 'tiny.own', tenant: 'second', cron: '15 9 * * *' }, 'olga');
  await due(own, minutesAgo(5));
  const other = await testEngine({ jobs: [], workers: 0, store: engine.store });
  await other.producer.schedules.remove(own, 'olga').finally(() => other.close());
  expect(await rows('SELECT FROM ops.schedules WHERE id = $1', [own])).toEqual([]);
});

test('a preview waits for nobody who holds the schedule', async () => {
  const id = await idOf('tiny.own');
  const client = await engine.store.admin.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT FROM ops.schedules WHERE id = $1 FOR UPDATE', [id]);
    expect(await engine.producer.schedules.preview(id, { count: 2 })).toHaveLength(2);
    expect(await served(id)).toEqual(['first', 'second']);
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
});

test('a preview of leap days goes no further than 50 years', async () => {
  const from = new Date('2026-05-02T00:00:00Z');
  const seen = await engine.producer.schedules.preview(await idOf('tiny.own'), {
    count: 1_000,
    from,
    patch: { cron: '0 0 29 2 *', zone: 'America/Halifax', dst: 'twice' },
  });
  expect(seen[0]?.localTime).toBe('2028-02-29T00:00:00');
  expect(seen.at(-1)?.localTime).toBe('2076-02-29T00:00:00');
  expect(seen).toHaveLength(13);
});

test.each(['9999-12-31T12:00:00Z', '0001-01-01T00:00:00Z'])(
  'a preview or a back-fill from %s is refused',
  async (at) => {
    const id = await idOf('tiny.zoned', 'America/New_York');
    const from = new Date(at);
    const { schedules } = engine.producer;
    await expect(schedules.preview(id, { count: 2, from })).rejects.toThrow('/from');
    const to = new Date(from.getTime() + 365 * 24 * HOUR);
    await expect(schedules.backFill(id, { from, to }, 'olga')).rejects.toMatchObject({ name: 'InvalidInputError' });
  },
);
