import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findRun, listAttempts, liveWorkers } from './query/index.ts';
import { runJob, type TestEngine, testEngine, until } from './testing/index.ts';
import {
  addItems,
  countAsDone,
  createGate,
  doneItems,
  type Gate,
  makeTinyTables,
  tinyRequest,
  tinySweep,
  tinyTask,
} from './testing/tiny.ts';

let gate: Gate;
let hold = false;

const sweep = tinySweep('sweep', {
  async process(ctx, items) {
    if (hold && items[0]?.id.endsWith('010')) {
      hold = false;
      await gate.pass();
    }
    return countAsDone(ctx, items);
  },
});
const request = tinyRequest('request', {
  async handle(ctx, runs) {
    if (runs.some((run) => run.input.hold)) await gate.pass();
    await ctx.client.query('INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])', [
      runs.map((run) => run.runId),
    ]);
    return runs.map(() => ({ ok: ctx.worker }));
  },
});
const early = tinyRequest('early', {
  async before(ctx) {
    if (!hold) return;
    hold = false;
    gate.pass().catch(() => undefined);
    await wait(1_000_000, undefined, { signal: ctx.signal, ref: false });
  },
  handle: async (ctx, runs) => runs.map(() => ({ ok: ctx.worker })),
});
const stubborn = tinyTask('stubborn', {
  run: (ctx) =>
    ctx.transaction(async ({ client }) => {
      await client.query('SELECT 1');
      await gate.pass();
    }),
});

let engine: TestEngine;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [sweep, request, early, stubborn], workers: 0, slots: { short: 1, long: 1 } });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  gate = createGate();
  hold = true;
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
});
afterAll(() => engine.close());

const accept = async (job: string, input: object = {}) =>
  (await engine.producer.accept({ job: `tiny.${job}`, tenant, input }, 'test')).id;
const find = (id: string) => findRun(engine.producer.pools, id, null);

/** The worker stops and another finishes. Resolves to the run. */
async function finishedByAnother(id: string) {
  const other = await engine.addWorker();
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  await other.stop();
  return { run: await find(id), other };
}

describe('a worker that is told to stop', () => {
  it('gives its sweep back at the checkpoint; another finishes it, no attempt counted', async () => {
    await addItems(engine.store, tenant, 30, { prefix: `t${tenants}-` });
    const worker = await engine.addWorker();
    const id = await accept('sweep');
    await gate.reached;
    const stopped = worker.stop();
    gate.open();
    await stopped;
    expect(await find(id)).toMatchObject({ status: 'queued', processed: 20, attempts: 1, worker: null });
    const { run, other } = await finishedByAnother(id);
    expect(run).toMatchObject({ status: 'completed', attempts: 1, crashes: 0, processed: 30, worker: other.id });
    expect(Object.values(await doneItems(engine.store, tenant))).toEqual(Array(30).fill(1));
    const attempts = await listAttempts(engine.producer.pools, id, tenant);
    expect(attempts.map((attempt) => [attempt.outcome, attempt.worker])).toEqual([
      ['interrupted', worker.id],
      ['completed', other.id],
    ]);
  });

  it('lets a short run end', async () => {
    const worker = await engine.addWorker();
    const id = await accept('request', { hold: true });
    await gate.reached;
    const stopped = worker.stop();
    gate.open();
    await stopped;
    expect(await find(id)).toMatchObject({ status: 'completed', attempts: 1, result: worker.id });
  });

  it('gives back a run that only waits before its claim', async () => {
    const worker = await engine.addWorker();
    const id = await accept('early');
    await gate.reached;
    await worker.stop();
    expect(await find(id)).toMatchObject({ status: 'queued', attempts: 1 });
    expect((await finishedByAnother(id)).run).toMatchObject({ status: 'completed', attempts: 1 });
  });

  it('takes nothing more, and is no longer among the workers', async () => {
    const worker = await engine.addWorker();
    await runJob(engine, { job: 'tiny.request', tenant, input: {} });
    await worker.stop();
    expect((await liveWorkers(engine.producer.pools)).map((w) => w.id)).not.toContain(worker.id);
    const id = await accept('request');
    expect((await finishedByAnother(id)).run).toMatchObject({ status: 'completed' });
  });

  it('stops all the same when a handler never does, once the grace is over', async () => {
    const worker = await engine.addWorker();
    const id = await accept('stubborn');
    await gate.reached;
    await worker.stop(200);
    gate.open();
    expect(['queued', 'running']).toContain((await find(id)).status);
    await until('what was in hand to be released or refused', async () => {
      const { rows } = await engine.store.admin.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`,
      );
      return rows.length === 0;
    });
    await engine.producer.cancel(id, 'test', tenant);
  });
});
