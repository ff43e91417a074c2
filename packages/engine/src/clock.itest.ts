import { createPool, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ScheduleDeclaration } from './define-job.ts';
import { InvalidInputError } from './errors.ts';
import { createJobSettings } from './job-settings.ts';
import { findRun } from './query/index.ts';
import { type Clock, createClock } from './schedule/clock.ts';
import { fakeClock, type TestEngine, testEngine } from './testing/index.ts';
import { tinyTask } from './testing/tiny.ts';

const HOUR = 3_600_000;
// Days of the tests are far ahead of the real clock, by which producers act.
const log = pino({ level: 'silent' });
const run = async () => null;
const daily: ScheduleDeclaration = { cron: '0 2 * * *', zone: 'UTC' };

function nightly(schedule: Partial<ScheduleDeclaration> = {}) {
  return tinyTask('nightly', { schedule: { ...daily, ...schedule }, run });
}

let engine: TestEngine;
let ops: Pool;
let clocks: Clock[];
let time: ReturnType<typeof fakeClock>;

beforeEach(() => {
  clocks = [];
});
afterEach(async () => {
  await Promise.all(clocks.map((clock) => clock.stop()));
  await ops.end();
  await engine.close();
});

/** The engine with these jobs, at this time, with its schedules due next where the test wants them. */
async function begin(
  jobs: Parameters<typeof testEngine>[0]['jobs'],
  at: string,
  tenants = ['a', 'b', 'c'],
): Promise<string[]> {
  engine = await testEngine({ jobs, workers: 0 });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 10, name: 'test' });
  time = fakeClock(at);
  const ids = [];
  for (const slug of tenants) ids.push(await engine.store.addTenant('tiny', slug));
  await engine.producer.syncSchedules();
  return ids;
}

/** A clock that fires when the test says so. */
function addClock(): Clock {
  const { catalogue } = engine.producer;
  const settings = createJobSettings(ops);
  const clock = createClock({
    ops,
    catalogue,
    settings,
    log,
    wake: () => undefined,
    fireSchedules: false,
    now: time.now,
  });
  clocks.push(clock);
  return clock;
}

async function fire(): Promise<void> {
  const clock = clocks[0] ?? addClock();
  while ((await clock.fire()) > 0);
}

const sql = async <Row extends object>(text: string, values: unknown[] = []) =>
  (await engine.store.admin.query<Row>(text, values)).rows;
const dueNext = (at: string, job = 'tiny.nightly') =>
  sql('UPDATE ops.schedules SET next_due_at = $1 WHERE job = $2', [at, job]);
const ticks = () =>
  sql<{ due_at: Date; state: string; reason: string | null; schedule_version: number }>(
    'SELECT due_at, state, reason, schedule_version FROM ops.ticks ORDER BY due_at, schedule_id',
  );
const tickStates = async () => (await ticks()).map((tick) => `${tick.due_at.toISOString().slice(5, 16)} ${tick.state}`);
const runs = () =>
  sql<{ id: string; slug: string; tick_date: string; trigger_id: string }>(
    `SELECT r.id, t.slug, r.tick_date::text, r.trigger_id FROM ops.run_view r JOIN ops.tenants t ON t.id = r.tenant_id ORDER BY r.tick_date, t.slug`,
  );
async function endAll(): Promise<void> {
  for (const { id } of await sql<{ id: string }>('SELECT id FROM ops.open_runs'))
    await engine.producer.cancel(id, 'test', null);
}
const schedules = () =>
  sql<{
    id: string;
    cron: string;
    version: number;
    edited: boolean;
    next_due_at: Date | null;
    tenant_zone: string | null;
  }>('SELECT id, cron, version, edited, next_due_at, tenant_zone FROM ops.schedules ORDER BY tenant_zone, created_at');
const scheduleId = async () => (await schedules())[0]?.id ?? '';

describe('a tick', () => {
  it('makes each tenant’s run once, however many clocks see it', async () => {
    await begin([nightly()], '2031-03-02T02:00:01Z');
    await dueNext('2031-03-02T02:00:00Z');
    for (let i = 0; i < 5; i++) addClock();
    await Promise.all(clocks.map((clock) => clock.fire()));
    await fire();
    expect(await tickStates()).toEqual(['03-02T02:00 fired']);
    const made = await runs();
    expect(made.map((each) => [each.slug, each.tick_date])).toEqual([
      ['a', '2031-03-02'],
      ['b', '2031-03-02'],
      ['c', '2031-03-02'],
    ]);
    const triggers = await sql('SELECT id, kind, job, actor, expected_runs FROM ops.triggers');
    expect(triggers).toEqual([
      { id: made[0]?.trigger_id, kind: 'tick', job: 'tiny.nightly', actor: 'clock', expected_runs: 3 },
    ]);
    expect((await schedules())[0]?.next_due_at).toEqual(new Date('2031-03-03T02:00:00Z'));
    expect(await sql(`SELECT FROM ops.audit_log WHERE action = 'run.accepted' AND actor = 'clock'`)).toHaveLength(3);
  });

  it('is not made again when a clock is behind, or the schedule is set back', async () => {
    await begin([nightly()], '2031-03-02T02:00:01Z');
    await dueNext('2031-03-02T02:00:00Z');
    await fire();
    await endAll();
    await dueNext('2031-03-01T02:00:00Z');
    await fire();
    expect(await tickStates()).toEqual(['03-01T02:00 missed', '03-02T02:00 fired']);
    expect(await runs()).toHaveLength(3);
  });

  it('comes late, or is reported as missed, as the policy says', async () => {
    await begin([nightly({ cron: '0 * * * *' })], '2031-03-02T07:30:00Z', ['a']);
    const id = await scheduleId();
    const catchUp = async (misfire: string, from: string) => {
      await sql('UPDATE ops.schedules SET misfire = $1, next_due_at = $2 WHERE id = $3', [misfire, from, id]);
      const before = (await runs()).length;
      await fire();
      await endAll();
      return (await runs()).length - before;
    };
    expect(await catchUp('latest', '2031-03-02T03:00:00Z')).toBe(1);
    expect((await tickStates()).slice(-5)).toEqual([
      '03-02T03:00 missed', '03-02T04:00 missed', '03-02T05:00 missed', '03-02T06:00 missed', '03-02T07:00 fired',
    ]); // biome-ignore format: one a line is too long
    time.set('2031-03-03T03:30:00Z');
    expect(await catchUp('skip', '2031-03-03T02:00:00Z')).toBe(0);
    expect((await tickStates()).slice(-2)).toEqual(['03-03T02:00 missed', '03-03T03:00 missed']);
    expect((await ticks()).at(-1)?.reason).toContain('policy skip');
    time.set('2031-03-04T03:30:00Z');
    await sql(`UPDATE ops.schedules SET overlap = 'queue' WHERE id = $1`, [id]);
    expect(await catchUp('all', '2031-03-04T01:00:00Z')).toBe(3);
  });

  it('is caught up within its local day alone, when the declaration says so', async () => {
    const job = nightly({
      cron: '0 22 * * *',
      zone: 'Asia/Kolkata',
      misfire: { policy: 'latest', within: 'same-day' },
    });
    await begin([job], '2031-03-02T18:00:00Z', ['a']);
    await dueNext('2031-03-02T16:30:00Z');
    await fire();
    expect((await ticks()).map((tick) => tick.state)).toEqual(['fired']);
    // 00:30 of the next day in Kolkata, 19:00 of the same in UTC.
    time.set('2031-03-03T19:00:00Z');
    await fire();
    expect((await ticks()).map((tick) => tick.state)).toEqual(['fired', 'missed']);
    expect((await ticks()).at(-1)?.reason).toContain('local day');
  });

  it('gives way where the earlier run is still open, and only there', async () => {
    const [a] = await begin([nightly()], '2031-03-02T02:00:01Z');
    await dueNext('2031-03-02T02:00:00Z');
    await fire();
    for (const open of await sql<{ id: string }>('SELECT id FROM ops.open_runs WHERE tenant_id <> $1', [a]))
      await engine.producer.cancel(open.id, 'test', null);
    time.set('2031-03-03T02:00:01Z');
    await fire();
    expect((await runs()).map((each) => each.slug)).toEqual(['a', 'b', 'c', 'b', 'c']);
    expect((await ticks()).at(-1)).toMatchObject({ state: 'fired', reason: expect.stringContaining('1 of 3 tenants') });
    time.set('2031-03-04T02:00:01Z');
    await fire();
    expect(await runs()).toHaveLength(5);
    expect((await ticks()).at(-1)).toMatchObject({
      state: 'skipped',
      reason: expect.stringContaining('3 of 3 tenants'),
    });
  });
});

describe('a schedule', () => {
  it('that is paused leaves skipped ticks, and goes on when it is resumed', async () => {
    await begin([nightly()], '2031-03-02T02:00:01Z');
    const id = await scheduleId();
    await engine.producer.pauseSchedule(id, 'user:ada');
    await dueNext('2031-03-01T02:00:00Z');
    await fire();
    expect(await tickStates()).toEqual(['03-01T02:00 skipped', '03-02T02:00 skipped']);
    expect(await runs()).toEqual([]);
    await engine.producer.resumeSchedule(id, 'user:ada');
    time.advance(24 * HOUR);
    await fire();
    expect((await tickStates()).at(-1)).toBe('03-03T02:00 fired');
    const audit = await sql<{ action: string; actor: string }>(
      `SELECT action, actor FROM ops.audit_log WHERE action LIKE 'schedule.%' AND actor = 'user:ada' ORDER BY seq`,
    );
    expect(audit.map((event) => event.action)).toEqual(['schedule.paused', 'schedule.resumed']);
  });

  it('of a tenant’s own takes the place of the general one for it', async () => {
    const [a] = await begin([nightly()], '2031-03-02T05:00:01Z');
    await sql(
      `INSERT INTO ops.schedules (id, job, tenant_selector, cron, zone, next_due_at) VALUES (gen_random_uuid(), 'tiny.nightly', $1, '0 5 * * *', 'UTC', '2031-03-02T05:00:00Z')`,
      [JSON.stringify({ only: [a] })],
    );
    await sql(`UPDATE ops.schedules SET next_due_at = '2031-03-02T02:00:00Z' WHERE cron = '0 2 * * *'`);
    await fire();
    const made = await sql<{ slug: string; due_at: Date }>(
      `SELECT t.slug, g.due_at FROM ops.open_runs r JOIN ops.tenants t ON t.id = r.tenant_id JOIN ops.triggers g ON g.id = r.trigger_id ORDER BY 1`,
    );
    expect(made.map((each) => [each.slug, each.due_at.getUTCHours()])).toEqual([
      ['a', 5],
      ['b', 2],
      ['c', 2],
    ]);
  });

  it('that follows its tenants’ zone is one a zone, each at its own midnight', async () => {
    await begin([nightly({ cron: '0 0 * * *', zone: 'tenant' })], '2031-03-02T12:00:00Z', ['utc']);
    await engine.store.addTenant('tiny', 'delhi', 'Asia/Kolkata');
    await engine.producer.syncSchedules();
    const [delhi, utc] = await schedules();
    expect([delhi?.tenant_zone, utc?.tenant_zone]).toEqual(['Asia/Kolkata', 'UTC']);
    await sql('UPDATE ops.schedules SET next_due_at = $1 WHERE id = $2', ['2031-03-02T18:30:00Z', delhi?.id]);
    await sql('UPDATE ops.schedules SET next_due_at = $1 WHERE id = $2', ['2031-03-03T00:00:00Z', utc?.id]);
    time.set('2031-03-02T18:30:01Z');
    await fire();
    expect((await runs()).map((each) => [each.slug, each.tick_date])).toEqual([['delhi', '2031-03-03']]);
    time.set('2031-03-03T00:00:01Z');
    await fire();
    expect((await runs()).map((each) => [each.slug, each.tick_date])).toEqual([
      ['delhi', '2031-03-03'],
      ['utc', '2031-03-03'],
    ]);
  });

  it('of system scope makes one run, for the system itself', async () => {
    const wide = tinyTask('nightly', { scope: 'system', schedule: daily, run });
    await begin([wide], '2031-03-02T02:00:01Z');
    await dueNext('2031-03-02T02:00:00Z');
    await fire();
    expect((await runs()).map((each) => each.slug)).toEqual(['system']);
  });

  it('changes its version with its declaration, unless a person has edited it', async () => {
    await begin([nightly()], '2031-03-02T00:00:00Z');
    await engine.producer.syncSchedules();
    expect(await schedules()).toMatchObject([{ cron: '0 2 * * *', version: 1, edited: false }]);
    const declareAgain = async (cron: string) => {
      const next = await testEngine({ jobs: [nightly({ cron })], workers: 0, store: engine.store });
      await next.producer.syncSchedules();
      await next.close();
    };
    await declareAgain('0 4 * * *');
    expect(await schedules()).toMatchObject([{ cron: '0 4 * * *', version: 2, edited: false }]);
    await engine.producer.editSchedule(await scheduleId(), { cron: '0 6 * * *' }, 'user:ada');
    await declareAgain('0 8 * * *');
    const [edited] = await schedules();
    expect(edited).toMatchObject({ cron: '0 6 * * *', version: 3, edited: true });
    expect(edited?.next_due_at?.getUTCHours()).toBe(6);
  });

  it('that is edited first steps the old version up to now', async () => {
    await begin([nightly()], '2031-03-02T00:00:00Z');
    const id = await scheduleId();
    await sql(
      `UPDATE ops.schedules SET next_due_at = date_trunc('day', now()) - interval '3 days' + interval '2 hours' WHERE id = $1`,
      [id],
    );
    await engine.producer.editSchedule(id, { cron: '0 6 * * *' }, 'user:ada');
    const recorded = await ticks();
    expect(recorded.length).toBeGreaterThanOrEqual(3);
    expect(recorded.every((tick) => tick.schedule_version === 1 && tick.due_at.getUTCHours() === 2)).toBe(true);
    const [row] = await schedules();
    expect(row).toMatchObject({ version: 2 });
    expect(row?.next_due_at?.getTime()).toBeGreaterThan(Date.now());
  });

  it('that was disabled owes nothing for that time', async () => {
    await begin([nightly()], '2026-03-05T03:00:00Z');
    const id = await scheduleId();
    await engine.producer.editSchedule(id, { enabled: false }, 'user:ada');
    await dueNext('2026-03-02T02:00:00Z');
    await fire();
    await engine.producer.editSchedule(id, { enabled: true }, 'user:ada');
    await fire();
    expect(await ticks()).toEqual([]);
    expect(await runs()).toEqual([]);
    expect((await schedules())[0]?.next_due_at?.getTime()).toBeGreaterThan(Date.now());
  });

  it.each([
    { cron: '61 * * * *' },
    { zone: 'Mars/Olympus' },
    { cron: '@daily' },
    { surprise: 1 },
    { misfireWithinMs: -1 },
  ])('cannot become %j', async (patch) => {
    await begin([nightly()], '2031-03-02T00:00:00Z');
    const before = await schedules();
    await expect(engine.producer.editSchedule(await scheduleId(), patch, 'test')).rejects.toThrow(InvalidInputError);
    expect(await schedules()).toEqual(before);
  });

  it('always knows when it is due next', async () => {
    await begin(
      [nightly(), tinyTask('hourly', { schedule: { cron: '0 * * * *', zone: 'tenant' }, run })],
      '2031-03-02T02:00:01Z',
    );
    await engine.producer.editSchedule(await scheduleId(), { overlap: 'queue' }, 'test');
    await engine.producer.pauseSchedule(await scheduleId(), 'test');
    for (const schedule of await schedules()) expect(schedule.next_due_at).toBeInstanceOf(Date);
  });
});

describe('the loop', () => {
  it('fires more than a pass takes, each once, and wakes when all are on record', async () => {
    const SCHEDULES = 1_300;
    const [tenant] = await begin([nightly()], '2031-03-02T02:00:01Z', ['a']);
    await sql('UPDATE ops.schedules SET enabled = false');
    await sql(
      `INSERT INTO ops.schedules (id, job, tenant_selector, cron, zone, next_due_at)
       SELECT gen_random_uuid(), 'tiny.nightly', jsonb_build_object('only', jsonb_build_array($1::text), 'n', n), '0 2 * * *', 'UTC', '2031-03-02T02:00:00Z'
       FROM generate_series(1, $2) n`,
      [tenant, SCHEDULES],
    );
    const { catalogue } = engine.producer;
    const settings = createJobSettings(ops);
    const recorded = await new Promise<number>((resolve) => {
      const wake = () => void ticks().then((rows) => resolve(rows.length));
      clocks.push(createClock({ ops, catalogue, settings, log, wake, fireSchedules: true, now: time.now }));
    });
    expect(recorded).toBe(SCHEDULES);
    const [found] = await sql<{ schedules: number }>(
      'SELECT count(DISTINCT schedule_id)::int AS schedules FROM ops.ticks',
    );
    expect(found?.schedules).toBe(SCHEDULES);
    // The tenant's one open run is the first one's; the others gave way to it.
    expect(await runs()).toHaveLength(1);
    expect((await ticks()).filter((tick) => tick.state === 'fired')).toHaveLength(1);
  });

  it('fires by itself, and gives due retries back to their queue', async () => {
    const [tenant] = await begin([nightly()], '2031-03-02T02:00:01Z', ['a']);
    await dueNext('2031-03-02T02:00:00Z');
    const { id } = await engine.producer.accept(
      { job: 'tiny.nightly', tenant: tenant ?? '', input: {}, dueAt: new Date(Date.now() + HOUR) },
      'test',
    );
    await sql('UPDATE ops.open_runs SET due_at = clock_timestamp() WHERE id = $1', [id]);
    const { catalogue } = engine.producer;
    const woken: string[] = [];
    const both = new Promise<void>((resolve) => {
      const wake = (queues: Iterable<string>) => {
        woken.push(...queues);
        if (woken.length >= 2) resolve();
      };
      clocks.push(
        createClock({
          ops,
          catalogue,
          settings: createJobSettings(ops),
          log,
          wake,
          fireSchedules: true,
          now: time.now,
        }),
      );
    });
    await both;
    expect(woken).toEqual(['tiny-long', 'tiny-long']);
    expect(await tickStates()).toEqual(['03-02T02:00 fired']);
    expect(await findRun(engine.producer.pools, id, null)).toMatchObject({ status: 'queued' });
  });
});
