import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findRun } from './query/index.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import {
  addItems,
  createGate,
  doneItems,
  type Gate,
  makeTinyTables,
  shardsBehind,
  tinySweep,
  tinyTask,
} from './testing/tiny.ts';

// Somebody asked a run to stop, and whoever had it in hand did not hear of it.

let gate: Gate;
let calls = 0;

const task = tinyTask('task', {
  async run() {
    calls += 1;
  },
});
const failing = tinyTask('failing', {
  async run() {
    calls += 1;
    await gate.pass();
    throw new Error('on purpose');
  },
});
const sweep = tinySweep('sweep');
const split = tinySweep('split', {
  shards: shardsBehind(() => gate),
});

let engine: TestEngine;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [task, failing, sweep, split], slots: { short: 1, long: 2 } });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  gate = createGate();
  calls = 0;
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
  await addItems(engine.store, tenant, 20, { prefix: `t${tenants}-` });
});
afterAll(() => engine.close());

const find = (id: string) => findRun(engine.producer.pools, id, null);
const itemsDone = async () => Object.values(await doneItems(engine.store, tenant)).filter((times) => times > 0).length;

/** As a cancel whose message Redis did not carry. */
async function askToStop(id: string): Promise<void> {
  await engine.store.admin.query(
    `UPDATE ops.open_runs SET cancel_requested_at = clock_timestamp(), cancel_actor = 'user:ada' WHERE id = $1`,
    [id],
  );
}

async function ended(id: string) {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return find(id);
}

describe('a run that was asked to stop before', () => {
  /** A worker had it, was asked to stop, and gave it back or died. */
  async function askedBefore(job: string): Promise<string> {
    const hour = new Date(Date.now() + 3_600_000);
    const { id } = await engine.producer.accept({ job, tenant, input: { n: 1 }, dueAt: hour }, 'test');
    await askToStop(id);
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET state = 'queued', due_at = clock_timestamp(), fence = 1, crashes = 1, started_at = clock_timestamp() WHERE id = $1`,
      [id],
    );
    return id;
  }

  it.each([task.name, sweep.name])('is not begun again: %s', async (job) => {
    const run = await ended(await askedBefore(job));
    expect(run).toMatchObject({ status: 'cancelled', processed: 0, errorClass: null });
    expect([calls, await itemsDone()]).toEqual([0, 0]);
  });

  it('is not begun again when its lease runs out', async () => {
    const { rows } = await engine.store.admin.query<{ id: string }>(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input, fence, started_at, lease_until, worker, cancel_requested_at, cancel_actor)
       VALUES (gen_random_uuid(), $1, $2, 1, 'tiny-long', 2, 'running', 'test', '{"timeoutMs": 10000, "batchSize": 10, "batchDelayMs": 0}', '{}', 1, now(), now() - interval '1 minute', 'gone', now(), 'user:ada')
       RETURNING id`,
      [tenant, sweep.name],
    );
    expect(await ended(rows[0]?.id ?? '')).toMatchObject({ status: 'cancelled', processed: 0 });
    expect(await itemsDone()).toBe(0);
  });
});

describe('a run that is asked to stop', () => {
  it('and fails by itself is not tried again', async () => {
    const { id } = await engine.producer.accept({ job: failing.name, tenant, input: {} }, 'test');
    await gate.reached;
    await askToStop(id);
    gate.open();
    expect(await ended(id)).toMatchObject({ status: 'cancelled' });
    expect(calls).toBe(1);
  });

  it('while it is being split does not leave the rest to its shards', async () => {
    const { id } = await engine.producer.accept({ job: split.name, tenant, input: { n: 1 } }, 'test');
    await gate.reached;
    await askToStop(id);
    gate.open();
    expect(await ended(id)).toMatchObject({ status: 'cancelled', processed: 0 });
    expect(await itemsDone()).toBe(0);
    expect((await engine.store.admin.query('SELECT FROM ops.run_view WHERE parent_id = $1', [id])).rowCount).toBe(0);
  });
});
