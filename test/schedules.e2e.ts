import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, startFleet, until } from '../bench/src/fleet/index.ts';

const [SCORES, RISK, COACH] = ['gym.commitment-scores', 'gym.at-risk-detection', 'gym.coach-actions'] as const;
const JOBS = [SCORES, RISK, COACH] as const;
/** Days back whose ticks are made due, after today's. */
const ROUNDS = 2;
/** Sweeps of two seconds: who starts before its `after:` job has ended is seen, since blocked runs are looked at each second. */
const SLOW = { batchSize: 20, batchDelayMs: 250 };

let fleet: Fleet;

beforeAll(async () => {
  fleet = await startFleet({ apis: 2, workers: 3, clock: 'on', gyms: { count: 3, members: 150 } });
  // One whose minute comes while this runs may have fired already: so what is read is of these jobs alone.
  await fleet.admin.rows('UPDATE ops.schedules SET enabled = false WHERE NOT job = ANY ($1)', [JOBS]);
});

afterAll(() => fleet?.close());

interface Tick {
  readonly job: string;
  readonly state: string;
  readonly due_at: Date;
  readonly trigger_id: string | null;
}

interface EndedRun {
  readonly job: string;
  readonly tenant_id: string;
  readonly trigger_id: string;
  readonly tick_date: string;
  readonly outcome: string;
  readonly stale_inputs: boolean;
  readonly started_at: Date;
  readonly ended_at: Date;
}

const ticks = () =>
  fleet.admin.rows<Tick>(
    'SELECT job, state, due_at, trigger_id FROM ops.ticks WHERE job = ANY ($1) ORDER BY due_at, job',
    [JOBS],
  );
const runs = () =>
  fleet.admin.rows<EndedRun>(
    `SELECT job, tenant_id, trigger_id, tick_date::text, outcome, stale_inputs, started_at, ended_at FROM ops.runs ORDER BY ended_at`,
  );

/** Sets the schedules of these jobs back to the instant of their pattern `daysBack` days ago. */
async function makeDue(jobs: readonly string[], daysBack: number): Promise<void> {
  await fleet.admin.rows(
    'UPDATE ops.schedules SET next_due_at = to_timestamp($3) - make_interval(days => $2) WHERE job = ANY ($1)',
    [jobs, daysBack, today.getTime() / 1_000],
  );
}

/** The minute that has just begun: at it, today's tick of all three jobs is due. */
let today: Date;

async function untilEnded(ticksSoFar: number, runsSoFar: number): Promise<void> {
  await until('the ticks to be recorded and their runs to end', async () => {
    const [row] = await fleet.admin.rows<{ ticks: number; runs: number; open: number }>(
      `SELECT (SELECT count(*) FROM ops.ticks WHERE job = ANY ($1))::int AS ticks, (SELECT count(*) FROM ops.runs)::int AS runs, (SELECT count(*) FROM ops.open_runs)::int AS open`,
      [JOBS],
    );
    return row !== undefined && row.ticks >= ticksSoFar && row.runs >= runsSoFar && row.open === 0;
  });
}

test('each tick makes the run of each gym once, in the order of `after:`, with two APIs and three workers', async () => {
  const [clock] = await fleet.admin.rows<{ minute: Date }>(`SELECT date_trunc('minute', clock_timestamp()) AS minute`);
  if (clock === undefined) throw new Error('Postgres has no clock');
  today = clock.minute;
  // A daily pattern of this minute. All instants are caught up, so that earlier days can be made due as well.
  await fleet.admin.rows(
    `UPDATE ops.schedules SET cron = $1, zone = 'UTC', misfire = 'all', misfire_within_ms = NULL, misfire_same_day = false, options = $2,
       edited = true`,
    [`${today.getUTCMinutes()} ${today.getUTCHours()} * * *`, SLOW],
  );
  // Today: all three at once, so that each may be taken by another process.
  await makeDue(JOBS, 0);
  await untilEnded(JOBS.length, JOBS.length * fleet.gyms.length);
  // Earlier days: one after the other, as in life, where they are an hour apart. The upstream's run is there before the next tick.
  for (let day = 1; day <= ROUNDS; day++) {
    for (const [index, job] of JOBS.entries()) {
      await makeDue([job], day);
      const fired = day * JOBS.length + index + 1;
      await until(`tick ${fired}`, async () => (await ticks()).length >= fired);
    }
    const made = (day + 1) * JOBS.length;
    await untilEnded(made, made * fleet.gyms.length);
  }

  const recorded = await ticks();
  const ended = await runs();
  expect(recorded).toHaveLength((ROUNDS + 1) * JOBS.length);
  expect(recorded.map((tick) => tick.state)).toEqual(recorded.map(() => 'fired'));
  for (const tick of recorded) {
    const made = ended.filter((run) => run.trigger_id === tick.trigger_id);
    expect(made.map((run) => run.tenant_id).sort()).toEqual(fleet.gyms.map((gym) => gym.id).sort());
    expect(made.every((run) => run.job === tick.job && run.outcome === 'completed')).toBe(true);
  }
  // Nothing beside what the ticks made.
  expect(ended).toHaveLength(recorded.length * fleet.gyms.length);
  const triggers = await fleet.admin.rows('SELECT id FROM ops.triggers WHERE job = ANY ($1)', [JOBS]);
  expect(triggers).toHaveLength(recorded.length);
  expectInOrder(ended);
});

function expectInOrder(ended: readonly EndedRun[]): void {
  const dates = new Set(ended.map((run) => run.tick_date));
  expect(dates.size).toBe(ROUNDS + 1);
  for (const date of dates) {
    for (const gym of fleet.gyms) {
      const night = ended.filter((run) => run.tick_date === date && run.tenant_id === gym.id);
      // Ordered by their ends.
      expect(night.map((run) => run.job)).toEqual(JOBS);
      for (const [upstream, downstream] of [night.slice(0, 2), night.slice(1)]) {
        expect(downstream?.started_at.getTime()).toBeGreaterThanOrEqual(upstream?.ended_at.getTime() ?? Number.NaN);
      }
      expect(night.map((run) => run.stale_inputs)).toEqual([false, false, false]);
    }
  }
}

test('a schedule of every second, while workers die: each second has its tick, and each fired tick its runs', async () => {
  const [from] = await fleet.admin.rows<{ at: Date }>(
    `UPDATE ops.schedules SET cron = '* * * * * *', next_due_at = date_trunc('second', clock_timestamp()) + interval '1 second'
     WHERE job = $1 RETURNING next_due_at AS at`,
    [SCORES],
  );
  const seconds = async () =>
    fleet.admin.rows<Tick>(
      'SELECT job, state, due_at, trigger_id FROM ops.ticks WHERE job = $1 AND due_at >= $2 ORDER BY due_at',
      [SCORES, from?.at],
    );
  await until('three seconds to be recorded', async () => (await seconds()).length >= 3);
  await fleet.workers()[0]?.kill();
  await until('seven seconds to be recorded', async () => (await seconds()).length >= 7);
  const [, replaced] = await Promise.all([fleet.workers()[0]?.kill(), fleet.addWorker()]);
  await until('ten seconds to be recorded', async () => (await seconds()).length >= 10);
  await fleet.admin.rows('UPDATE ops.schedules SET enabled = false');
  await until('every run to end', async () => (await fleet.admin.rows('SELECT 1 FROM ops.open_runs')).length === 0);

  const recorded = await seconds();
  const first = from?.at.getTime() ?? Number.NaN;
  expect(recorded.map((tick) => tick.due_at.getTime())).toEqual(recorded.map((_, i) => first + i * 1_000));
  // A tick whose gyms are all still at work is skipped; none is missed, and none passes without a word.
  expect(recorded.filter((tick) => tick.state === 'fired').length).toBeGreaterThan(0);
  expect(recorded.filter((tick) => !['fired', 'skipped'].includes(tick.state))).toEqual([]);
  const perTick = await fleet.admin.rows<{ made: number; expected: number; tenants: number; fired: boolean }>(
    `SELECT count(r.id)::int AS made, count(DISTINCT r.tenant_id)::int AS tenants, coalesce(max(g.expected_runs), 0)::int AS expected,
       t.state = 'fired' AS fired
     FROM ops.ticks t LEFT JOIN ops.triggers g ON g.id = t.trigger_id LEFT JOIN ops.runs r ON r.trigger_id = t.trigger_id
     WHERE t.job = $1 AND t.due_at >= $2 GROUP BY t.schedule_id, t.due_at, t.state`,
    [SCORES, from?.at],
  );
  for (const { made, expected, tenants, fired } of perTick) {
    expect({ made, tenants }).toEqual({ made: expected, tenants: expected });
    expect(made > 0).toBe(fired);
  }
  expect(fleet.workers().map((worker) => worker.pid)).toContain(replaced.pid);
});
