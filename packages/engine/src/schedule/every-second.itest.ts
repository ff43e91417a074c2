import { createPool, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DefinedJob } from '../define-job.ts';
import { createJobSettings } from '../job-settings.ts';
import { type TestEngine, testEngine } from '../testing/test-engine.ts';
import { tinyRequest } from '../testing/tiny.ts';
import { until } from '../testing/until.ts';
import { createClock } from './clock.ts';

const LASTS_MS = 60_000;
const CLOCKS = 3;
/** Their clocks disagree; the platform's own would ask the database. */
const SKEWS_MS = [0, 900, -900];
/** One of them dies so often. */
const KILL_EVERY_MS = 1_500;
/** For so long, in the middle, none lives. */
const ALL_DEAD_MS = 5_000;

const schedule = { cron: '0 0 * * *', zone: 'UTC' } as const;
const handle = async (_: unknown, runs: readonly unknown[]) => runs.map(() => ({ ok: null }));
const jobs = [
  tinyRequest('skips', { schedule, handle }),
  tinyRequest('queues', { schedule: { ...schedule, overlap: 'queue' }, handle }),
  tinyRequest('catches-up', { schedule: { ...schedule, misfire: { policy: 'all' } }, handle }),
] as unknown as DefinedJob[];

let engine: TestEngine;
let admin: Pool;

beforeAll(async () => {
  engine = await testEngine({ jobs });
  admin = engine.store.admin;
  for (const slug of ['a', 'b']) await engine.store.addTenant('tiny', slug);
  await engine.producer.syncSchedules();
  for (const { id } of (await admin.query<{ id: string }>('SELECT id FROM ops.schedules')).rows) {
    await engine.producer.editSchedule(id, { cron: '* * * * * *' }, 'test', { seconds: true });
  }
});
afterAll(() => engine.close());

interface Victim {
  /** As a SIGKILL would: whatever it had begun is rolled back, and nothing more comes from it. */
  kill(): Promise<void>;
}

let born = 0;

function addClock(): Victim {
  const name = `clock-${born++}`;
  const ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 2, name, onIdleError: () => undefined });
  const skew = SKEWS_MS[born % CLOCKS] ?? 0;
  const clock = createClock({
    ops,
    catalogue: engine.producer.catalogue,
    settings: createJobSettings(ops),
    log: pino({ level: 'silent' }),
    wake: () => undefined,
    fireSchedules: true,
    now: async () => new Date(Date.now() + skew),
  });
  return {
    async kill() {
      const stopped = clock.stop();
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [name]);
      await stopped;
      await ops.end().catch(() => undefined);
    },
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Tick {
  readonly due_at: Date;
  readonly state: string;
  readonly reason: string | null;
  readonly made: number;
  readonly tenants: number;
}

async function ticksOf(job: string): Promise<Tick[]> {
  const { rows } = await admin.query<Tick>(
    `SELECT t.due_at, t.state, t.reason, count(r.id)::int AS made, count(DISTINCT r.tenant_id)::int AS tenants
     FROM ops.ticks t LEFT JOIN ops.run_view r ON r.trigger_id = t.trigger_id WHERE t.job = $1 GROUP BY t.schedule_id, t.due_at, t.state, t.reason ORDER BY t.due_at`,
    [job],
  );
  return rows;
}

test('a schedule of every second, for a minute, while its clocks die and return: each second is recorded, and fired once or reported', async () => {
  let clocks = Array.from({ length: CLOCKS }, addClock);
  const ends = Date.now() + LASTS_MS;
  const restAt = Date.now() + LASTS_MS / 2;
  for (let rested = false; Date.now() < ends; ) {
    await pause(KILL_EVERY_MS);
    if (!rested && Date.now() > restAt) {
      rested = true;
      await Promise.all(clocks.map((clock) => clock.kill()));
      await pause(ALL_DEAD_MS);
      clocks = Array.from({ length: CLOCKS }, addClock);
      continue;
    }
    const [oldest, ...others] = clocks;
    await oldest?.kill();
    clocks = [...others, addClock()];
  }
  await until('the last seconds to be recorded', async () => {
    const [row] = (
      await admin.query<{ due: boolean }>('SELECT bool_and(next_due_at > to_timestamp($1)) AS due FROM ops.schedules', [
        ends / 1_000,
      ])
    ).rows;
    return row?.due === true;
  });
  await Promise.all(clocks.map((clock) => clock.kill()));
  await admin.query('UPDATE ops.schedules SET enabled = false');
  await until('every run to end', async () => (await admin.query('SELECT FROM ops.open_runs')).rowCount === 0, 200_000);

  for (const job of jobs) {
    const ticks = await ticksOf(job.name);
    const first = ticks[0]?.due_at.getTime() ?? Number.NaN;
    expect(ticks.map((tick) => tick.due_at.getTime())).toEqual(ticks.map((_, i) => first + i * 1_000));
    expect(ticks.length).toBeGreaterThanOrEqual(LASTS_MS / 1_000 - 1);
    for (const tick of ticks) {
      if (tick.state === 'fired') expect(tick.made, job.name).toBe(tick.tenants);
      else expect([tick.made, tick.reason]).toEqual([0, expect.stringContaining('overlap')]);
    }
    // A minute's grace: none of them was missed. Where overlap queues, none was left out either.
    expect(ticks.filter((tick) => tick.state === 'fired').length).toBeGreaterThan(0);
    if (job.schedule?.overlap === 'queue')
      expect(ticks.every((tick) => tick.state === 'fired' && tick.made === 2)).toBe(true);
  }
}, 400_000);
