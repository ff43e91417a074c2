import { randomUUID } from 'node:crypto';
import { createPool, inTransaction, type Pool } from '@nightshift/db';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { claimLong, claimShort, renewLease } from './claim.ts';
import { countCrashes } from './crashes.ts';
import { DEFAULT_OPTIONS } from './define-job.ts';
import { RunStateError } from './errors.ts';
import type { Dispatch, ExecuteDeps } from './execute/execution.ts';
import { executeShort } from './execute/short.ts';
import { giveBack } from './give-back.ts';
import { dropDispatch } from './in-hand.ts';
import { findRun } from './query/index.ts';
import { checkpoint, endRuns, releaseLong, retryRuns } from './record.ts';
import { executeDeps } from './testing/execute-deps.ts';
import { dispatchByHand, type TestEngine, testEngine, until } from './testing/index.ts';
import { createGate, type Gate, makeTinyTables, tinyRequest } from './testing/tiny.ts';

// Two that want the same run: each race is built so that both orders are tried.

let gate: Gate | null = null;
const job = tinyRequest('request', {
  async handle(ctx, runs) {
    // Whoever waits for a lock until its end does not wait for long.
    await ctx.client.query('SET LOCAL lock_timeout = 100');
    await ctx.client.query('INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])', [
      runs.map((run) => run.runId),
    ]);
    await gate?.pass();
    return runs.map(() => ({ ok: null }));
  },
});

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let tenant: string;
let deps: ExecuteDeps;

beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  await makeTinyTables(engine.store);
  app = createPool({ url: engine.store.databaseUrl, role: 'ns_app', max: 10, name: 'test-app' });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 10, name: 'test-ops' });
  tenant = await engine.store.addTenant('tiny', 'a');
  deps = executeDeps(engine, { app, ops }, [job]);
});
beforeEach(() => {
  gate = null;
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

/** A run that was just dispatched. */
async function dispatched(more: { dueInSeconds?: number } = {}): Promise<Dispatch & { run: string }> {
  const [run, id] = [randomUUID(), randomUUID()];
  await engine.store.admin.query(
    `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, due_at, actor, options, input)
     VALUES ($1, $2, 'tiny.request', 1, 'tiny', 2, 'queued', clock_timestamp() + make_interval(secs => $3), 'test', $4, '{}')`,
    [run, tenant, more.dueInSeconds ?? 0, JSON.stringify(DEFAULT_OPTIONS)],
  );
  await dispatchByHand(engine.store.admin, [run], id);
  return { id, queue: 'tiny', run, runs: [run], job: 'tiny.request', tenantIds: [tenant], timeoutMs: 30_000 };
}

const asTenant = <T>(work: Parameters<typeof inTransaction<T>>[2]) => inTransaction(app, [tenant], work);
const find = (id: string) => findRun(engine.producer.pools, id, null);

async function isThere(dispatch: string): Promise<boolean> {
  return (await engine.store.admin.query('SELECT FROM ops.dispatches WHERE id = $1', [dispatch])).rowCount === 1;
}

async function effectsOf(run: string): Promise<number> {
  return (await engine.store.admin.query('SELECT FROM tiny.effects WHERE run_id = $1', [run])).rowCount ?? 0;
}

/** Resolves when somebody waits for a lock: the second of the two is at the row. */
async function somebodyWaits(): Promise<void> {
  await until('a waiting statement', async () => {
    const { rows } = await engine.store.admin.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rows.length > 0;
  });
}

describe('a short run', () => {
  it('is executed once, however many hold its dispatch', async () => {
    const dispatch = await dispatched();
    await Promise.all(Array.from({ length: 8 }, () => executeShort(deps, dispatch)));
    expect(await find(dispatch.run)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await effectsOf(dispatch.run)).toBe(1);
  });

  it('is left to the dispatch that owns it now', async () => {
    const dispatch = await dispatched();
    await dispatchByHand(engine.store.admin, [dispatch.run]);
    await executeShort(deps, dispatch);
    expect(await find(dispatch.run)).toMatchObject({ status: 'dispatched' });
    expect(await effectsOf(dispatch.run)).toBe(0);
  });

  it('is not claimed before its time, whatever woke the worker', async () => {
    const dispatch = await dispatched({ dueInSeconds: 3_600 });
    await executeShort(deps, dispatch);
    expect(await effectsOf(dispatch.run)).toBe(0);
  });

  it('ends without those of its dispatch whose time has not come: a failover to a slower clock', async () => {
    const [first, later] = [await dispatched(), await dispatched({ dueInSeconds: 3_600 })];
    await dispatchByHand(engine.store.admin, [first.run, later.run], first.id);
    await executeShort(deps, { ...first, runs: [first.run, later.run] });
    expect(await find(first.run)).toMatchObject({ status: 'completed', attempts: 1 });
    // What is not due would be handed out over and over: it is left to those that look for lost dispatches.
    expect(await find(later.run)).toMatchObject({ status: 'dispatched', attempts: 1 });
    expect(await effectsOf(first.run)).toBe(1);
    expect(await effectsOf(later.run)).toBe(0);
  });

  it('that somebody takes out of its dispatch meanwhile leaves no effect; the others of the bundle end', async () => {
    gate = createGate();
    const [first, other] = [await dispatched(), await dispatched()];
    await dispatchByHand(engine.store.admin, [first.run, other.run], first.id);
    const executed = executeShort(deps, { ...first, runs: [first.run, other.run] });
    await gate.reached;
    // Nobody of ours does so without the dispatch's lock: the rows themselves are not locked.
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET state = 'scheduled', due_at = clock_timestamp() + interval '1 hour' WHERE id = $1`,
      [other.run],
    );
    gate.open();
    await executed;
    expect(await find(first.run)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await find(other.run)).toMatchObject({ status: 'scheduled', attempts: 1 });
    expect(await effectsOf(first.run)).toBe(1);
    expect(await effectsOf(other.run)).toBe(0);
  });

  it('of a dispatch whose runs are not alike is claimed all the same', async () => {
    const [first, tried] = [await dispatched(), await dispatched()];
    await engine.store.admin.query('UPDATE ops.open_runs SET attempt = 3 WHERE id = $1', [tried.run]);
    await dispatchByHand(engine.store.admin, [first.run, tried.run], first.id);
    await executeShort(deps, { ...first, runs: [first.run, tried.run] });
    expect(await find(first.run)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await find(tried.run)).toMatchObject({ status: 'completed', attempts: 3 });
  });

  it('that executes ends before it can be cancelled', async () => {
    gate = createGate();
    const dispatch = await dispatched();
    const executed = executeShort(deps, dispatch);
    await gate.reached;
    const cancelled = engine.producer.cancel(dispatch.run, 'test', tenant).catch((error) => error);
    await somebodyWaits();
    gate.open();
    await executed;
    expect(await cancelled).toBeInstanceOf(RunStateError);
    expect(await find(dispatch.run)).toMatchObject({ status: 'completed' });
    expect(await effectsOf(dispatch.run)).toBe(1);
  });

  it('that is cancelled first is not executed', async () => {
    const dispatch = await dispatched();
    await engine.producer.cancel(dispatch.run, 'test', tenant);
    await executeShort(deps, dispatch);
    expect(await find(dispatch.run)).toMatchObject({ status: 'cancelled' });
    expect(await effectsOf(dispatch.run)).toBe(0);
    // Nothing of it is left to wait for: it no longer takes a place in the window.
    expect(await isThere(dispatch.id)).toBe(false);
  });

  it('that is put off while it waits in Redis is left alone, and to be had when its time comes', async () => {
    const dispatch = await dispatched();
    await engine.producer.snooze(dispatch.run, { forMs: 3_600_000 }, 'test', tenant);
    await executeShort(deps, dispatch);
    expect(await find(dispatch.run)).toMatchObject({ status: 'scheduled', attempts: 1 });
    expect(await effectsOf(dispatch.run)).toBe(0);
    expect(await isThere(dispatch.id)).toBe(false);
  });

  it('that was put off and is due again is not executed by the dispatch that it was in', async () => {
    const [moved, other] = [await dispatched(), await dispatched()];
    await dispatchByHand(engine.store.admin, [moved.run, other.run], moved.id);
    await engine.producer.snooze(moved.run, { forMs: 3_600_000 }, 'test', tenant);
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET state = 'queued', due_at = clock_timestamp() WHERE id = $1`,
      [moved.run],
    );
    expect(await find(moved.run)).toMatchObject({ status: 'queued' });
    await executeShort(deps, { ...moved, runs: [moved.run, other.run] });
    expect([await effectsOf(moved.run), await effectsOf(other.run)]).toEqual([0, 1]);
    expect(await find(moved.run)).toMatchObject({ status: 'queued' });
  });

  it('that somebody has locked is left to a later dispatch; the others of the bundle end', async () => {
    gate = createGate();
    const [locked, other] = [await dispatched(), await dispatched()];
    await dispatchByHand(engine.store.admin, [locked.run, other.run], locked.id);
    const executed = executeShort(deps, { ...locked, runs: [locked.run, other.run] });
    await gate.reached;
    const holder = await ops.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM ops.open_runs WHERE id = $1 FOR UPDATE', [locked.run]);
    gate.open();
    await executed;
    await holder.query('ROLLBACK');
    holder.release();
    expect(await find(other.run)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await find(locked.run)).toMatchObject({ status: 'queued', attempts: 1 });
    expect([await effectsOf(other.run), await effectsOf(locked.run)]).toEqual([1, 0]);
    expect(await isThere(locked.id)).toBe(false);
  });

  it('whose worker was taken for dead, and is not, is not counted as crashed', async () => {
    gate = createGate();
    const dispatch = await dispatched();
    const executed = executeShort(deps, dispatch);
    await gate.reached;
    const counted = countCrashes(ops, { dispatchId: dispatch.id });
    await somebodyWaits();
    gate.open();
    await executed;
    expect(await counted).toEqual([]);
    expect(await find(dispatch.run)).toMatchObject({ status: 'completed', crashes: 0 });
  });

  it('that was counted as crashed leaves its first worker nothing to write', async () => {
    const dispatch = await dispatched();
    await asTenant(async (client) => {
      // The first worker had read the row, and comes back after the count.
      await countCrashes(ops, { dispatchId: dispatch.id });
      expect(await claimShort(client, dispatch)).toEqual([]);
      await dropDispatch(client, dispatch.id);
    });
    expect(await find(dispatch.run)).toMatchObject({ status: 'queued', crashes: 1 });
  });
});

describe('a long run', () => {
  it('has one owner, whoever asks at once', async () => {
    const dispatch = await dispatched();
    const claims = await Promise.all(
      ['a', 'b', 'c', 'd'].map((worker) => asTenant((client) => claimLong(client, dispatch, dispatch.run, worker))),
    );
    expect(claims.filter((claim) => claim !== null)).toHaveLength(1);
    expect(await find(dispatch.run)).toMatchObject({ status: 'running' });
    expect(await isThere(dispatch.id)).toBe(true);
  });

  it('counts as in hand for as long as it runs, whatever is given back meanwhile', async () => {
    const [running, waiting] = [await dispatched(), await dispatched()];
    await asTenant((client) => claimLong(client, running, running.run, 'a'));
    expect([...(await giveBack(ops, 'all', []))]).toEqual([['tiny', expect.any(Number)]]);
    expect(await find(waiting.run)).toMatchObject({ status: 'queued' });
    expect([await isThere(running.id), await isThere(waiting.id)]).toEqual([true, false]);
    // BullMQ hands it out again: its lock ran out, its lease did not.
    expect(await countCrashes(ops, { dispatchId: running.id })).toEqual([]);
    expect(await asTenant((client) => claimLong(client, waiting, waiting.run, 'late'))).toBeNull();
    expect(await isThere(running.id)).toBe(true);
    await engine.store.admin.query(`UPDATE ops.open_runs SET lease_until = '-infinity' WHERE id = $1`, [running.run]);
    await until('its lease to count', async () => (await countCrashes(ops, 'expired-leases')).length > 0);
    expect(await isThere(running.id)).toBe(false);
    expect(await find(running.run)).toMatchObject({ status: 'queued', crashes: 1 });
  });

  it('that is claimed while BullMQ hands it out again is neither counted as crashed nor forgotten', async () => {
    const dispatch = await dispatched();
    const claimed = createGate();
    const claim = asTenant(async (client) => {
      await claimLong(client, dispatch, dispatch.run, 'a');
      await claimed.pass();
    });
    await claimed.reached;
    const counted = countCrashes(ops, { dispatchId: dispatch.id });
    await somebodyWaits();
    claimed.open();
    await claim;
    expect(await counted).toEqual([]);
    expect(await isThere(dispatch.id)).toBe(true);
    expect(await find(dispatch.run)).toMatchObject({ status: 'running', crashes: 0 });
  });

  it('takes no word from an owner whose fence is past', async () => {
    const dispatch = await dispatched();
    const first = await asTenant((client) => claimLong(client, dispatch, dispatch.run, 'first'));
    if (first === null) throw new Error('the claim failed');
    // Its lease ran out, and the run went to another: same dispatch id on purpose, so that the fence alone tells them apart.
    await engine.store.admin.query(`UPDATE ops.open_runs SET state = 'queued' WHERE id = $1`, [dispatch.run]);
    const second = await asTenant((client) => claimLong(client, dispatch, dispatch.run, 'second'));
    expect(second?.fence).toBe(first.fence + 1);
    const progress = { cursor: 'stolen', expected: 1, processed: 1, changed: 1, failedItems: 0, tally: {} };
    const end = { outcome: 'completed', result: null, errorClass: null, errorMessage: null, durationMs: 0 } as const;
    const retry = { outcome: 'failed', delayMs: 0, errorClass: 'E', errorMessage: 'm' } as const;
    const held = { id: first.id, fence: first.fence };
    const words = await asTenant(async (client) => [
      await renewLease(client, held),
      await checkpoint(client, held, null, progress),
      (await endRuns(client, [{ ...held, ...end }], { worker: 'first', bundleSize: 1, as: 'running' })).size,
      (await retryRuns(client, [{ ...held, ...retry }], { worker: 'first', durationMs: 0, as: 'running' })).size,
      await releaseLong(client, held, 'first'),
    ]);
    expect(words).toEqual([null, null, 0, 0, false]);
    expect(await find(dispatch.run)).toMatchObject({ status: 'running', worker: 'second', processed: 0 });
  });

  it('that ends while recovery looks at its lease ends once', async () => {
    const dispatch = await dispatched();
    const run = await asTenant((client) => claimLong(client, dispatch, dispatch.run, 'first'));
    if (run === null) throw new Error('the claim failed');
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1`,
      [run.id],
    );
    const end = { outcome: 'completed', result: null, errorClass: null, errorMessage: null, durationMs: 0 } as const;
    await asTenant(async (client) => {
      await endRuns(client, [{ id: run.id, fence: run.fence, ...end }], {
        worker: 'first',
        bundleSize: 1,
        as: 'running',
      });
      // Recovery passes by a locked row.
      expect((await countCrashes(ops, 'expired-leases')).map((crashed) => crashed.id)).not.toContain(run.id);
    });
    expect(await find(run.id)).toMatchObject({ status: 'completed', crashes: 0 });
  });
});

describe('the record of an end', () => {
  it('is written once by two that end the same runs in opposite orders', async () => {
    const dispatches = await Promise.all(Array.from({ length: 20 }, () => dispatched()));
    const end = {
      outcome: 'completed',
      result: null,
      errorClass: null,
      errorMessage: null,
      durationMs: 0,
      fence: 0,
    } as const;
    const ends = dispatches.map((dispatch) => ({ id: dispatch.run, ...end }));
    const orders = [ends, [...ends].reverse(), ends, [...ends].reverse()];
    const written = await Promise.allSettled(
      orders.map((order) => asTenant((client) => endRuns(client, order, { worker: 'w', bundleSize: 1, as: 'queued' }))),
    );
    const ids = written.flatMap((answer) => (answer.status === 'fulfilled' ? [...answer.value] : []));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBe(20);
    const { rowCount } = await engine.store.admin.query('SELECT FROM ops.runs WHERE id = ANY ($1)', [
      ends.map((e) => e.id),
    ]);
    expect(rowCount).toBe(20);
  });
});
