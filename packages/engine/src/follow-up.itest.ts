import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { findRuns, waitWithFollowUps } from './query/index.ts';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { addItems, countAsDone, doneItems, makeTinyTables, tinySweep, tinyTask } from './testing/tiny.ts';

const PER_RUN = 3;
let engine: TestEngine;

/** Takes three items a run; the rest is left to the next. Asks twice, as a batch that is done again would. */
const capped = tinySweep('capped', {
  input: z.strictObject({ from: z.string().optional() }),
  options: { batchSize: 10, batchDelayMs: 0 },
  async count() {
    return 0;
  },
  async items(ctx, after) {
    const { rows } = await ctx.client.query<{ id: string; tenant_id: string }>(
      `SELECT id, tenant_id FROM tiny.items WHERE tenant_id = ANY ($1) AND id > $2 ORDER BY id LIMIT $3`,
      [ctx.tenantIds, after ?? ctx.input.from ?? '', PER_RUN + 1],
    );
    const taken = rows.slice(0, PER_RUN);
    const last = taken.at(-1)?.id;
    if (rows.length > PER_RUN) {
      await ctx.followUp({ input: { from: last } });
      await ctx.followUp({ input: { from: last } });
    }
    return taken;
  },
  process: countAsDone,
});

const asking = tinyTask('asking', {
  input: z.strictObject({ last: z.boolean().default(false), wrong: z.boolean().default(false) }),
  async run(ctx, input) {
    if (!input.last)
      await ctx.transaction((tx) => tx.followUp({ input: input.wrong ? { last: 'yes' } : { last: true } }));
    return {};
  },
});

/** Its last page is made while it runs. */
const growing = tinySweep('growing', {
  untilEmpty: true,
  count: async () => 2,
  process: async (ctx, items: readonly { id: string; tenant_id: string }[]) => {
    if (items.some((item) => item.id === 'g000'))
      await ctx.client.query(`INSERT INTO tiny.items (id, tenant_id) VALUES ('g9-later', $1)`, [ctx.tenantIds[0]]);
    return countAsDone(ctx, items);
  },
});

beforeAll(async () => {
  engine = await testEngine({ jobs: [capped, asking, growing] });
  await makeTinyTables(engine.store);
});
afterAll(() => engine.close());

async function startAndWait(job: string, tenant: string, options = {}) {
  const started = await engine.producer.start({ kind: 'manual', job, tenants: [tenant], options }, 'test');
  const ids = started.runs.map((run) => run.runId);
  const all = await waitWithFollowUps(engine.producer, ids, { timeoutMs: 40_000 });
  return { started, runs: await findRuns(engine.producer.pools, all.ids, null), ended: all.ended };
}

test('what a run leaves over is done by follow-up runs of its trigger, each item once', async () => {
  const tenant = await engine.store.addTenant('tiny', 'north');
  const ids = await addItems(engine.store, tenant, 10);
  const { started, runs, ended } = await startAndWait('tiny.capped', 'north');
  expect(runs.map((run) => run.processed).sort()).toEqual([1, 3, 3, 3]);
  expect(new Set(ended.values())).toEqual(new Set(['completed']));
  expect(new Set(runs.map((run) => run.triggerId))).toEqual(new Set([started.triggerId]));
  expect(new Set(runs.map((run) => run.tickDate)).size).toBe(1);
  expect(runs.filter((run) => run.actor.startsWith('run:'))).toHaveLength(3);
  expect(await doneItems(engine.store, tenant)).toEqual(Object.fromEntries(ids.map((id) => [id, 1])));
});

test('a dry run asks for none', async () => {
  const tenant = await engine.store.addTenant('tiny', 'dry');
  await addItems(engine.store, tenant, 5, { prefix: 'd' });
  const { runs } = await startAndWait('tiny.capped', 'dry', { dryRun: true });
  expect(runs).toHaveLength(1);
});

test('a task asks in its own transaction; an input that breaks the schema fails the run and inserts nothing', async () => {
  await engine.store.addTenant('tiny', 'south');
  expect((await startAndWait('tiny.asking', 'south')).runs).toHaveLength(2);
  const wrong = await runJob(engine, { job: 'tiny.asking', tenant: 'south', input: { wrong: true } });
  expect(wrong).toMatchObject({ status: 'failed', errorClass: 'InvalidInputError' });
  const { rows } = await engine.store.admin.query('SELECT FROM ops.runs WHERE actor = $1', [`run:${wrong.id}`]);
  expect(rows).toEqual([]);
});

test('a sweep until empty meets the items that it made', async () => {
  const tenant = await engine.store.addTenant('tiny', 'growing');
  await addItems(engine.store, tenant, 2, { prefix: 'g' });
  expect(await runJob(engine, { job: 'tiny.growing', tenant: 'growing', input: {} })).toMatchObject({ processed: 3 });
  expect(await doneItems(engine.store, tenant)).toEqual({ g000: 1, g001: 1, 'g9-later': 1 });
});
