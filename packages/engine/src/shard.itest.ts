import { afterAll, beforeAll, expect, test } from 'vitest';
import { findRun } from './query/index.ts';
import { runJob, type TestEngine, testEngine, until } from './testing/index.ts';
import {
  addItems,
  countAsDone,
  createGate,
  doneItems,
  type Gate,
  makeTinyTables,
  type TinyItem,
  tinySweep,
} from './testing/tiny.ts';

let engine: TestEngine;
let gate: Gate | null = null;
const datesSeen = new Set<string | null>();

const big = tinySweep('big', {
  shards: {
    items: 25,
    async bounds(ctx, parts) {
      const { rows } = await ctx.client.query<{ id: string }>(
        `SELECT max(id) AS id FROM (SELECT id, ntile($2) OVER (ORDER BY id) AS part FROM tiny.items WHERE tenant_id = $1) d
         GROUP BY part HAVING part < $2 ORDER BY part`,
        [ctx.tenantIds[0], parts],
      );
      return rows.map((row) => row.id);
    },
  },
  async process(ctx, items: readonly { id: string; tenant_id: string }[]) {
    datesSeen.add(ctx.tickDate);
    await gate?.pass();
    return countAsDone(ctx, items);
  },
});

/** Split at a letter below U+FFFF that is above the surrogates, of which JavaScript makes what lies beyond. */
const lettered = tinySweep('lettered', {
  async items(ctx, after, limit) {
    const { rows } = await ctx.client.query<TinyItem>(
      'SELECT id, tenant_id FROM tiny.items WHERE tenant_id = ANY ($1) AND ($2::text IS NULL OR id > $2 COLLATE "C") ORDER BY id COLLATE "C" LIMIT $3',
      [ctx.tenantIds, after, limit],
    );
    return rows;
  },
  shards: { items: 1, bounds: async () => ['Ａ'] },
});

beforeAll(async () => {
  engine = await testEngine({ jobs: [big, lettered], slots: { short: 1, long: 4 } });
  await makeTinyTables(engine.store);
});
afterAll(() => engine.close());

async function tenantWithItems(slug: string, count: number, broken: readonly string[] = []): Promise<string> {
  const id = await engine.store.addTenant('tiny', slug);
  await addItems(engine.store, id, count, { prefix: `${slug}-`, broken });
  return id;
}

test('a big sweep is done by children with ranges of keys; the parent has one summary', async () => {
  const tenant = await tenantWithItems('wide', 110);
  const run = await runJob(engine, { job: big.name, tenant: 'wide', input: { n: 1 } });
  expect(run).toMatchObject({ status: 'completed', expected: 110, processed: 110, changed: 110 });
  expect(run.result).toMatchObject({ processed: 110, totalErrors: 0 });
  expect(new Set(Object.values(await doneItems(engine.store, tenant)))).toEqual(new Set([1]));
  const { rows } = await engine.store.admin.query('SELECT processed FROM ops.runs WHERE parent_id = $1', [run.id]);
  expect(rows.map((row) => row.processed).sort()).toEqual([27, 27, 28, 28]);
});

test('the shards of a run for a date are for that date, and do not stand for their parent', async () => {
  await tenantWithItems('dated', 60);
  datesSeen.clear();
  const { runs } = await engine.producer.start(
    { kind: 'manual', job: big.name, tenants: ['dated'], input: { n: 1 } },
    'test',
  );
  const id = runs[0]?.runId ?? '';
  expect((await engine.producer.waitFor([id], { timeoutMs: 30_000 })).get(id)).toBe('completed');
  const { rows } = await engine.store.admin.query<{ shard: boolean; date: string | null }>(
    'SELECT parent_id IS NOT NULL AS shard, tick_date::text AS date FROM ops.runs WHERE id = $1 OR parent_id = $1 ORDER BY 1',
    [id],
  );
  const date = rows[0]?.date;
  expect(rows).toEqual([
    { shard: false, date: expect.any(String) },
    { shard: true, date: null },
    { shard: true, date: null },
  ]);
  expect([...datesSeen]).toEqual([date]);
});

test('a small one is not split', async () => {
  await tenantWithItems('narrow', 30);
  const run = await runJob(engine, { job: big.name, tenant: 'narrow', input: { n: 1 } });
  const { rowCount } = await engine.store.admin.query('SELECT 1 FROM ops.runs WHERE parent_id = $1', [run.id]);
  expect(run.processed).toBe(30);
  expect(rowCount).toBe(0);
});

test('keys are shared out in the order that Postgres has them in, beyond U+FFFF as well', async () => {
  const tenant = await engine.store.addTenant('tiny', 'lettered');
  const keys = ['a', 'Ａ', '😀'];
  await engine.store.admin.query('INSERT INTO tiny.items (id, tenant_id) SELECT id, $1 FROM unnest($2::text[]) AS id', [
    tenant,
    keys,
  ]);
  const run = await runJob(engine, { job: lettered.name, tenant, input: { n: 1 }, options: { shards: 2 } });
  expect(run).toMatchObject({ status: 'completed', processed: 3 });
  expect(await doneItems(engine.store, tenant)).toEqual(Object.fromEntries(keys.map((key) => [key, 1])));
});

test('item errors of shards are the parent’s', async () => {
  const broken = ['cracked-007', 'cracked-055'];
  await tenantWithItems('cracked', 60, broken);
  const run = await runJob(engine, { job: big.name, tenant: 'cracked', input: { n: 1 } });
  expect(run).toMatchObject({ status: 'completed_with_item_errors', processed: 60, failedItems: 2 });
  expect((run.result as { errors: { item: string }[] }).errors.map((e) => e.item)).toEqual(broken);
});

test('cancelling the parent cancels its shards, and it ends once', async () => {
  await tenantWithItems('stopped', 100);
  gate = createGate();
  const { id } = await engine.producer.accept({ job: big.name, tenant: 'stopped', input: { n: 1 } }, 'test');
  await until('all shards in hand', async () => {
    const { rows } = await engine.store.admin.query(
      `SELECT 1 FROM ops.open_runs WHERE parent_id = $1 AND state = 'running'`,
      [id],
    );
    return rows.length === 4;
  });
  expect(await engine.producer.cancel(id, 'operator:ada', null)).toBe('blocked');
  gate.open();
  gate = null;
  expect((await engine.producer.waitFor([id], { timeoutMs: 30_000 })).get(id)).toBe('cancelled');
  const { rows } = await engine.store.admin.query('SELECT outcome FROM ops.runs WHERE parent_id = $1', [id]);
  expect(rows.map((row) => row.outcome)).toEqual(['cancelled', 'cancelled', 'cancelled', 'cancelled']);
  expect((await findRun(engine.producer.pools, id, null)).status).toBe('cancelled');
});
