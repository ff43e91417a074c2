import { createPool, type Pool } from '@nightshift/db';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createPass } from '../dispatch.ts';
import { findRun } from '../query/index.ts';
import { executeDeps } from '../testing/execute-deps.ts';
import { type TestEngine, testEngine } from '../testing/index.ts';
import { tinyRequest } from '../testing/tiny.ts';
import { executeShort } from './short.ts';

// Runs of which each is quick enough, and all of a bundle together are not. Passes and executions follow each other here, without BullMQ.

const TRANSACTION_MS = 1_000;

const slow = tinyRequest('slow', {
  retry: { retries: 0 },
  async handle(ctx, runs) {
    for (const { input } of runs) await ctx.client.query('SELECT pg_sleep($1)', [input.seconds]);
    return runs.map(() => ({ ok: null }));
  },
});

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let tenant: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [slow], workers: 0 });
  tenant = await engine.store.addTenant('tiny', 'a');
  await engine.store.admin.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs) VALUES ('w', 'h', 1, 'v', '{"tiny": 1}', $1)`,
    [JSON.stringify({ [slow.name]: 1 })],
  );
  const { databaseUrl: url } = engine.store;
  app = createPool({ url, role: 'ns_app', max: 1, name: 'test-app', transactionTimeoutMs: TRANSACTION_MS });
  ops = createPool({ url, role: 'ns_ops', max: 2, name: 'test-ops' });
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

const accept = (seconds: number[]) =>
  engine.producer.acceptMany(
    seconds.map((each, n) => ({ job: slow.name, tenant, input: { seconds: each, n } })),
    'test',
  );

/** Passes, each executed before the next, until nothing is left to hand out. Resolves to how many runs each dispatch had. */
async function workOff(): Promise<number[]> {
  const ms = new Map<string, number>();
  const deps = {
    ...executeDeps(engine, { app, ops }, [slow]),
    measured: (job: string, each: number) => void ms.set(job, each),
  };
  const pass = createPass({ ops, kindOf: () => 'short', msPerRun: (job) => ms.get(job) });
  const sizes: number[] = [];
  for (;;) {
    const dispatches = (await pass('tiny'))?.dispatches ?? [];
    if (dispatches.length === 0) return sizes;
    for (const dispatch of dispatches) {
      sizes.push(dispatch.runs.length);
      await executeShort(deps, dispatch);
    }
  }
}

const found = (runs: readonly { readonly id: string }[]) =>
  Promise.all(runs.map(({ id }) => findRun(engine.producer.pools, id, null)));

it('comes again in smaller bundles, without an attempt counted, until all of it is done', async () => {
  const runs = await accept(Array(15).fill(0.1));
  const [first, ...others] = await workOff();
  expect(first).toBe(15);
  expect(others.length).toBeGreaterThan(1);
  for (const run of await found(runs)) expect(run).toMatchObject({ status: 'completed', attempts: 1, crashes: 0 });
});

it('ends as failed where a run lasts longer alone', async () => {
  const runs = await accept([0.1, 0.1, 5]);
  await workOff();
  const [quick, quicker, endless] = await found(runs);
  expect([quick, quicker]).toMatchObject(Array(2).fill({ status: 'completed', attempts: 1 }));
  expect(endless).toMatchObject({ status: 'failed', attempts: 1, errorClass: 'DeadlineExceededError' });
});
