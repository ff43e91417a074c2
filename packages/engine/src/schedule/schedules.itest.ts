import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DefinedJob, ScheduleDeclaration } from '../define-job.ts';
import { createJobSettings } from '../job-settings.ts';
import { fakeClock } from '../testing/fake-clock.ts';
import { type TestEngine, testEngine } from '../testing/test-engine.ts';
import { tinyTask } from '../testing/tiny.ts';
import { until } from '../testing/until.ts';
import { unblock } from './after.ts';
import { createClock } from './clock.ts';

const DAILY: ScheduleDeclaration = { cron: '0 2 * * *', zone: 'UTC' };
const task = (name: string, schedule: ScheduleDeclaration) =>
  tinyTask(name, { schedule, run: async () => ({ result: { done: true } }) as never }) as unknown as DefinedJob;
const jobs = [task('daily', DAILY), task('queued', { ...DAILY, overlap: 'queue' })];
const log = pino({ level: 'silent' });
const wake = () => undefined;

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

interface Row {
  readonly id: string;
  readonly version: number;
  readonly cron: string;
  readonly dst: string;
  readonly next_due_at: Date;
}

async function rows<T extends object>(text: string, values: unknown[] = []): Promise<T[]> {
  return (await engine.store.admin.query<T>(text, values)).rows;
}

async function scheduleOf(job: string): Promise<Row> {
  const [row] = await rows<Row>('SELECT * FROM ops.schedules WHERE job = $1 AND owner_tenant IS NULL', [job]);
  if (row === undefined) throw new Error(`${job} has no schedule`);
  return row;
}

const ticksOf = (id: string) =>
  rows<{ due_at: Date; state: string; reason: string | null; trigger_id: string | null; schedule_version: number }>(
    'SELECT * FROM ops.ticks WHERE schedule_id = $1 ORDER BY due_at',
    [id],
  );
const openRuns = (job: string) =>
  rows<{ id: string; tenant_id: string; state: string; tick_date: string; trigger_id: string }>(
    'SELECT id, tenant_id, state, tick_date::text, trigger_id FROM ops.open_runs WHERE job = $1 ORDER BY id',
    [job],
  );

/** A clock loop's pass at this time, for one schedule alone. */
async function fireAt(at: string, id: string, nextDueAt?: string): Promise<void> {
  await rows(
    'UPDATE ops.schedules SET enabled = (id = $1), next_due_at = CASE WHEN id = $1 THEN coalesce($2, next_due_at) ELSE next_due_at END',
    [id, nextDueAt ?? null],
  );
  const { catalogue, pools } = engine.producer;
  const settings = createJobSettings(pools.ops);
  const clock = createClock({
    ops: pools.ops,
    catalogue,
    settings,
    log,
    wake,
    fireSchedules: false,
    now: fakeClock(at).now,
  });
  await clock.fire();
  await clock.stop();
  await rows('UPDATE ops.schedules SET enabled = true');
}

/** The open runs of the job end, as far as they are not blocked; then those behind them may start. */
async function endQueued(job: string): Promise<string[]> {
  const ended = await rows<{ tick_date: string }>(
    `DELETE FROM ops.open_runs WHERE job = $1 AND state = 'queued' RETURNING tick_date::text`,
    [job],
  );
  await unblock(engine.producer.pools.ops, new Date());
  return [...new Set(ended.map((run) => run.tick_date))];
}

test('misfire all gives each day its run, one behind the other, though overlap is skip', async () => {
  const { id } = await scheduleOf('tiny.daily');
  await engine.producer.editSchedule(id, { misfire: 'all' }, 'ada');
  await fireAt('2026-05-04T10:00:00Z', id, '2026-05-02T02:00:00Z');
  expect((await ticksOf(id)).map((tick) => tick.state)).toEqual(['fired', 'fired', 'fired']);
  const made = await openRuns('tiny.daily');
  expect(made.map((run) => [run.tick_date, run.state])).toEqual([
    ...Array(2).fill(['2026-05-02', 'queued']),
    ...Array(2).fill(['2026-05-03', 'blocked']),
    ...Array(2).fill(['2026-05-04', 'blocked']),
  ]);
  // A tick that is on time gives way to those.
  await fireAt('2026-05-05T02:00:01Z', id);
  expect((await ticksOf(id)).at(-1)).toMatchObject({ state: 'skipped', reason: expect.stringContaining('overlap') });
  expect(await endQueued('tiny.daily')).toEqual(['2026-05-02']);
  expect(await endQueued('tiny.daily')).toEqual(['2026-05-03']);
  expect(await endQueued('tiny.daily')).toEqual(['2026-05-04']);
  expect(await openRuns('tiny.daily')).toEqual([]);
  await engine.producer.editSchedule(id, { misfire: 'latest' }, 'ada');
  // The real time is months later: those were caught up, and the ticks to come would give way to them.
  await rows('DELETE FROM ops.open_runs');
});

test('overlap queue: each tick has its runs, which wait for those before', async () => {
  const { id } = await scheduleOf('tiny.queued');
  await fireAt('2026-05-02T02:00:01Z', id, '2026-05-02T02:00:00Z');
  await fireAt('2026-05-03T02:00:01Z', id);
  expect((await ticksOf(id)).map((tick) => tick.state)).toEqual(['fired', 'fired']);
  await unblock(engine.producer.pools.ops, new Date());
  expect((await openRuns('tiny.queued')).map((run) => run.state)).toEqual(['queued', 'queued', 'blocked', 'blocked']);
  expect(await endQueued('tiny.queued')).toEqual(['2026-05-02']);
  expect(await endQueued('tiny.queued')).toEqual(['2026-05-03']);
});

test('an edit first fires what was due under the version before it, and outlives a deploy', async () => {
  const { id, version } = await scheduleOf('tiny.daily');
  await rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() - interval '1 second' WHERE id = $1`, [id]);
  await engine.producer.editSchedule(id, { cron: '30 2 * * *', zone: 'America/New_York', dst: 'twice' }, 'ada');
  expect((await ticksOf(id)).at(-1)).toMatchObject({ state: 'fired', schedule_version: version });
  await engine.producer.syncSchedules();
  expect(await scheduleOf('tiny.daily')).toMatchObject({ version: version + 1, cron: '30 2 * * *', dst: 'twice' });
  await rows(`DELETE FROM ops.open_runs`);
});

test('while it is disabled nothing is due', async () => {
  const { id } = await scheduleOf('tiny.daily');
  await engine.producer.editSchedule(id, { enabled: false }, 'ada');
  await rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() - interval '3 days' WHERE id = $1`, [id]);
  const before = await ticksOf(id);
  await engine.producer.editSchedule(id, { enabled: true }, 'ada');
  expect(await ticksOf(id)).toEqual(before);
  expect((await scheduleOf('tiny.daily')).next_due_at.getTime()).toBeGreaterThan(Date.now());
});

test('a process that does not know the job moves its schedule past no tick', async () => {
  const { id, version } = await scheduleOf('tiny.daily');
  await rows(`UPDATE ops.schedules SET next_due_at = clock_timestamp() - interval '1 second' WHERE id = $1`, [id]);
  const other = await testEngine({ jobs: [], workers: 0, store: engine.store });
  await expect(other.producer.editSchedule(id, { cron: '0 3 * * *' }, 'ada')).rejects.toThrow('tiny.daily');
  await other.close();
  expect((await scheduleOf('tiny.daily')).version).toBe(version);
  await engine.producer.pauseSchedule(id, 'ada');
  await engine.producer.resumeSchedule(id, 'ada');
  expect((await ticksOf(id)).at(-1)).toMatchObject({ state: 'fired', schedule_version: version });
  await rows('DELETE FROM ops.open_runs');
});

test('seconds are for those who may', async () => {
  const { id } = await scheduleOf('tiny.queued');
  await expect(engine.producer.editSchedule(id, { cron: '* * * * * *' }, 'ada')).rejects.toThrow('expected 5 fields');
  await engine.producer.editSchedule(id, { cron: '*/10 * * * * *' }, 'ada', { seconds: true });
  expect((await scheduleOf('tiny.queued')).cron).toBe('*/10 * * * * *');
  await expect(engine.producer.editSchedule(id, { cron: '60 * * * * *' }, 'ada', { seconds: true })).rejects.toThrow(
    '/cron',
  );
});

test('the newest declaration stays in force while somebody confirms it', async () => {
  const declare = async (cron: string) => {
    const other = await testEngine({ jobs: [task('moving', { cron, zone: 'UTC' })], workers: 0, store: engine.store });
    await other.producer.syncSchedules();
    await other.close();
    const { cron: now, version } = await scheduleOf('tiny.moving');
    return [now, version];
  };
  expect(await declare('0 1 * * *')).toEqual(['0 1 * * *', 1]);
  expect(await declare('0 5 * * *')).toEqual(['0 5 * * *', 2]);
  // An old worker that starts again does not fight over it.
  expect(await declare('0 1 * * *')).toEqual(['0 5 * * *', 2]);
  expect(await declare('0 5 * * *')).toEqual(['0 5 * * *', 2]);
  // The newer build is gone: it was rolled back.
  await rows(
    `UPDATE ops.schedules SET declared_at = clock_timestamp() - interval '5 minutes' WHERE job = 'tiny.moving'`,
  );
  expect(await declare('0 1 * * *')).toEqual(['0 1 * * *', 3]);
});

test('a tenant’s own schedule replaces the general one for it, until it is deleted', async () => {
  const { schedules } = engine.producer;
  const general = (await scheduleOf('tiny.queued')).id;
  const served = async (id: string) => (await schedules.servedBy(id)).map((tenant) => tenant.slug);
  expect(await served(general)).toEqual(expect.arrayContaining(['first', 'second']));
  const own = await schedules.create({ job: 'tiny.queued', tenant: 'second', cron: '15 4 * * *' }, 'olga');
  const [row] = await rows<Row & { zone: string }>('SELECT * FROM ops.schedules WHERE id = $1', [own]);
  expect(row).toMatchObject({ zone: 'America/New_York', edited: true, owner_tenant: second, overlap: 'skip' });
  expect(await served(general)).toEqual(['first']);
  expect(await served(own)).toEqual(['second']);
  await expect(schedules.create({ job: 'tiny.queued', tenant: second, cron: '15 4 * * *' }, 'olga')).rejects.toThrow(
    'already',
  );
  await expect(schedules.edit(own, { tenants: { all: true } }, 'olga')).rejects.toThrow('/tenants');
  await engine.producer.syncSchedules();
  await schedules.remove(own, 'olga');
  expect(await served(general)).toEqual(expect.arrayContaining(['first', 'second']));
  await expect(schedules.remove(general, 'olga')).rejects.toThrow('disable it');
  const audited = await rows<{ action: string }>(
    `SELECT action FROM ops.audit_log WHERE actor = 'olga' AND tenant_id = $1 ORDER BY seq`,
    [second],
  );
  expect(audited.map((event) => event.action)).toEqual(['schedule.created', 'schedule.deleted']);
});

test('a tenant has a hundred of its own at most, however many ask at once', async () => {
  const { schedules } = engine.producer;
  const asked = await Promise.allSettled(
    Array.from({ length: 103 }, (_, i) =>
      schedules.create({ job: 'tiny.queued', tenant: 'first', cron: `${i % 60} ${Math.floor(i / 60)} * * *` }, 'olga'),
    ),
  );
  expect(asked.filter((one) => one.status === 'fulfilled')).toHaveLength(100);
  expect(asked.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))).toEqual(
    Array(3).fill(expect.stringContaining('100 schedules')),
  );
  await rows('DELETE FROM ops.schedules WHERE owner_tenant = $1', [first]);
});

test('a preview marks the days on which the clock changes, also of an edit that is not made', async () => {
  const { id } = await scheduleOf('tiny.daily');
  const { schedules } = engine.producer;
  const from = new Date('2027-03-12T12:00:00Z');
  const ticks = await schedules.preview(id, { count: 3, from });
  expect(ticks.map(({ localTime, dst, tenants }) => [localTime, dst, tenants])).toEqual([
    ['2027-03-13T02:30:00', null, 2],
    ['2027-03-14T03:00:00', 'gap-moved', 2],
    ['2027-03-15T02:30:00', null, 2],
  ]);
  const patched = await schedules.preview(id, {
    count: 2,
    from,
    patch: { dst: 'skip', cron: '45 2 * * *', tenants: { only: [first] } },
  });
  expect(patched.map(({ localTime, dst, tenants }) => [localTime, dst, tenants])).toEqual([
    ['2027-03-13T02:45:00', null, 1],
    ['2027-03-14T02:45:00', 'skipped-gap', 0],
  ]);
  expect((await scheduleOf('tiny.daily')).cron).toBe('30 2 * * *');
  await expect(schedules.preview(id, { count: 2, patch: { cron: '61 * * * *' } })).rejects.toThrow('/cron');
});

test('a back-fill tells first, then makes each tenant’s run of each instant once, one behind the other', async () => {
  const { id } = await scheduleOf('tiny.daily');
  const { schedules } = engine.producer;
  await schedules.edit(id, { cron: '0 2 * * *', zone: 'UTC', dst: 'once' }, 'ada');
  const range = { from: new Date('2026-05-02T02:00:00Z'), to: new Date('2026-05-05T02:00:00Z') };
  await rows(`DELETE FROM ops.triggers`);
  const told = await schedules.backFill(id, range, 'olga');
  expect(told).toMatchObject({ dryRun: true, runs: 6 });
  expect(told.ticks.map((tick) => [tick.date, tick.recorded?.state, tick.triggerId])).toEqual([
    ['2026-05-02', 'fired', null],
    ['2026-05-03', 'fired', null],
    ['2026-05-04', 'fired', null],
  ]);
  expect(await openRuns('tiny.daily')).toEqual([]);

  const done = await schedules.backFill(id, { ...range, dryRun: false }, 'olga');
  expect(done.runs).toBe(6);
  const made = await openRuns('tiny.daily');
  expect(made.map((run) => [run.tick_date, run.state])).toEqual([
    ...Array(2).fill(['2026-05-02', 'queued']),
    ...Array(2).fill(['2026-05-03', 'blocked']),
    ...Array(2).fill(['2026-05-04', 'blocked']),
  ]);
  const triggers = await rows<{ id: string; expected_runs: number }>(
    `SELECT id, expected_runs FROM ops.triggers WHERE kind = 'back-fill' ORDER BY due_at`,
  );
  expect(triggers).toEqual(done.ticks.map((tick) => ({ id: tick.triggerId, expected_runs: 2 })));
  expect(await schedules.backFill(id, { ...range, dryRun: false }, 'olga')).toMatchObject({ runs: 0 });
  expect(await openRuns('tiny.daily')).toHaveLength(6);
  expect(await schedules.backFill(id, { ...range, again: true, tenants: [first] }, 'olga')).toMatchObject({
    runs: 3,
    dryRun: true,
  });
  expect(
    await rows(`SELECT 1 FROM ops.audit_log WHERE action = 'schedule.back-filled' AND actor = 'olga'`),
  ).toHaveLength(2);

  await engine.addWorker();
  await until('the back-fill to end', async () => (await openRuns('tiny.daily')).length === 0);
  const ended = await rows<{ tick_date: string; tenant_id: string; outcome: string }>(
    `SELECT tick_date::text, tenant_id, outcome FROM ops.runs WHERE trigger_id = ANY ($1) ORDER BY started_at`,
    [triggers.map((trigger) => trigger.id)],
  );
  for (const tenant of [first, second]) {
    expect(ended.filter((run) => run.tenant_id === tenant).map((run) => run.tick_date)).toEqual([
      '2026-05-02',
      '2026-05-03',
      '2026-05-04',
    ]);
  }
});

test.each([
  ['an empty range', { from: '2026-05-02T00:00:00Z', to: '2026-05-02T00:00:00Z' }, '/to'],
  ['the future', { from: '2026-05-02T00:00:00Z', to: '2999-05-02T00:00:00Z' }, 'future'],
  ['too many instants', { from: '2020-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' }, 'instants'],
])('a back-fill of %s is refused', async (_name, { from, to }, said) => {
  const { id } = await scheduleOf('tiny.daily');
  await expect(
    engine.producer.schedules.backFill(id, { from: new Date(from), to: new Date(to) }, 'olga'),
  ).rejects.toThrow(said);
});

test('ticks that were missed are told in one alert', async () => {
  const { id } = await scheduleOf('tiny.moving');
  await rows(`UPDATE ops.schedules SET job = 'tiny.daily', tenant_zone = 'UTC' WHERE id = $1`, [id]);
  await fireAt('2026-05-04T01:00:01Z', id, '2026-05-02T01:00:00Z');
  expect((await ticksOf(id)).map((tick) => tick.state)).toEqual(['missed', 'missed', 'fired']);
  const alerts = await rows(`SELECT severity, count, message FROM ops.alerts WHERE key = $1`, [`tick-missed:${id}`]);
  expect(alerts).toEqual([{ severity: 'CRITICAL', count: 1, message: expect.stringContaining('missed 2 ticks') }]);
});
