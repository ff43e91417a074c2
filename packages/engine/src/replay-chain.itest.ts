import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { findRun } from './query/index.ts';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { addItems, countAsDone, createGate, doneItems, type Gate, makeTinyTables, tinySweep } from './testing/tiny.ts';

// Replays that did not mend all: retried, and replayed themselves.

let gate: Gate | null = null;
const sweep = tinySweep('chain', {
  retry: { retries: 0 },
  async process(ctx, items) {
    await gate?.pass();
    return countAsDone(ctx, items);
  },
});
const wide = tinySweep('wide', { scope: 'system' });

let engine: TestEngine;
let tenant: string;
let tenants = 0;
let broken: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [sweep, wide] });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  gate?.open();
  gate = null;
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
  broken = `t${tenants}-003`;
  await addItems(engine.store, tenant, 10, { prefix: `t${tenants}-`, broken: [broken] });
});
afterAll(() => engine.close());

const mend = () => engine.store.admin.query('UPDATE tiny.items SET broken = false WHERE tenant_id = $1', [tenant]);

async function ended(id: string) {
  await engine.producer.waitFor([id], { timeoutMs: 30_000 });
  return findRun(engine.producer.pools, id, null);
}

const replay = async (id: string) => ended((await engine.producer.replay(id, 'ada', null)).id);

/** A run with one failed item, and a replay of it that failed on the item too. */
async function replayedInVain() {
  const run = await runJob(engine, { job: sweep.name, tenant, input: { n: 1 } });
  const first = await replay(run.id);
  expect([run, first]).toMatchObject(Array(2).fill({ status: 'completed_with_item_errors', failedItems: 1 }));
  return { run, first };
}

const retryMany = (again: boolean) =>
  engine.producer.retryMany({ status: 'completed_with_item_errors', tenant, again, limit: 10 }, 'ada', null);

/** By which replay the item was mended in each of these runs. */
async function mendedBy(...runs: { readonly id: string }[]): Promise<(string | null)[]> {
  const { rows } = await engine.store.admin.query<{ run_id: string; replayed_by: string | null }>(
    'SELECT run_id, replayed_by FROM ops.item_failures WHERE run_id = ANY ($1)',
    [runs.map((run) => run.id)],
  );
  const by = new Map(rows.map((row) => [row.run_id, row.replayed_by]));
  return runs.map((run) => by.get(run.id) ?? null);
}

test.each([
  ['by itself', async (id: string) => (await engine.producer.retry(id, 'ada', null)).id],
  ['with many', async (id: string) => (await retryMany(false)).runs.find((run) => run.id === id)?.retryId ?? ''],
])('a replay that is retried %s does the same items, and carries both links', async (_how, retry) => {
  const { run, first } = await replayedInVain();
  await mend();
  const again = await ended(await retry(first.id));
  expect(again).toMatchObject({ status: 'completed', processed: 1, retryOf: first.id, replayOf: run.id });
  expect((await mendedBy(run))[0]).toBe(again.id);
});

test('one replay of a run is open at a time, whoever asks for it', async () => {
  const { run, first } = await replayedInVain();
  await mend();
  gate = createGate();
  const open = await engine.producer.replay(run.id, 'ada', null);
  await gate.reached;
  expect(await engine.producer.retry(first.id, 'eve', null)).toMatchObject({ id: open.id, joined: true });
  const { runs } = await retryMany(true);
  expect(runs.find((one) => one.id === first.id)).toMatchObject({
    retryId: null,
    refused: expect.stringContaining('an open run of the same job does its work'),
  });
  gate.open();
  gate = null;
  const others = runs.flatMap((one) => one.retryId ?? []);
  expect(others).toHaveLength(1);
  expect(await ended(open.id)).toMatchObject({ status: 'completed', processed: 1 });
  await Promise.all(others.map(ended));
  // By the replay and the retry of the whole run, and by nobody else.
  expect((await doneItems(engine.store, tenant))[broken]).toBe(2);
});

test('what the replay of a replay mends is mended in all the runs before it', async () => {
  const { run, first } = await replayedInVain();
  await mend();
  const second = await replay(first.id);
  expect(second).toMatchObject({ status: 'completed', replayOf: first.id });
  expect(await mendedBy(run, first)).toEqual([second.id, second.id]);
  await expect(engine.producer.replay(run.id, 'ada', null)).rejects.toThrow('has been replayed well');
});

test('a replay over many tenants marks what it mended of each', async () => {
  await engine.store.admin.query('DELETE FROM tiny.items WHERE tenant_id <> $1', [tenant]);
  const run = await runJob(engine, { job: wide.name, tenant: null, input: { n: 1 } });
  expect(run).toMatchObject({ status: 'completed_with_item_errors', processed: 10, failedItems: 1 });
  await mend();
  const again = await replay(run.id);
  expect(again).toMatchObject({ status: 'completed', processed: 1 });
  expect(await mendedBy(run)).toEqual([again.id]);
});
