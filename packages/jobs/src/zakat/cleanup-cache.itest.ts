import { findRun, listFailures } from '@nightshift/engine/accept';
import { runJob, type TestEngine, testEngine } from '@nightshift/engine/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobs } from '../index.ts';
import { type HeldRow, holdRow } from '../testing/hold-row.ts';

let engine: TestEngine;
let users = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs });
});
beforeEach(() => rows('TRUNCATE zakat.analytics_metrics'));
afterAll(() => engine.close());

async function rows<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
  return (await engine.store.admin.query<Row>(sql, values)).rows;
}
async function row<Row extends object>(sql: string, values: unknown[] = []): Promise<Row> {
  const [first] = await rows<Row>(sql, values);
  if (first === undefined) throw new Error(`no row: ${sql}`);
  return first;
}
const start = async (job: string, input: object = {}, options: object = {}) =>
  (await engine.producer.accept({ job: `zakat.${job}`, tenant: null, input, options }, 'test')).id;
const run = (job: string, input: object = {}, options: object = {}) =>
  runJob(engine, { job: `zakat.${job}`, tenant: null, input, options });
const ended = async (id: string) => {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return findRun(engine.producer.pools, id, null);
};

async function addUser(): Promise<string> {
  const id = await engine.store.addTenant('zakat', `user-${++users}`);
  await rows('INSERT INTO zakat.users (tenant_id) VALUES ($1)', [id]);
  return id;
}
const addEntries = (user: string, ageHours: number, count = 1) =>
  rows(
    `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
     SELECT $1, 'wealth-trend', '2025-01-01', '2025-12-31', 'ns1.k.i.c', now() - make_interval(secs => $2) FROM generate_series(1, $3)`,
    [user, ageHours * 3_600, count],
  );
const entries = async () => (await row<{ n: number }>('SELECT count(*)::int AS n FROM zakat.analytics_metrics')).n;

describe('zakat.cleanup-cache', () => {
  test('deletes what is older than 24 h, of every user; a second run finds nothing', async () => {
    for (const user of [await addUser(), await addUser()]) {
      await addEntries(user, 24.01, 3);
      await addEntries(user, 23.99, 2);
      await addEntries(user, -1);
    }
    expect(await run('cleanup-cache')).toMatchObject({
      status: 'completed',
      expected: 6,
      processed: 6,
      result: { deleted: 6, errors: [], duration: expect.any(Number) },
    });
    expect(await entries()).toBe(6);
    expect(await run('cleanup-cache')).toMatchObject({ status: 'completed', expected: 0, result: { deleted: 0 } });
    expect(await run('cleanup-cache', { maxAgeHours: 23 })).toMatchObject({ result: { deleted: 4 } });
    expect(await entries()).toBe(2);
  });

  test('in many batches nothing is left and nothing is met twice, though all are of one instant', async () => {
    const user = await addUser();
    await rows(
      `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
       SELECT $1, 'm', '2025-01-01', '2025-12-31', 'ns1.k.i.c', now() - interval '2 days' FROM generate_series(1, 95)`,
      [user],
    );
    expect(await run('cleanup-cache', {}, { batchSize: 10 })).toMatchObject({ processed: 95, result: { deleted: 95 } });
    expect(await entries()).toBe(0);
  });

  test('a dry run says how many and deletes none; a wrong age is refused', async () => {
    await addEntries(await addUser(), 30, 4);
    expect(await run('cleanup-cache', {}, { dryRun: true })).toMatchObject({ result: { deleted: 4, dryRun: true } });
    expect(await entries()).toBe(4);
    await expect(start('cleanup-cache', { maxAgeHours: 0 })).rejects.toThrow('maxAgeHours');
  });

  test('an entry that cannot be deleted is named, the others go', async () => {
    const user = await addUser();
    await addEntries(user, 30, 20);
    const { id } = await row<{ id: string }>(
      'SELECT id FROM zakat.analytics_metrics ORDER BY computed_at, id OFFSET 7 LIMIT 1',
    );
    await rows(
      `CREATE TABLE zakat.keeps (tenant_id uuid, id uuid, FOREIGN KEY (tenant_id, id) REFERENCES zakat.analytics_metrics)`,
    );
    try {
      await rows('INSERT INTO zakat.keeps VALUES ($1, $2)', [user, id]);
      const made = await run('cleanup-cache');
      expect(made).toMatchObject({ status: 'completed_with_item_errors', failedItems: 1, result: { deleted: 19 } });
      const failures = await listFailures(engine.producer.pools, made.id, null, { limit: 10 });
      expect(JSON.stringify(failures)).toContain(id);
    } finally {
      await rows('DROP TABLE zakat.keeps');
    }
  });
});

describe('with a batch held in Postgres', () => {
  let held: HeldRow;

  beforeEach(async () => {
    held = await holdRow(engine.store, {
      table: 'zakat.analytics_metrics',
      event: 'DELETE',
      when: `OLD.metric = 'held'`,
    });
    const user = await addUser();
    for (let hours = 50; hours > 30; hours--) await addEntries(user, hours);
    await rows(
      `UPDATE zakat.analytics_metrics SET metric = 'held' WHERE id = (SELECT id FROM zakat.analytics_metrics ORDER BY computed_at OFFSET 7 LIMIT 1)`,
    );
  });

  test('cut off in its second batch, the run goes on from its checkpoint: each entry deleted once', async () => {
    const id = await start('cleanup-cache', {}, { batchSize: 5 });
    const pid = await held.waiting();
    expect(await entries()).toBe(15);
    await rows('SELECT pg_terminate_backend($1)', [pid]);
    await held.waiting();
    expect(await entries()).toBe(15);
    await held.letGo();
    expect(await ended(id)).toMatchObject({ status: 'completed', attempts: 1, processed: 20, result: { deleted: 20 } });
    expect(await entries()).toBe(0);
  });

  test('cancelled in its second batch, it ends after it: what was done stays done, the rest stays', async () => {
    const id = await start('cleanup-cache', {}, { batchSize: 5 });
    await held.waiting();
    expect(await engine.producer.cancel(id, 'test', null)).toBe('running');
    await held.letGo();
    const made = await ended(id);
    expect(made.status).toBe('cancelled');
    expect(await entries()).toBe(20 - made.processed);
    expect([5, 10]).toContain(made.processed);
    expect(await run('cleanup-cache')).toMatchObject({ status: 'completed', result: { deleted: 20 - made.processed } });
  });
});
