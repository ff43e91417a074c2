import { createPool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import type { TenantsAsk } from './define-job.ts';
import { createJobSettings } from './job-settings.ts';
import { createClock } from './schedule/clock.ts';
import { fakeClock, runJob, type TestEngine, testEngine } from './testing/index.ts';
import { addItems, countAsDone, doneItems, makeTinyTables, type TinyItem, tinyRequest } from './testing/tiny.ts';

let askedFor: readonly string[] = [];
let answer: (ask: TenantsAsk) => Promise<readonly string[]> = async ({ tenantIds }) => tenantIds;

/** One item when it is named, all of them when none is. */
const touch = tinyRequest('touch', {
  input: z.strictObject({ item: z.string() }),
  options: { batchSize: 4, batchDelayMs: 0 },
  schedule: {
    cron: '* * * * *',
    zone: 'UTC',
    tenants: async (ask) => {
      askedFor = ask.tenantIds;
      return answer(ask);
    },
  },
  handle: async (_ctx, runs) => runs.map((run) => ({ ok: { touched: run.input.item } })),
  sweep: {
    count: async () => 10,
    items: async (ctx, after, limit) => {
      const { rows } = await ctx.client.query<TinyItem>(
        'SELECT id, tenant_id FROM tiny.items WHERE tenant_id = ANY ($1) AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3',
        [ctx.tenantIds, after, limit],
      );
      return rows;
    },
    key: (item: TinyItem) => item.id,
    process: countAsDone,
    summarize: ({ processed, changed }) => ({ processed, changed }),
  },
});

let engine: TestEngine;
let one: string;
let two: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [touch] });
  await makeTinyTables(engine.store);
  one = await engine.store.addTenant('tiny', 'one');
  two = await engine.store.addTenant('tiny', 'two');
  await addItems(engine.store, one, 10, { broken: ['i003'] });
});
afterAll(() => engine.close());

const start = (input: unknown, options = {}) => runJob(engine, { job: 'tiny.touch', tenant: 'one', input, options });

it('handles an input as a request', async () => {
  const ended = await start({ item: 'i001' });
  expect(ended).toMatchObject({ status: 'completed', result: { touched: 'i001' } });
  expect(Object.values(await doneItems(engine.store, one))).toEqual(Array(10).fill(0));
});

it('goes over everything, batch by batch and past a broken item, when no input is given; a retry of that does too', async () => {
  const ended = await start({});
  expect(ended).toMatchObject({
    status: 'completed_with_item_errors',
    expected: 10,
    processed: 10,
    failedItems: 1,
    result: { changed: 9 },
  });
  const again = await engine.producer.retry(ended.id, 'test', null);
  await engine.producer.waitFor([again.id], { timeoutMs: 40_000 });
  expect(Object.values(await doneItems(engine.store, one))).toEqual([2, 2, 2, 0, 2, 2, 2, 2, 2, 2]);
});

it('refuses a wrong input as before, a dry run of a request, and takes one of the sweep', async () => {
  await expect(start({ thing: 1 })).rejects.toThrow('/input/thing is not a known field');
  await expect(start({ item: 'i001' }, { dryRun: true })).rejects.toThrow('a request job has no dry run');
  const before = await doneItems(engine.store, one);
  expect(await start({}, { dryRun: true })).toMatchObject({ result: { changed: 9, dryRun: true } });
  expect(await doneItems(engine.store, one)).toEqual(before);
});

it('a tick makes runs for the tenants that have work, for all when they cannot be asked for', async () => {
  const time = fakeClock('2031-03-02T02:00:01Z');
  const ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 4, name: 'test' });
  const app = createPool({ url: engine.store.databaseUrl, role: 'ns_app', max: 4, name: 'test' });
  const clock = createClock({
    app,
    ops,
    catalogue: engine.producer.catalogue,
    settings: createJobSettings(ops),
    log: pino({ level: 'silent' }),
    wake: () => undefined,
    fireSchedules: false,
    now: time.now,
  });
  const { admin } = engine.store;
  const tick = async (minute: string) => {
    await admin.query('DELETE FROM ops.open_runs');
    await admin.query('UPDATE ops.schedules SET next_due_at = $1', [`2031-03-02T02:${minute}:00Z`]);
    time.set(`2031-03-02T02:${minute}:01Z`);
    await clock.fire();
    const { rows } = await admin.query(
      `SELECT t.state, t.reason, (SELECT array_agg(r.tenant_id) FROM ops.run_view r WHERE r.trigger_id = t.trigger_id) AS tenants
       FROM ops.ticks t WHERE due_at = $1`,
      [`2031-03-02T02:${minute}:00Z`],
    );
    return rows[0];
  };
  await engine.producer.syncSchedules();
  answer = async ({ client }) => {
    const { rows } = await client.query<{ tenant_id: string }>('SELECT DISTINCT tenant_id FROM tiny.items');
    return rows.map((row) => row.tenant_id);
  };
  expect(await tick('00')).toEqual({ state: 'fired', reason: null, tenants: [one] });
  expect([...askedFor].sort()).toEqual([one, two].sort());
  answer = async () => [];
  expect(await tick('01')).toEqual({ state: 'fired', reason: 'no tenant to run for', tenants: null });
  answer = async ({ client }) => {
    await client.query('SELECT 1 / 0');
    return [];
  };
  const all = await tick('02');
  expect([...all.tenants].sort()).toEqual([one, two].sort());
  await clock.stop();
  await Promise.all([ops.end(), app.end()]);
});
