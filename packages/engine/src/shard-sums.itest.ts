import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRun, type RunDetail } from './query/index.ts';
import { runJob, type TestEngine, testEngine, until } from './testing/index.ts';
import {
  addItems,
  countAsDone,
  createGate,
  type Gate,
  makeTinyTables,
  type TinyItem,
  tinySweep,
} from './testing/tiny.ts';

// What the parent of shards says at its end: its counts, its summary, what it warns of.

const BATCH = 10;
let gate: Gate | null = null;

/** Two halves, the first of ten items. */
const shards = {
  items: BATCH,
  async bounds(ctx: Parameters<typeof countAsDone>[0]) {
    const { rows } = await ctx.client.query<{ id: string }>(
      'SELECT id FROM tiny.items WHERE tenant_id = $1 ORDER BY id OFFSET 9 LIMIT 1',
      [ctx.tenantIds[0]],
    );
    return rows.map((row) => row.id);
  },
};
const tallied = tinySweep('tallied', {
  shards,
  async process(ctx, items) {
    await countAsDone(ctx, items);
    return { changed: items.length, tally: { bytes: items.length * 2e8, hours: items.length * 0.25 } };
  },
});
/** Its second half is gone when it comes to it. */
const vanishing = tinySweep('vanishing', {
  shards: {
    items: BATCH,
    async bounds(ctx) {
      const bounds = await shards.bounds(ctx);
      await ctx.client.query('DELETE FROM tiny.items WHERE tenant_id = $1 AND id > $2', [ctx.tenantIds[0], bounds[0]]);
      return bounds;
    },
  },
});
const throwing = tinySweep('throwing', {
  shards,
  summarize: () => {
    throw new RangeError('nothing to divide by');
  },
});
const unstorable = tinySweep('unstorable', { shards, summarize: () => ({ big: 10n }) });
/** Its second half waits for the test. */
const plain = tinySweep('plain', {
  shards,
  async process(ctx, items: readonly TinyItem[]) {
    if (items[0]?.id.endsWith('010')) await gate?.pass();
    return countAsDone(ctx, items);
  },
});

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [tallied, vanishing, throwing, unstorable, plain], slots: { short: 1, long: 2 } });
  await makeTinyTables(engine.store);
});
afterAll(() => engine.close());

async function tenantWithItems(slug: string, broken: readonly string[] = []): Promise<string> {
  const id = await engine.store.addTenant('tiny', slug);
  await addItems(engine.store, id, 2 * BATCH, { prefix: `${slug}-`, broken });
  return id;
}

/** Resolves to the parent, once it has ended; its shards have as well. */
async function runSplit(job: { readonly name: string }, tenant: string): Promise<RunDetail> {
  const run = await runJob(engine, { job: job.name, tenant, input: { n: 1 } });
  expect(await shardsOf(run.id)).toEqual(['completed', 'completed']);
  return run;
}

async function shardsOf(id: string): Promise<string[]> {
  const { rows } = await engine.store.admin.query<{ status: string }>(
    'SELECT status FROM ops.run_view WHERE parent_id = $1',
    [id],
  );
  return rows.map((row) => row.status);
}

describe('the parent of shards', () => {
  it('adds up what its shards tallied, whole or not, however much it is', async () => {
    const run = await runSplit(tallied, await tenantWithItems('tallied'));
    expect(run).toMatchObject({ status: 'completed', processed: 20, result: { tally: { bytes: 4e9, hours: 5 } } });
  });

  it('warns where its shards met fewer items than it had counted', async () => {
    const run = await runSplit(vanishing, await tenantWithItems('vanishing'));
    expect(run).toMatchObject({ status: 'completed', expected: 20, processed: 10 });
    const { rows } = await engine.store.admin.query('SELECT key, severity, message FROM ops.alerts WHERE run_id = $1', [
      run.id,
    ]);
    expect(rows).toEqual([
      {
        key: `coverage:${vanishing.name}:${run.tenantId}`,
        severity: 'WARNING',
        message: `${vanishing.name} for vanishing counted 20 items at its start and met 10.`,
      },
    ]);
  });

  it.each([
    ['throws', throwing, 'RangeError', 'nothing to divide by'],
    ['cannot be stored', unstorable, 'PermanentError', 'cannot be stored'],
  ])(
    'fails where its summary %s; its shards, which did their part, do not',
    async (_what, job, errorClass, message) => {
      const run = await runSplit(job, await tenantWithItems(job.name.slice('tiny.'.length)));
      expect(run).toMatchObject({ status: 'failed', processed: 20, crashes: 0, result: null, errorClass });
      expect(run.errorMessage).toContain(message);
    },
  );

  it('fails where what its summary asks is refused by Postgres', async () => {
    const tenant = await tenantWithItems('refused', ['refused-003']);
    gate = createGate();
    const { id } = await engine.producer.accept({ job: plain.name, tenant, input: { n: 1 } }, 'test');
    await gate.reached;
    await until('the first half', async () => (await shardsOf(id)).includes('completed_with_item_errors'));
    await engine.store.admin.query('REVOKE SELECT ON ops.item_failures FROM ns_app');
    gate.open();
    gate = null;
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    await engine.store.admin.query('GRANT SELECT ON ops.item_failures TO ns_app');
    const run = await findRun(engine.producer.pools, id, null);
    expect(run).toMatchObject({ status: 'failed', processed: 20, failedItems: 1, crashes: 0 });
    expect(run.errorMessage).toContain('SQLSTATE 42501');
    expect((await shardsOf(id)).sort()).toEqual(['completed', 'completed_with_item_errors']);
  });
});
