import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool, type Pool } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import { nextInstant, type Priority, type Scope } from '@nightshift/engine';
import { fakeClock, TEST_ENCRYPTION_KEYS } from '@nightshift/engine/testing';
import { jobs, templates } from '@nightshift/jobs';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createJobSettings } from '../../../packages/engine/src/job-settings.ts';
import { type Clock, createClock } from '../../../packages/engine/src/schedule/clock.ts';
import { CRON_SECRET, FUNCTIONS_API_KEY, type TestApi, testApi } from '../../api/src/testing/test-api.ts';
import { runCaptured } from './testing/run-captured.ts';

// SPEC 3's table, row by row: what a job declares, and that it runs from its schedule, by API, by CLI and on its seed's paths.

interface Row {
  readonly job: string;
  readonly schedule: { readonly cron: string; readonly zone: string; readonly after: string | null } | null;
  readonly scope: Scope;
  readonly priority: Priority;
  readonly typicalMs: number;
  readonly maxMs: number;
  /** The seed's paths for it. */
  readonly calls: readonly (readonly [method: 'GET' | 'POST', path: string])[];
}

type Times = readonly [typicalMs: number, maxMs: number];
const row = (
  job: string,
  schedule: Row['schedule'],
  scope: Scope,
  priority: Priority,
  [typicalMs, maxMs]: Times,
  path: string,
  methods: readonly ('GET' | 'POST')[] = ['POST'],
): Row => ({ job, schedule, scope, priority, typicalMs, maxMs, calls: methods.map((method) => [method, path]) });
const at = (cron: string, after: string | null = null) => ({ cron, zone: 'UTC', after });
const local = (cron: string) => ({ cron, zone: 'tenant', after: null });

const TABLE: readonly Row[] = [
  row('clinic.refresh-summaries', at('0 2 * * *'), 'tenant', 'MEDIUM', [5_000, 60_000], '/api/jobs/refresh-summaries', ['GET', 'POST']),
  row('clinic.generate-tasks', at('0 3 * * *'), 'tenant', 'HIGH', [5_000, 60_000], '/api/jobs/generate-tasks', ['GET', 'POST']),
  row('clinic.refresh-dashboard', at('0 */6 * * *'), 'system', 'LOW', [5_000, 60_000], '/api/jobs/refresh-dashboard', ['GET', 'POST']),
  row('gym.commitment-scores', at('0 2 * * *'), 'tenant', 'MEDIUM', [5_000, 600_000], '/api/cron/commitment-scores', ['GET', 'POST']),
  row('gym.at-risk-detection', at('0 3 * * *', 'gym.commitment-scores'), 'tenant', 'MEDIUM', [5_000, 600_000], '/api/cron/at-risk-detection', ['GET', 'POST']),
  row('gym.coach-actions', at('0 4 * * *', 'gym.at-risk-detection'), 'tenant', 'HIGH', [5_000, 600_000], '/api/cron/coach-actions', ['GET', 'POST']),
  row('litigation.check-sla-and-overdue', at('*/15 * * * *'), 'tenant', 'CRITICAL', [5_000, 15_000], '/functions/v1/check-sla-and-overdue'),
  row('litigation.send-hearing-reminders', local('0 8 * * *'), 'tenant', 'HIGH', [15_000, 30_000], '/functions/v1/send-hearing-reminders'),
  row('litigation.analytics-snapshot', local('59 23 * * *'), 'tenant', 'MEDIUM', [30_000, 60_000], '/functions/v1/analytics-snapshot'),
  row('litigation.check-upcoming-deadlines', local('0 9 * * *'), 'tenant', 'HIGH', [8_000, 20_000], '/functions/v1/check-upcoming-deadlines'),
  row('litigation.automation-health-check', local('0 7 * * *'), 'tenant', 'MEDIUM', [5_000, 10_000], '/functions/v1/automation-health-check'),
  row('medication.medication-reminder', at('* * * * *'), 'tenant', 'CRITICAL', [1_000, 10_000], '/api/v1/jobs/medication-reminder'),
  row('medication.refill-check', at('0 6 * * *'), 'tenant', 'HIGH', [1_000, 10_000], '/api/v1/jobs/refill-check'),
  row('medication.interaction-check', null, 'tenant', 'CRITICAL', [1_000, 10_000], '/api/v1/jobs/interaction-check'),
  row('medication.supply-monitor', at('0 */4 * * *'), 'tenant', 'HIGH', [1_000, 10_000], '/api/v1/jobs/supply-monitor'),
  row('medication.analytics-roll-up', at('30 0 * * *'), 'tenant', 'LOW', [10_000, 60_000], '/api/v1/jobs/analytics-roll-up'),
  row('medication.backup', at('0 1 * * *'), 'system', 'LOW', [30_000, 600_000], '/api/v1/jobs/backup'),
  row('zakat.cleanup-cache', at('0 2 * * *'), 'system', 'LOW', [500, 60_000], '', []),
  row('zakat.generate-reminders', at('0 3 * * *'), 'system', 'MEDIUM', [2_000, 60_000], '', []),
  row('zakat.regenerate-summaries', at('0 4 * * *'), 'system', 'MEDIUM', [3_000, 60_000], '', []),
]; // biome-ignore format: a table

test('the catalogue is the table: schedule, scope, priority, times', () => {
  const declared = jobs.map(({ name, schedule, scope, priority, typicalMs, maxMs }) => ({
    job: name,
    schedule:
      schedule === undefined ? null : { cron: schedule.cron, zone: schedule.zone, after: schedule.after ?? null },
    ...{ scope, priority, typicalMs, maxMs },
  }));
  const byName = (a: { job: string }, b: { job: string }) => a.job.localeCompare(b.job);
  expect([...declared].sort(byName)).toEqual(TABLE.map(({ calls: _calls, ...rest }) => rest).sort(byName));
});

let api: TestApi;
const pools: Pool[] = [];
let clock: Clock;
let time: ReturnType<typeof fakeClock>;
/** One tenant of each system. */
let tenants: Readonly<Record<string, { readonly id: string; readonly slug: string }>>;
/** Ad-hoc inputs, of a user of the demo. */
let inputs: Readonly<Record<string, object>>;
const files = mkdtempSync(join(tmpdir(), 'nightshift-every-job-'));

beforeAll(async () => {
  vi.stubEnv('BACKUP_ROOT', join(files, 'backups'));
  vi.stubEnv('ENCRYPTION_KEYS', TEST_ENCRYPTION_KEYS);
  api = await testApi({ jobs, templates, workers: 1 });
  const { store, producer } = api;
  await seedDemo({
    ...{
      adminUrl: store.adminUrl,
      encryptionKeys: TEST_ENCRYPTION_KEYS,
      days: 30,
      gyms: 1,
      members: 20,
      facilities: 1,
    },
    ...{ clients: 20, organisations: 1, organisationUsers: 5, zakatUsers: 10, firms: 1 },
  });
  await producer.syncSchedules();
  // Only the schedule in hand is ever due.
  await store.admin.query(`UPDATE ops.schedules SET next_due_at = '2100-01-01'`);
  const found = await store.admin.query<{ system: string; id: string; slug: string }>(
    `SELECT DISTINCT ON (system) system, id, slug FROM ops.tenants WHERE kind = 'tenant' ORDER BY system, slug`,
  );
  tenants = Object.fromEntries(found.rows.map(({ system, id, slug }) => [system, { id, slug }]));
  const taken = await store.admin.query<{ user_id: string; medication_id: string }>(
    `SELECT user_id, medication_id FROM medication.user_medications WHERE status = 'active' ORDER BY id LIMIT 1`,
  );
  inputs = inputsOf(taken.rows[0] ?? { user_id: '', medication_id: '' });
  const ops = createPool({ url: store.databaseUrl, role: 'ns_ops', max: 2, name: 'test' });
  const app = createPool({ url: store.databaseUrl, role: 'ns_app', max: 2, name: 'test' });
  pools.push(ops, app);
  const log = pino({ level: 'silent' });
  const settings = createJobSettings(ops);
  time = fakeClock('2000-01-01T00:00:00Z');
  const { catalogue } = producer;
  clock = createClock({
    app,
    ops,
    catalogue,
    settings,
    log,
    wake: () => undefined,
    fireSchedules: false,
    now: time.now,
  });
});
afterAll(async () => {
  await clock?.stop();
  await Promise.all(pools.map((pool) => pool.end()));
  await api?.close();
  vi.unstubAllEnvs();
  rmSync(files, { recursive: true, force: true });
});

function inputsOf(one: { readonly user_id: string; readonly medication_id: string }): Record<string, object> {
  const { user_id, medication_id } = one;
  const day = { time_range: { start: '2026-11-01', end: '2026-11-02' }, metrics_types: ['adherence'] };
  return {
    'medication.medication-reminder': { ...one, schedule: { frequency: 'daily', times: ['08:00'] } },
    'medication.refill-check': { ...one, current_supply: 30 },
    'medication.interaction-check': { user_id, medications: [medication_id] },
    'medication.supply-monitor': { user_id, medications: [medication_id] },
    'medication.analytics-roll-up': day,
    'medication.backup': { backup_type: 'tenant' },
  };
}

const systemOf = (job: string) => job.slice(0, job.indexOf('.'));
const tenantOf = (job: string) => tenants[systemOf(job)] ?? { id: '', slug: '' };
/** Whose run is asked for: a backup is an organisation's, the platform's other jobs are nobody's. */
const tenantNamed = ({ job, scope }: Row) =>
  scope === 'tenant' || job === 'medication.backup' ? { tenant: tenantOf(job).slug } : {};

interface Recorded {
  readonly id: string;
  readonly outcome: string;
  readonly actor: string;
  /** Kind of what caused it; null: asked for by itself. */
  readonly cause: string | null;
  readonly tick: string | null;
  readonly stale: boolean;
}

/** Runs of the job that ended since the last look, from the history. */
async function recorded(job: string): Promise<Recorded[]> {
  const seen = seenOf.get(job) ?? new Set();
  const { rows } = await api.store.admin.query<Recorded>(
    `SELECT r.id, r.outcome, r.actor, t.kind AS cause, r.tick_date::text AS tick, r.stale_inputs AS stale
     FROM ops.runs r LEFT JOIN ops.triggers t ON t.id = r.trigger_id WHERE r.job = $1 ORDER BY r.id`,
    [job],
  );
  const fresh = rows.filter(({ id }) => !seen.has(id));
  for (const { id } of fresh) seen.add(id);
  return fresh;
}

/** Lets the job's first schedule fire for its first tick of yesterday. Resolves to the run that this made. */
async function fire({ job, schedule }: Row): Promise<string> {
  const { rows } = await api.store.admin.query<{ id: string; zone: string }>(
    'SELECT id, zone FROM ops.schedules WHERE job = $1 ORDER BY zone LIMIT 1',
    [job],
  );
  const [{ id, zone }] = rows as [{ id: string; zone: string }];
  const yesterday = (Math.floor(Date.now() / 86_400_000) - 1) * 86_400_000;
  const tick = nextInstant(schedule?.cron ?? '', zone, new Date(yesterday - 1));
  if (job === 'medication.medication-reminder')
    await api.store.admin.query('UPDATE medication.dose_schedules SET next_due_at = $1', [tick]);
  await api.store.admin.query('UPDATE ops.schedules SET next_due_at = $2 WHERE id = $1', [id, tick]);
  time.set(new Date(tick.getTime() + 1_000).toISOString());
  expect(await clock.fire(), job).toBe(1);
  await api.store.admin.query(`UPDATE ops.schedules SET next_due_at = '2100-01-01' WHERE id = $1`, [id]);
  const made = await api.store.admin.query<{ state: string; run: string }>(
    `SELECT t.state, r.id AS run FROM ops.ticks t LEFT JOIN ops.run_view r ON r.trigger_id = t.trigger_id
     WHERE t.schedule_id = $1 AND t.due_at = $2`,
    [id, tick],
  );
  expect(made.rows, job).toMatchObject([{ state: 'fired', run: expect.any(String) }]);
  return made.rows[0]?.run ?? '';
}

const seenOf = new Map(TABLE.map(({ job }) => [job, new Set<string>()]));

test('every job with a schedule runs from it, in the order of `after`', async () => {
  const scheduled = TABLE.filter(({ schedule }) => schedule !== null);
  let open: string[] = [];
  for (const one of scheduled) {
    // What it runs after must have ended for the same date: yesterday is more than an hour ago, so it would not wait.
    if (one.schedule?.after !== null) await api.producer.waitFor(open, { timeoutMs: 50_000 });
    open = [...open, await fire(one)];
  }
  await api.producer.waitFor(open, { timeoutMs: 50_000 });
  for (const { job } of scheduled)
    expect(await recorded(job), job).toMatchObject([
      { outcome: 'completed', cause: 'tick', stale: false, tick: expect.stringMatching(/^\d{4}-\d\d-\d\d$/) },
    ]);
});

const secretOf: Readonly<Record<string, string>> = {
  clinic: CRON_SECRET,
  gym: CRON_SECRET,
  litigation: FUNCTIONS_API_KEY,
};

test.concurrent.each(TABLE.map((one) => [one.job, one] as const))(
  '%s runs by API, by CLI and on its paths, and each run is on record',
  async (job, one) => {
    const done = { outcome: 'completed', stale: false };
    const asked = { ...tenantNamed(one), input: inputs[job] ?? {} };
    const byApi = await api.call('POST', `/v1/jobs/${job}/runs`, {
      as: { role: 'admin' },
      json: asked,
      headers: { Prefer: 'wait=50' },
    });
    expect(byApi).toMatchObject({ status: 200, body: { job, status: 'completed', priority: one.priority } });
    expect(await recorded(job)).toMatchObject([{ ...done, id: byApi.body.id, cause: null, actor: 'ada' }]);

    const named = asked.tenant === undefined ? [] : ['--tenant', asked.tenant];
    const byCli = await runCaptured(
      ['run', job, ...named, '--input', JSON.stringify(asked.input), '--wait', '50', '--json'],
      {
        DATABASE_URL: api.store.databaseUrl,
        REDIS_URL: api.store.redisUrl,
        NIGHTSHIFT_NS: api.store.namespace,
        ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
      },
    );
    expect(byCli.exitCode, byCli.stderr).toBe(0);
    expect(await recorded(job)).toMatchObject([
      { ...done, id: byCli.json<{ id: string }>().id, cause: null, actor: expect.stringMatching(/^cli/) },
    ]);

    for (const [method, path] of one.calls) {
      const secret = secretOf[systemOf(job)];
      const reply = await api.call(
        method,
        path,
        secret === undefined
          ? {
              as: { role: 'admin', tenant: tenantOf(job).id, sub: 'nurse' },
              json: inputs[job],
              headers: { Prefer: 'wait=50' },
            }
          : { bearer: secret },
      );
      expect([reply.status, reply.body], `${method} ${path}`).toEqual([200, expect.anything()]);
      const cause = secret === undefined ? { cause: null, actor: 'nurse' } : { cause: 'drop-in' };
      expect(await recorded(job), `${method} ${path}`).toMatchObject([{ ...done, ...cause }]);
    }
  },
);
