import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { until } from '@nightshift/engine/testing';
import { type Fleet, startFleet } from '../fleet/index.ts';
import { createRandom, type Random } from './random.ts';

const usage = `node bench/dist/faults/schedules.js [--minutes 10] [--seed 1]
Schedules of every minute and of every second while APIs and workers are killed at random. Exits 1 unless every tick is recorded once, and fired
once or reported.`;

const FLEET = { apis: 2, workers: 3, clock: 'on', gyms: { count: 3, members: 100 } } as const;
const JOBS = [
  { job: 'gym.commitment-scores', cron: '* * * * *', overlap: 'queue', stepMs: 60_000 },
  { job: 'gym.at-risk-detection', cron: '* * * * * *', overlap: 'skip', stepMs: 1_000 },
] as const;
/** Between two kills, ms. */
const PAUSE_MS = [2_000, 12_000] as const;
/** One kill in so many takes every process, and lasts. */
const ALL_IN = 6;
const ALL_DEAD_MS = [2_000, 90_000] as const;

interface Found {
  readonly ticks: number;
  readonly gaps: number;
  readonly fired: number;
  readonly skipped: number;
  readonly missed: number;
  /** Of them, those that no alert tells. */
  readonly silent: number;
  readonly doubled: number;
  readonly lost: number;
  readonly open: number;
  readonly late_p50: number;
  readonly late_max: number;
}

/** Counted over ticks, triggers and runs, from outside. */
const FIND = `
WITH t AS (SELECT *, due_at - lag(due_at) OVER (ORDER BY due_at) AS step FROM ops.ticks WHERE job = $1 AND due_at >= $2),
per AS (SELECT t.due_at, g.expected_runs, count(r.id)::int AS runs, count(DISTINCT r.tenant_id)::int AS tenants
  FROM t JOIN ops.triggers g ON g.id = t.trigger_id LEFT JOIN ops.run_view r ON r.trigger_id = g.id AND r.parent_id IS NULL GROUP BY 1, 2)
SELECT count(*)::int AS ticks, (count(*) FILTER (WHERE step <> make_interval(secs => $3::float8 / 1000)))::int AS gaps,
  (count(*) FILTER (WHERE state = 'fired'))::int AS fired, (count(*) FILTER (WHERE state = 'skipped'))::int AS skipped,
  (count(*) FILTER (WHERE state = 'missed'))::int AS missed,
  (count(*) FILTER (WHERE state = 'missed' AND NOT EXISTS (SELECT 1 FROM ops.alerts WHERE key = 'tick-missed:' || t.schedule_id)))::int AS silent,
  (SELECT count(*) FROM per WHERE runs > tenants)::int AS doubled, (SELECT count(*) FROM per WHERE runs < expected_runs)::int AS lost,
  (SELECT count(*) FROM ops.open_runs WHERE job = $1)::int AS open,
  coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY lateness_ms), 0)::int AS late_p50, coalesce(max(lateness_ms), 0)::int AS late_max
FROM t`;

async function arrange(fleet: Fleet): Promise<Date> {
  const [clock] = await fleet.admin.rows<{ at: Date }>(
    `SELECT date_trunc('minute', clock_timestamp()) + interval '1 minute' AS at`,
  );
  if (clock === undefined) throw new Error('Postgres has no clock');
  await fleet.admin.rows('UPDATE ops.schedules SET enabled = false');
  for (const { job, cron, overlap } of JOBS) {
    await fleet.admin.rows(
      `UPDATE ops.schedules SET cron = $2, overlap = $3, zone = 'UTC', misfire = 'latest', misfire_within_ms = NULL, misfire_same_day = false,
         next_due_at = $4, enabled = true, edited = true WHERE job = $1`,
      [job, cron, overlap, clock.at],
    );
  }
  return clock.at;
}

/** Kills one process or all of them; as many come back. */
async function killSome(fleet: Fleet, random: Random, say: (text: string) => void): Promise<void> {
  const everybody = [...fleet.apis(), ...fleet.workers()];
  if (random.between(1, ALL_IN) === 1) {
    const ms = random.between(...ALL_DEAD_MS);
    say(`all ${everybody.length} processes killed, for ${Math.round(ms / 1_000)} s`);
    await Promise.all(everybody.map((app) => app.kill()));
    await wait(ms);
  } else {
    await everybody[random.between(0, everybody.length - 1)]?.kill();
  }
  while (fleet.apis().length < FLEET.apis) await fleet.addApi();
  while (fleet.workers().length < FLEET.workers) await fleet.addWorker();
}

async function settle(fleet: Fleet): Promise<void> {
  await until(
    'the schedules to be stepped up to now',
    async () =>
      (await fleet.admin.rows('SELECT 1 FROM ops.schedules WHERE enabled AND next_due_at <= clock_timestamp()'))
        .length === 0,
    120_000,
  );
  await fleet.admin.rows('UPDATE ops.schedules SET enabled = false');
  await until(
    'every run to end',
    async () => (await fleet.admin.rows('SELECT 1 FROM ops.open_runs')).length === 0,
    300_000,
  );
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } },
  });
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error(`minutes must be above 0, seed whole.\n${usage}`);
  const say = (text: string) => void process.stdout.write(`${text}\n`);
  const random = createRandom(seed);
  const fleet = await startFleet(FLEET);
  try {
    const from = await arrange(fleet);
    say(`seed ${seed}, ${minutes} minutes from ${from.toISOString()}: ${FLEET.apis} APIs, ${FLEET.workers} workers`);
    let kills = 0;
    for (const end = from.getTime() + minutes * 60_000; Date.now() < end; kills++) {
      await wait(random.between(...PAUSE_MS));
      await killSome(fleet, random, say);
    }
    const ended = Date.now();
    await settle(fleet);
    say(`${kills} kills`);
    let bad = 0;
    for (const { job, cron, stepMs } of JOBS) {
      const [found] = await fleet.admin.rows<Found>(FIND, [job, from, stepMs]);
      const due = Math.floor((ended - from.getTime()) / stepMs) + 1;
      say(`${job} '${cron}', at least ${due} due: ${JSON.stringify(found)}`);
      if (found === undefined || found.ticks < due) bad++;
      else bad += found.gaps + found.silent + found.doubled + found.lost + found.open;
    }
    say(bad === 0 ? 'every tick recorded once, and fired once or reported' : `${bad} problems`);
    return bad === 0 ? 0 : 1;
  } finally {
    await fleet.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
