import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MAX_CRASHES } from './crashes.ts';
import { findRun } from './query/index.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { createGate, type Gate, tinyTask } from './testing/tiny.ts';

// Runs that were accepted, or began, longer ago than milliseconds in an integer can say: they were put off, or their job was paused.

let gate: Gate;
const task = tinyTask('task', {
  async run() {
    await gate.pass();
    return { ok: true };
  },
});

let engine: TestEngine;
let tenant: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [task] });
  tenant = await engine.store.addTenant('tiny', 'a');
});
beforeEach(() => {
  gate = createGate();
});
afterAll(() => engine.close());

const ended = async (id: string) => {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return findRun(engine.producer.pools, id, null);
};
const LONGEST = 2_147_483_647;

describe('a run that began two months ago', () => {
  it('ends', async () => {
    const { id } = await engine.producer.accept({ job: task.name, tenant, input: {} }, 'test');
    await gate.reached;
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET started_at = started_at - interval '60 days' WHERE id = $1`,
      [id],
    );
    gate.open();
    expect(await ended(id)).toMatchObject({ status: 'completed', durationMs: LONGEST });
  });

  it('ends as well when it has crashed once too often', async () => {
    const { rows } = await engine.store.admin.query<{ id: string }>(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input, started_at, lease_until, crashes, worker)
       VALUES (gen_random_uuid(), $1, $2, 1, 'tiny-long', 2, 'running', 'test', '{"timeoutMs": 1000}', '{}', now() - interval '60 days', now() - interval '1 minute', $3, 'gone')
       RETURNING id`,
      [tenant, task.name, MAX_CRASHES - 1],
    );
    expect(await ended(rows[0]?.id ?? '')).toMatchObject({ status: 'failed', errorClass: 'CrashLoopError' });
  });
});

describe('a run that was accepted two months ago', () => {
  it('has its payload kept from its end on: it can be done again', async () => {
    gate.open();
    const { rows } = await engine.store.admin.query<{ id: string }>(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input, accepted_at)
       VALUES (overlay(gen_random_uuid()::text placing left(ops.uuid7_floor(now() - interval '60 days')::text, 14) from 1)::uuid, $1, $2, 1, 'tiny-long', 2, 'queued',
         'test', '{"timeoutMs": 1000, "batchSize": 1, "batchDelayMs": 0, "dryRun": false}', '{"n": 7}', now() - interval '60 days')
       RETURNING id`,
      [tenant, task.name],
    );
    const id = rows[0]?.id ?? '';
    expect(await ended(id)).toMatchObject({ status: 'completed', input: { n: 7 }, result: { ok: true } });
    const { rows: payloads } = await engine.store.admin.query(
      `SELECT p.tableoid::regclass::text = 'ops.payloads_' || to_char(now() AT TIME ZONE 'UTC', 'IYYY"w"IW') AS "ofThisWeek"
       FROM ops.runs r JOIN ops.payloads p ON p.id = r.payload_id WHERE r.id = $1`,
      [id],
    );
    expect(payloads).toEqual([{ ofThisWeek: true }]);
    await engine.store.admin.query('SELECT ops.drop_expired_partitions(30, 400)');
    const again = await engine.producer.retry(id, 'test', null);
    expect(await ended(again.id)).toMatchObject({ status: 'completed', input: { n: 7 }, retryOf: id });
  });
});
