import { createCatalogue, DeclarationError, defineJob, UnknownJobError } from '@nightshift/engine';
import { createProducer } from '@nightshift/engine/accept';
import { TEST_ENCRYPTION_KEYS, type TestStore, testStore, until } from '@nightshift/engine/testing';
import { jobs } from '@nightshift/jobs';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { getJobStatus, triggerJob as triggerOfTheProcess } from './index.ts';
import { BadCronError, createZakatScheduler, NotInitializedError, TriggeredRunError } from './scheduler.ts';

let store: TestStore;
const scheduler = createZakatScheduler();
const log = pino({ level: 'silent' });

beforeAll(async () => {
  store = await testStore();
  const user = await store.addTenant('zakat', 'user');
  await store.admin.query('INSERT INTO zakat.users (tenant_id) VALUES ($1)', [user]);
});
afterEach(() => scheduler.stopAllJobs());
afterAll(() => store.close());

const env = () => ({
  DATABASE_URL: store.databaseUrl,
  REDIS_URL: store.redisUrl,
  NIGHTSHIFT_NS: store.namespace.slice(0, 32),
  NIGHTSHIFT_CLOCK: 'off',
  ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
});
const initialize = (given: Parameters<typeof scheduler.initializeJobs>[0] = {}) =>
  scheduler.initializeJobs({ env: env(), log, ...given });
const addEntries = () =>
  store.admin.query(
    `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
     SELECT tenant_id, 'm', '2025-01-01', '2025-12-31', 'ns1.k.i.c', now() - interval '2 days' FROM zakat.users, generate_series(1, 3)`,
  );
const SEED = [
  { name: 'Cache Cleanup', enabled: true, schedule: '0 2 * * *' },
  { name: 'Reminder Generation', enabled: true, schedule: '0 3 * * *' },
  { name: 'Summary Regeneration', enabled: true, schedule: '0 4 * * *' },
];

test('status, triggers by title and by id, stop: as the seed shows them', async () => {
  expect(getJobStatus()).toEqual(SEED);
  await initialize();
  expect(scheduler.getJobStatus()).toEqual(SEED);
  await addEntries();
  expect(await scheduler.triggerJob('Cache Cleanup')).toMatchObject({
    deleted: 3,
    errors: [],
    duration: expect.any(Number),
  });
  expect(await scheduler.triggerJob('zakat.cleanup-cache')).toMatchObject({ deleted: 0 });
  expect(await scheduler.triggerJob('Reminder Generation')).toMatchObject({ created: 0, skipped: 0 });
  expect(await scheduler.triggerJob('Summary Regeneration')).toMatchObject({ regenerated: 0, failed: 0 });
  await Promise.all([scheduler.stopAllJobs(), scheduler.stopAllJobs()]);
  const { rows } = await store.admin.query('SELECT id FROM ops.workers');
  expect(rows).toEqual([]);
  await expect(scheduler.triggerJob('Cache Cleanup')).rejects.toThrow(NotInitializedError);
});

test('a name that is none is answered with the nearest; nothing runs before initializeJobs', async () => {
  await expect(scheduler.triggerJob('Cache Clean-up')).rejects.toThrow("Did you mean 'Cache Cleanup'?");
  await expect(scheduler.triggerJob('zakat.cleanup-cash')).rejects.toThrow("Did you mean 'zakat.cleanup-cache'?");
  await expect(scheduler.triggerJob('gym.coach-actions')).rejects.toThrow(UnknownJobError);
  await expect(triggerOfTheProcess('Cache Cleanup')).rejects.toThrow(NotInitializedError);
});

test('a bad cron expression stops the start and names the job: given, stored, or declared', async () => {
  await expect(initialize({ jobs: { 'Cache Cleanup': { schedule: '0 25 * * *' } } })).rejects.toThrow(
    /'Cache Cleanup' \(zakat\.cleanup-cache\).*'0 25 \* \* \*'/,
  );
  await initialize();
  await scheduler.stopAllJobs();
  await store.admin.query(`UPDATE ops.schedules SET cron = 'every night' WHERE job = 'zakat.generate-reminders'`);
  await expect(initialize()).rejects.toThrow(BadCronError);
  await expect(initialize()).rejects.toThrow(/'Reminder Generation'.*'every night'/);
  await expect(scheduler.triggerJob('Cache Cleanup')).rejects.toThrow(NotInitializedError);
  expect((await store.admin.query('SELECT id FROM ops.workers')).rows).toEqual([]);
  await store.admin.query(`UPDATE ops.schedules SET cron = '0 3 * * *' WHERE job = 'zakat.generate-reminders'`);
  for (const job of jobs.filter((one) => one.system === 'zakat')) {
    const { system, queue, ...declared } = job;
    expect(() => defineJob({ ...declared, schedule: { cron: '0 2 * *', zone: 'UTC' } } as never), job.name).toThrow(
      DeclarationError,
    );
    expect(() => defineJob({ ...declared, schedule: { cron: '0 2 * *', zone: 'UTC' } } as never)).toThrow(job.name);
  }
});

test('a job is switched off and moved by configuration, and stays so for whoever asks', async () => {
  await initialize({ jobs: { 'Summary Regeneration': { enabled: false, schedule: '30 4 * * *' } } });
  const changed = { name: 'Summary Regeneration', enabled: false, schedule: '30 4 * * *' };
  expect(scheduler.getJobStatus()).toContainEqual(changed);
  await scheduler.stopAllJobs();
  await initialize();
  expect(scheduler.getJobStatus()).toContainEqual(changed);
  const { rows } = await store.admin.query(`SELECT actor FROM ops.audit_log WHERE action = 'schedule.edited'`);
  expect(rows).toEqual([{ actor: 'zakat:scheduler' }]);
  await scheduler.stopAllJobs();
  await initialize({ jobs: { 'zakat.regenerate-summaries': { enabled: true, schedule: '0 4 * * *' } } });
  expect(scheduler.getJobStatus()).toEqual(SEED);
});

test('a run that is cancelled is an error of whoever triggered it, with the run’s id', async () => {
  await initialize();
  const producer = createProducer({ ...engineOf(env()), catalogue: createCatalogue(jobs), log, poolMax: 2 });
  try {
    await producer.pause('job', 'zakat.cleanup-cache', 'test');
    const outcome = scheduler.triggerJob('Cache Cleanup').catch((error: unknown) => error);
    const id = await until('the run to wait', async () => {
      const { rows } = await store.admin.query<{ id: string }>(
        `SELECT id FROM ops.open_runs WHERE job = 'zakat.cleanup-cache'`,
      );
      return rows[0]?.id;
    });
    expect(await producer.cancel(id, 'test', null)).toBe('cancelled');
    expect(await outcome).toBeInstanceOf(TriggeredRunError);
    expect(String(await outcome)).toContain(id);
  } finally {
    await producer.close();
  }
});

function engineOf(given: ReturnType<typeof env>) {
  return { databaseUrl: given.DATABASE_URL, redisUrl: given.REDIS_URL, namespace: given.NIGHTSHIFT_NS };
}
