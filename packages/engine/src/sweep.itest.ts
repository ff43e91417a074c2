import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { SweepContext } from './define-job.ts';
import { PermanentError } from './errors.ts';
import { findRun, listAttempts, listFailures, type RunDetail } from './query/index.ts';
import { runJob, type TestEngine, testEngine, until } from './testing/index.ts';
import {
  addItems, countAsDone, createGate, doneItems, type Gate, makeTinyTables, type TinyItem, tinySweep, tinyTask,
} from './testing/tiny.ts'; // biome-ignore format: a list of names

/** What the test lets a job do at each batch; it is called before the effects. */
let atBatch: (ctx: SweepContext<unknown>, items: readonly TinyItem[]) => Promise<void>;

const process: typeof countAsDone = async (ctx, items) => {
  await atBatch(ctx, items);
  return countAsDone(ctx, items);
};

const sweep = tinySweep('sweep', { retry: { retries: 0 }, process });
const uncounted = tinySweep('uncounted', { count: async () => 40, retry: { retries: 0 } });
const patient = tinySweep('patient', { options: { batchSize: 10, batchDelayMs: 60_000 }, process });
const timed = tinySweep('timed', { options: { batchSize: 10, batchDelayMs: 0, timeoutMs: 1_500 }, process });
const wide = tinySweep('wide', { scope: 'system', retry: { retries: 0 }, process });
const sulking = tinySweep('sulking', {
  retry: { retries: 0 },
  summarize: () => ({ big: 10n }),
});
const twice = tinyTask('twice', {
  async run(ctx) {
    for (let i = 0; i < 2; i++) {
      await ctx.transaction(async ({ client }) => {
        await client.query('UPDATE tiny.items SET done = done + 1 WHERE tenant_id = $1', [ctx.tenant.id]);
      });
    }
    return { twice: true };
  },
});
const hanging = tinyTask('hanging', {
  retry: { retries: 0 },
  input: z.strictObject({}),
  run: () => new Promise(() => undefined),
});
const permanent = tinyTask('permanent', {
  run: async () => {
    throw new PermanentError('there is no such view');
  },
});

let engine: TestEngine;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({
    jobs: [sweep, uncounted, patient, timed, wide, sulking, twice, hanging, permanent],
    slots: { short: 1, long: 3 },
  });
  await makeTinyTables(engine.store);
  await engine.store.admin.query(
    `CREATE TABLE tiny.known (note text PRIMARY KEY);
     CREATE TABLE tiny.later (note text REFERENCES tiny.known DEFERRABLE INITIALLY DEFERRED);
     GRANT ALL ON tiny.later, tiny.known TO ns_app`,
  );
});
beforeEach(async () => {
  atBatch = async () => undefined;
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
});
afterAll(() => engine.close());

const run = (job: string, options = {}) => runJob(engine, { job: `tiny.${job}`, tenant, input: {}, options });
const start = async (job: string, options = {}) =>
  (await engine.producer.accept({ job: `tiny.${job}`, tenant, input: {}, options }, 'test')).id;
const find = (id: string) => findRun(engine.producer.pools, id, null);
const ended = async (id: string): Promise<RunDetail> => {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return find(id);
};
const allDone = (n: number, times = 1) =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`t${tenants}-${String(i).padStart(3, '0')}`, times]));
const add = (n: number, broken: readonly number[] = []) =>
  addItems(engine.store, tenant, n, {
    prefix: `t${tenants}-`,
    broken: broken.map((i) => `t${tenants}-${String(i).padStart(3, '0')}`),
  });

describe('a sweep', () => {
  it('goes batch by batch over every item, once', async () => {
    await add(25);
    const sizes: number[] = [];
    atBatch = async (_ctx, items) => void sizes.push(items.length);
    const done = await run('sweep');
    expect(sizes).toEqual([10, 10, 5]);
    expect(done).toMatchObject({ status: 'completed', processed: 25, changed: 25, expected: 25, failedItems: 0 });
    expect(done.result).toMatchObject({ processed: 25, tally: { batches: 3 }, errors: [], totalErrors: 0 });
    expect(done.result).toHaveProperty('duration', expect.any(Number));
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(25));
  });

  it('of nothing ends at once', async () => {
    expect(await run('sweep')).toMatchObject({ status: 'completed', processed: 0, expected: 0 });
  });

  it('tells how far it is while it runs', async () => {
    await add(30);
    const gate = createGate();
    let batches = 0;
    atBatch = async () => {
      batches += 1;
      if (batches === 3) await gate.pass();
    };
    const id = await start('sweep');
    await gate.reached;
    expect(await find(id)).toMatchObject({ status: 'running', processed: 20, expected: 30 });
    gate.open();
    expect(await ended(id)).toMatchObject({ status: 'completed', processed: 30 });
  });

  it('says so when it met fewer items than it had counted', async () => {
    await add(25);
    const done = await run('uncounted');
    expect(done).toMatchObject({ status: 'completed', expected: 40, processed: 25 });
    const { rows } = await engine.store.admin.query('SELECT severity, run_id FROM ops.alerts WHERE tenant_id = $1', [
      tenant,
    ]);
    expect(rows).toEqual([{ severity: 'WARNING', run_id: done.id }]);
  });

  it('holds no connection between batches', async () => {
    await add(25);
    const id = await start('patient');
    await until('the first batch', async () => (await find(id)).processed === 10);
    const { rows } = await until(
      'the connections to be quiet',
      async () => {
        const busy = await engine.store.admin.query<{ state: string }>(
          `SELECT state FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nightshift-worker' AND state <> 'idle'`,
        );
        return busy.rows.length === 0 && busy;
        // Postgres itself ends what idles in a transaction, after 10 s.
      },
      5_000,
    );
    expect(rows).toEqual([]);
    expect(await engine.producer.cancel(id, 'test', tenant)).toBe('running');
    expect(await ended(id)).toMatchObject({ status: 'cancelled', processed: 10 });
  });
});

describe('an item that fails', () => {
  it('is recorded, and the others of its batch are done', async () => {
    await add(25, [7, 13]);
    const done = await run('sweep');
    expect(done).toMatchObject({ status: 'completed_with_item_errors', processed: 25, changed: 23, failedItems: 2 });
    const [a, b] = [`t${tenants}-007`, `t${tenants}-013`];
    expect(await doneItems(engine.store, tenant)).toEqual({ ...allDone(25), [a]: 0, [b]: 0 });
    const failures = await listFailures(engine.producer.pools, done.id, tenant, { limit: 10 });
    expect(failures.items.map((failure) => failure.item)).toEqual([a, b]);
    expect(done.result).toMatchObject({ errors: [{ item: a }, { item: b }], totalErrors: 2 });
    expect(JSON.stringify(done.result)).toContain('SQLSTATE 22012');
  });

  it('is found as well where Postgres refuses it at the commit only', async () => {
    await add(25);
    atBatch = async (ctx, items) => {
      const late = items.filter((item) => item.id.endsWith('7')).map((item) => item.id);
      await ctx.client.query('INSERT INTO tiny.later (note) SELECT unnest($1::text[])', [late]);
    };
    const done = await run('sweep');
    expect(done).toMatchObject({ status: 'completed_with_item_errors', processed: 25, changed: 23, failedItems: 2 });
    const failures = await listFailures(engine.producer.pools, done.id, tenant, { limit: 10 });
    expect(failures.items.map((failure) => failure.item)).toEqual([`t${tenants}-007`, `t${tenants}-017`]);
  });

  it('is done again alone by a replay', async () => {
    await add(25, [7, 13]);
    const first = await run('sweep');
    await engine.store.admin.query('UPDATE tiny.items SET broken = false');
    const { id } = await engine.producer.replay(first.id, 'test', tenant);
    const replayed = await ended(id);
    expect(replayed).toMatchObject({ status: 'completed', replayOf: first.id, processed: 2, expected: 2 });
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(25));
    await expect(engine.producer.replay(id, 'test', tenant)).rejects.toThrow('nothing to replay');
  });

  it('fails the run when the whole first batch fails with it', async () => {
    await add(25, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const done = await run('sweep');
    expect(done).toMatchObject({ status: 'failed', errorClass: 'FirstBatchFailedError', processed: 0 });
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(25, 0));
    expect((await listFailures(engine.producer.pools, done.id, tenant, { limit: 10 })).items).toEqual([]);
  });
});

describe('a dry run', () => {
  it('changes nothing and tells what would change', async () => {
    await add(25, [7]);
    const done = await run('sweep', { dryRun: true });
    expect(done).toMatchObject({ status: 'completed_with_item_errors', processed: 25, changed: 24, failedItems: 1 });
    expect(done.result).toMatchObject({ dryRun: true, changed: 24, errors: [{ item: `t${tenants}-007` }] });
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(25, 0));
  });

  it('of a task rolls back each of its transactions', async () => {
    await add(3);
    expect(await run('twice', { dryRun: true })).toMatchObject({ status: 'completed', result: { twice: true } });
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(3, 0));
    await run('twice');
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(3, 2));
  });
});

describe('a timeout', () => {
  it('ends the attempt, and the retry goes on at the checkpoint', async () => {
    await add(30);
    const gates: Gate[] = [];
    atBatch = async (_ctx, items) => {
      if (items[0]?.id !== `t${tenants}-010` || gates.length > 0) return;
      const never = createGate();
      gates.push(never);
      await never.pass();
    };
    const done = await run('timed');
    expect(done).toMatchObject({ status: 'completed', attempts: 2, processed: 30, changed: 30 });
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(30));
    const attempts = await listAttempts(engine.producer.pools, done.id, tenant);
    expect(attempts.map((attempt) => attempt.outcome)).toEqual(['timeout', 'completed']);
    // What hung goes on now, and can no longer write.
    gates[0]?.open();
    await run('sweep');
    expect(await doneItems(engine.store, tenant)).toEqual(allDone(30, 2));
  });

  it('ends a task that never answers', async () => {
    const done = await run('hanging', { timeoutMs: 300 });
    expect(done).toMatchObject({ status: 'failed', errorClass: 'DeadlineExceededError', attempts: 1 });
  });
});

describe('a long run', () => {
  it('whose result cannot be stored fails, and is not taken for a crash', async () => {
    expect(await run('sulking')).toMatchObject({ status: 'failed', errorClass: 'PermanentError', crashes: 0 });
  });

  it('that no retry can mend fails at once', async () => {
    expect(await run('permanent')).toMatchObject({
      status: 'failed',
      attempts: 1,
      errorMessage: 'there is no such view',
    });
  });
});

describe('a system-scope sweep', () => {
  it('goes over every tenant’s items, and sees none but those of the tenants in hand', async () => {
    const others = [await engine.store.addTenant('tiny', 'w1'), await engine.store.addTenant('tiny', 'w2')];
    const foreign = await engine.store.addTenant('other', 'w1');
    await engine.store.admin.query(
      `DELETE FROM tiny.items; ALTER TABLE tiny.items ENABLE ROW LEVEL SECURITY;
       CREATE POLICY tenant ON tiny.items TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))`,
    );
    await addItems(engine.store, others[0] ?? '', 13, { prefix: 'a', broken: ['a004'] });
    await addItems(engine.store, others[1] ?? '', 14, { prefix: 'b' });
    await addItems(engine.store, foreign, 5, { prefix: 'c' });
    const seen = new Set<string>();
    let pagedTenants: readonly string[] = [];
    atBatch = async (ctx) => {
      pagedTenants = ctx.tenantIds;
      const { rows } = await ctx.client.query<{ tenant_id: string }>('SELECT DISTINCT tenant_id FROM tiny.items');
      for (const row of rows) seen.add(row.tenant_id);
    };
    const done = await runJob(engine, { job: 'tiny.wide', tenant: null, input: {} });
    expect(done).toMatchObject({ status: 'completed_with_item_errors', processed: 27, expected: 27, changed: 26 });
    expect([...seen].sort()).toEqual([...others].sort());
    expect(pagedTenants).not.toContain(foreign);
    const { rows } = await engine.store.admin.query(
      'SELECT item_key, tenant_id FROM ops.item_failures WHERE run_id = $1',
      [done.id],
    );
    expect(rows).toEqual([{ item_key: 'a004', tenant_id: others[0] }]);
    expect(await doneItems(engine.store, foreign)).toEqual({ c000: 0, c001: 0, c002: 0, c003: 0, c004: 0 });
    await engine.store.admin.query('ALTER TABLE tiny.items DISABLE ROW LEVEL SECURITY');
  });
});
