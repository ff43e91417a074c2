import { setTimeout as wait } from 'node:timers/promises';
import { createPool, type Pool } from '@nightshift/db';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRun } from '../query/index.ts';
import { executeDeps } from '../testing/execute-deps.ts';
import { dispatchByHand, type TestEngine, testEngine } from '../testing/index.ts';
import { tinyRequest } from '../testing/tiny.ts';
import { executeShort } from './short.ts';

// What a statement, a transaction and its silence may last is short here; the handlers take longer, however often they are called.

const IDLE_MS = 100;

const once = { retry: { retries: 0 } };
const silent = tinyRequest('silent', {
  ...once,
  async handle(ctx, runs) {
    await ctx.client.query(`SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS}`);
    await wait(3 * IDLE_MS);
    return runs.map(() => ({ ok: null }));
  },
});
const lateWord = tinyRequest('late-word', {
  ...once,
  async handle(ctx, runs) {
    await ctx.client.query(`SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS}`);
    await wait(3 * IDLE_MS);
    await ctx.client.query('SELECT 1');
    return runs.map(() => ({ ok: null }));
  },
});
const slow = tinyRequest('slow', {
  ...once,
  async handle(ctx, runs) {
    await ctx.client.query('SELECT pg_sleep(30)');
    return runs.map(() => ({ ok: null }));
  },
});
const chatty = tinyRequest('chatty', {
  ...once,
  async handle(ctx, runs) {
    for (let i = 0; i < 1_000; i++) await ctx.client.query('SELECT pg_sleep(0.1)');
    return runs.map(() => ({ ok: null }));
  },
});
const jobs = [silent, lateWord, slow, chatty];

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let tenant: string;

beforeAll(async () => {
  engine = await testEngine({ jobs, workers: 0 });
  tenant = await engine.store.addTenant('tiny', 'a');
  const { databaseUrl: url } = engine.store;
  const limits = { statementTimeoutMs: 500, transactionTimeoutMs: 800 };
  app = createPool({ url, role: 'ns_app', max: jobs.length, name: 'test-app', ...limits });
  ops = createPool({ url, role: 'ns_ops', max: 2, name: 'test-ops' });
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

describe('a handler that takes longer than it may', () => {
  it('fails with the limit that ended it, and is not handed out for ever', async () => {
    const deps = executeDeps(engine, { app, ops }, jobs);
    const ended = await Promise.all(
      jobs.map(async ({ name, queue }) => {
        const { id } = await engine.producer.accept({ job: name, tenant, input: {} }, 'test');
        const dispatch = await dispatchByHand(engine.store.admin, [id]);
        await executeShort(deps, {
          id: dispatch,
          queue,
          runs: [id],
          job: name,
          tenantIds: [tenant],
          timeoutMs: 30_000,
        });
        const { status, attempts, errorClass, errorMessage } = await findRun(engine.producer.pools, id, null);
        return { name, status, attempts, error: `${errorClass}: ${errorMessage}` };
      }),
    );
    const failed = ({ name }: { readonly name: string }, error: string) => ({
      name,
      status: 'failed',
      attempts: 1,
      error: expect.stringContaining(error),
    });
    expect(ended).toEqual([
      failed(silent, 'SQLSTATE 25P03'),
      failed(lateWord, 'SQLSTATE 25P03'),
      failed(slow, 'SQLSTATE 57014'),
      failed(chatty, 'DeadlineExceededError'),
    ]);
    expect((await engine.store.admin.query('SELECT FROM ops.dispatches')).rowCount).toBe(0);
  });
});
