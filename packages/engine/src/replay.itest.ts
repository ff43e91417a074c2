import { afterAll, beforeAll, expect, test } from 'vitest';
import { listFailures } from './query/index.ts';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { addItems, countAsDone, createGate, doneItems, type Gate, makeTinyTables, tinySweep } from './testing/tiny.ts';

let gate: Gate | null = null;
const sweep = tinySweep('mend', {
  async process(ctx, items) {
    await gate?.pass();
    return countAsDone(ctx, items);
  },
});
let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [sweep] });
  await makeTinyTables(engine.store);
});
afterAll(() => engine.close());

const replayedBy = async (id: string) =>
  Object.fromEntries(
    (await listFailures(engine.producer.pools, id, null, { limit: 50 })).items.map((one) => [one.item, one.replayedBy]),
  );

async function replay(id: string): Promise<string> {
  const { id: replayId } = await engine.producer.replay(id, 'ada', null);
  await engine.producer.waitFor([replayId], { timeoutMs: 30_000 });
  return replayId;
}

test('a failure is marked once a replay has mended it, and only then', async () => {
  const tenant = await engine.store.addTenant('tiny', 'one');
  const broken = ['i003', 'i007'];
  await addItems(engine.store, tenant, 20, { broken });
  const run = await runJob(engine, { job: sweep.name, tenant: 'one', input: { n: 1 } });
  expect(run.failedItems).toBe(2);
  expect(await replayedBy(run.id)).toEqual({ i003: null, i007: null });

  await engine.store.admin.query(`UPDATE tiny.items SET broken = false WHERE id = 'i003'`);
  const first = await replay(run.id);
  expect(await replayedBy(run.id)).toEqual({ i003: first, i007: null });
  expect(Object.keys(await replayedBy(first))).toEqual(['i007']);

  await engine.store.admin.query('UPDATE tiny.items SET broken = false');
  const second = await replay(run.id);
  expect(await replayedBy(run.id)).toEqual({ i003: first, i007: second });
  // Each item was done once: a replay takes up only what was not mended before.
  expect(new Set(Object.values(await doneItems(engine.store, tenant)))).toEqual(new Set([1]));
  await expect(engine.producer.replay(run.id, 'ada', null)).rejects.toThrow('has been replayed well');
});

test('a second replay of a run joins the first while that is open: no item is done twice', async () => {
  const tenant = await engine.store.addTenant('tiny', 'two');
  await addItems(engine.store, tenant, 10, { prefix: 'two-', broken: ['two-001', 'two-002'] });
  const run = await runJob(engine, { job: sweep.name, tenant: 'two', input: { n: 1 } });
  await engine.store.admin.query('UPDATE tiny.items SET broken = false WHERE tenant_id = $1', [tenant]);
  gate = createGate();
  const first = await engine.producer.replay(run.id, 'ada', null);
  await gate.reached;
  const second = await engine.producer.replay(run.id, 'eve', null);
  expect(second).toMatchObject({ id: first.id, joined: true });
  gate.open();
  gate = null;
  await engine.producer.waitFor([first.id], { timeoutMs: 30_000 });
  expect(new Set(Object.values(await doneItems(engine.store, tenant)))).toEqual(new Set([1]));
});
