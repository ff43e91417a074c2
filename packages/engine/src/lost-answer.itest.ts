import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findRun } from './query/index.ts';
import { checkpoint } from './record.ts';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { addItems, countAsDone, createGate, doneItems, type Gate, makeTinyTables, tinySweep } from './testing/tiny.ts';

// The COMMIT of a batch reaches Postgres, and its answer does not reach the worker: the connection breaks in between.

/** A way to Postgres that loses the answer to a batch's COMMIT, when it is told to. */
interface Way {
  readonly url: string;
  /** Batches whose answers are to be lost: the nth since it was set. */
  lose: readonly number[];
  close(): void;
}

async function startWay(to: string): Promise<Way> {
  const url = new URL(to);
  const { port, hostname } = url;
  let batches = 0;
  let lose: readonly number[] = [];
  const server = createServer((client) => {
    const postgres = connect(Number(port), hostname);
    let wrote = false;
    let lost = false;
    client.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      if (text.includes('tiny.items SET done')) wrote = true;
      if (wrote && text.includes('COMMIT')) {
        wrote = false;
        batches += 1;
        lost = lose.includes(batches);
      }
      postgres.write(chunk);
    });
    postgres.on('data', (chunk) => {
      if (lost) client.destroy();
      else client.write(chunk);
    });
    client.on('close', () => postgres.destroy());
    postgres.on('close', () => client.destroy());
    for (const socket of [client, postgres]) socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    get lose() {
      return lose;
    },
    set lose(these) {
      lose = these;
      batches = 0;
    },
    close: () => server.close(),
  };
}

let gate: Gate | null = null;
let batches = 0;
const sweep = tinySweep('sweep', {
  async process(ctx, items) {
    batches += 1;
    await gate?.pass();
    return countAsDone(ctx, items);
  },
});

let engine: TestEngine;
let way: Way;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [sweep], workers: 0 });
  await makeTinyTables(engine.store);
  way = await startWay(engine.store.databaseUrl);
  await engine.addWorker({ databaseUrl: way.url, slots: { short: 1, long: 1 } });
});
beforeEach(async () => {
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
  await addItems(engine.store, tenant, 25, { prefix: `t${tenants}-` });
  batches = 0;
});
afterAll(async () => {
  await engine.close();
  way.close();
});

describe('the lost answer to a commit', () => {
  it.each([
    ['the first', [1]],
    ['one in the middle', [2]],
    ['the last', [3]],
    ['each', [1, 2, 3]],
  ])('of %s batch does not have it done twice', async (_which, lose) => {
    way.lose = lose;
    const run = await runJob(engine, { job: sweep.name, tenant, input: {} });
    expect(run).toMatchObject({ status: 'completed', attempts: 1, crashes: 0, processed: 25, changed: 25 });
    expect(run.result).toMatchObject({ processed: 25, changed: 25, tally: { batches: 3 } });
    expect(new Set(Object.values(await doneItems(engine.store, tenant)))).toEqual(new Set([1]));
    expect(batches).toBe(3);
  });

  it('of a batch does not hide that the run is to stop', async () => {
    way.lose = [1];
    gate = createGate();
    const { id } = await engine.producer.accept({ job: sweep.name, tenant, input: {} }, 'test');
    await gate.reached;
    // As a cancel whose message was lost as well.
    await engine.store.admin.query('UPDATE ops.open_runs SET cancel_requested_at = clock_timestamp() WHERE id = $1', [
      id,
    ]);
    gate.open();
    gate = null;
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    expect(await findRun(engine.producer.pools, id, null)).toMatchObject({ status: 'cancelled', processed: 10 });
    expect(batches).toBe(1);
  });

  it('does not let who does the batch meanwhile store it once more', async () => {
    const hour = new Date(Date.now() + 3_600_000);
    const { id } = await engine.producer.accept({ job: sweep.name, tenant, input: {}, dueAt: hour }, 'test');
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET state = 'running', fence = 7, lease_until = clock_timestamp() + interval '1 hour' WHERE id = $1`,
      [id],
    );
    const store = (from: string | null, cursor: string) => {
      const progress = { cursor, expected: 25, processed: 10, changed: 10, failedItems: 0, tally: {} };
      return checkpoint(engine.store.admin, { id, fence: 7 }, from, progress);
    };
    expect(await store(null, 'first')).toEqual({ cancelRequested: false });
    expect(await store(null, 'first')).toBeNull();
    expect(await store('first', 'second')).toEqual({ cancelRequested: false });
  });
});
