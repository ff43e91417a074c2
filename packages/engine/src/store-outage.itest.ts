import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { StoreUnavailableError } from './errors.ts';
import { createProducer } from './producer.ts';
import { findRun } from './query/index.ts';
import { type TestEngine, testEngine, until } from './testing/index.ts';
import {
  addItems,
  countAsDone,
  createGate,
  doneItems,
  type Gate,
  makeTinyTables,
  shardsBehind,
  tinyRequest,
  tinySweep,
} from './testing/tiny.ts';

let gate: Gate;
let batches = 0;

const echo = tinyRequest('echo', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const sweep = tinySweep('sweep', {
  retry: { retries: 0 },
  async process(ctx, items) {
    batches += 1;
    await gate.pass();
    return countAsDone(ctx, items);
  },
});
const split = tinySweep('split', {
  retry: { retries: 0 },
  shards: shardsBehind(() => gate),
});

let engine: TestEngine;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [echo, sweep, split], slots: { short: 1, long: 2 } });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  gate = createGate();
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
  await addItems(engine.store, tenant, 20, { prefix: `t${tenants}-` });
});
afterAll(() => engine.close());

const sql = (text: string) => engine.store.admin.query(text);
const cutAll = () =>
  sql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'nightshift'`,
  );
const alter = (change: string) => sql(`ALTER DATABASE ${engine.store.namespace} ${change}`);
const accept = (job: string) => engine.producer.accept({ job, tenant, input: { n: 1 } }, 'test');

async function expectDoneOnce(id: string): Promise<void> {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  expect(await findRun(engine.producer.pools, id, null)).toMatchObject({
    status: 'completed',
    attempts: 1,
    crashes: 0,
    processed: 20,
  });
  expect(new Set(Object.values(await doneItems(engine.store, tenant)))).toEqual(new Set([1]));
}

describe('a Postgres that takes no writes for a while', () => {
  it('has its callers come again, and its sweep wait', async () => {
    const { id } = await accept(sweep.name);
    await gate.reached;
    await alter('SET default_transaction_read_only = on');
    await cutAll();
    gate.open();
    const refused = await until('an answer of the new server', () =>
      accept(echo.name).then(
        () => null,
        (error: Error) => /read-only/.test(String(error.cause)) && error,
      ),
    );
    expect(refused).toBeInstanceOf(StoreUnavailableError);
    // The first call lost its connection, the second was refused.
    await until('the sweep to have met it', async () => batches > 2);
    await sql(
      `SET default_transaction_read_only = off; ALTER DATABASE ${engine.store.namespace} RESET default_transaction_read_only`,
    );
    await cutAll();
    await expectDoneOnce(id);
  });
});

describe('a Postgres without a connection to spare', () => {
  it('has its callers come again', async () => {
    const { databaseUrl, redisUrl, namespace } = engine.store;
    const { catalogue } = engine.producer;
    const producer = createProducer({ databaseUrl, redisUrl, namespace, catalogue, log: pino({ level: 'silent' }) });
    await alter('CONNECTION LIMIT 1');
    const refused: unknown = await producer
      .accept({ job: echo.name, tenant, input: {} }, 'test')
      .catch((error) => error);
    await alter('CONNECTION LIMIT -1');
    await producer.close();
    expect(refused).toBeInstanceOf(StoreUnavailableError);
    expect(refused).toMatchObject({ cause: { code: '53300' } });
  });
});

describe('a Postgres that cuts its connections', () => {
  it('does not fail a sweep that is being split', async () => {
    const { id } = await accept(split.name);
    await gate.reached;
    await cutAll();
    gate.open();
    await expectDoneOnce(id);
  });
});
