import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { RunStateError, UnknownRunError } from './errors.ts';
import { findRun, listRunAudit } from './query/index.ts';
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
const handled: string[] = [];

const request = tinyRequest('request', {
  async before(_ctx, runs) {
    if (runs.some((run) => run.input.hold)) await gate.pass();
  },
  handle: async (_ctx, runs) => {
    handled.push(...runs.map((run) => run.runId));
    return runs.map((run) => (run.input.fail ? { error: new Error('on purpose') } : { ok: null }));
  },
  retry: { retries: 1, delayMs: 3_600_000 },
});
const sweep = tinySweep('sweep', {
  async process(ctx, items) {
    if (items[0]?.id.endsWith('010')) await gate.pass();
    return countAsDone(ctx, items);
  },
});
const sleepy = tinySweep('sleepy', { options: { batchSize: 10, batchDelayMs: 60_000 } });
const task = tinyTask('task', {
  async run(ctx) {
    gate.pass().catch(() => undefined);
    await wait(1_000_000, undefined, { signal: ctx.signal, ref: false });
  },
});

let engine: TestEngine;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [request, sweep, sleepy, task], slots: { short: 1, long: 2 } });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  gate = createGate();
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
});
afterAll(() => engine.close());

const accept = async (job: string, input: object = {}, dueAt?: Date) =>
  (await engine.producer.accept({ job: `tiny.${job}`, tenant, input, dueAt }, 'test')).id;
const find = (id: string) => findRun(engine.producer.pools, id, null);
const cancel = (id: string, as: string | null = tenant) => engine.producer.cancel(id, 'user:ada', as);
const ended = async (id: string) => {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return find(id);
};

describe('cancel ends at once', () => {
  it('a run that waits for its time', async () => {
    const id = await accept('request', {}, new Date(Date.now() + 3_600_000));
    const told = engine.producer.waitFor([id], { timeoutMs: 40_000 });
    expect(await cancel(id)).toBe('cancelled');
    expect(await told).toEqual(new Map([[id, 'cancelled']]));
    expect(await find(id)).toMatchObject({ status: 'cancelled', endedAt: expect.any(Date) });
    const { items: audit } = await listRunAudit(engine.producer.pools, id, tenant, { limit: 10 });
    expect(audit.map((event) => [event.action, event.actor])).toEqual([
      ['run.accepted', 'test'],
      ['run.ended', 'user:ada'],
    ]);
  });

  it('a run that waits for its retry', async () => {
    const id = await accept('request', { fail: true });
    await until('the retry', async () => (await find(id)).status === 'scheduled');
    expect(await cancel(id)).toBe('cancelled');
    expect(await find(id)).toMatchObject({ status: 'cancelled' });
  });

  it('a run that Redis holds already, and nobody executes it', async () => {
    const holding = await accept('request', { hold: true });
    await gate.reached;
    const id = await accept('request');
    await until('its dispatch', async () => (await find(id)).status === 'dispatched');
    expect(await cancel(id)).toBe('cancelled');
    gate.open();
    await ended(holding);
    await runJob(engine, { job: 'tiny.request', tenant, input: {} });
    expect(handled).toContain(holding);
    expect(handled).not.toContain(id);
    expect(await find(id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('cancel stops', () => {
  it('a sweep at the end of its batch, which stays', async () => {
    const ids = await addItems(engine.store, tenant, 30, { prefix: `t${tenants}-` });
    const id = await accept('sweep');
    await gate.reached;
    expect(await cancel(id)).toBe('running');
    gate.open();
    expect(await ended(id)).toMatchObject({ status: 'cancelled', processed: 20, errorClass: null });
    const done = Object.entries(await doneItems(engine.store, tenant)).filter(([, times]) => times === 1);
    expect(done.map(([item]) => item)).toEqual(ids.slice(0, 20));
  });

  it('a sweep that pauses between batches, without waiting for the next', async () => {
    await addItems(engine.store, tenant, 30, { prefix: `t${tenants}-` });
    const id = await accept('sleepy');
    await until('the first batch', async () => (await find(id)).processed === 10);
    await cancel(id);
    expect(await ended(id)).toMatchObject({ status: 'cancelled', processed: 10 });
  });

  it('a sweep that the message did not reach: it reads the request at its checkpoint', async () => {
    await addItems(engine.store, tenant, 30, { prefix: `t${tenants}-` });
    const id = await accept('sweep');
    await gate.reached;
    await engine.store.admin.query('UPDATE ops.open_runs SET cancel_requested_at = clock_timestamp() WHERE id = $1', [
      id,
    ]);
    gate.open();
    expect(await ended(id)).toMatchObject({ status: 'cancelled', processed: 20 });
  });

  it('a task by its signal', async () => {
    const id = await accept('task');
    await gate.reached;
    expect(await cancel(id)).toBe('running');
    expect(await ended(id)).toMatchObject({ status: 'cancelled' });
    const { items: audit } = await listRunAudit(engine.producer.pools, id, tenant, { limit: 10 });
    expect(audit.map((event) => event.action)).toEqual(['run.accepted', 'run.cancel_requested', 'run.ended']);
  });
});

describe('cancel and retry refuse', () => {
  it('what has ended, or has not', async () => {
    const done = await runJob(engine, { job: 'tiny.request', tenant, input: {} });
    await expect(cancel(done.id)).rejects.toThrow(RunStateError);
    const open = await accept('request', {}, new Date(Date.now() + 3_600_000));
    await expect(engine.producer.retry(open, 'test', tenant)).rejects.toThrow(RunStateError);
    await expect(engine.producer.replay(done.id, 'test', tenant)).rejects.toThrow(RunStateError);
  });

  it('what another tenant has, exactly as what does not exist', async () => {
    const other = await engine.store.addTenant('tiny', `t${tenants}-other`);
    const open = await accept('request', {}, new Date(Date.now() + 3_600_000));
    const done = await runJob(engine, { job: 'tiny.request', tenant, input: {} });
    for (const id of [open, done.id, randomUUID(), 'no id']) {
      const message = `There is no run '${id}'.`;
      await expect(cancel(id, other)).rejects.toThrow(new UnknownRunError(id));
      await expect(engine.producer.retry(id, 'test', other)).rejects.toThrow(message);
      await expect(engine.producer.replay(id, 'test', other)).rejects.toThrow(message);
    }
    expect(await find(open)).toMatchObject({ status: 'scheduled', cancelRequestedAt: null });
  });
});

describe('a retry by hand', () => {
  it('is a new run like the old one, which stays as it is', async () => {
    const id = await accept('request', { note: 'again' }, new Date(Date.now() + 3_600_000));
    await cancel(id);
    const before = await find(id);
    const again = await engine.producer.retry(id, 'user:eve', tenant);
    expect(await ended(again.id)).toMatchObject({
      status: 'completed',
      retryOf: id,
      input: { note: 'again' },
      actor: 'user:eve',
    });
    expect(await find(id)).toEqual(before);
  });

  it('of an input that the job has outgrown is upgraded', async () => {
    const id = await accept('request', { note: 'old' }, new Date(Date.now() + 3_600_000));
    await cancel(id);
    const next = await testEngine({
      jobs: [
        {
          ...request,
          inputVersion: 2,
          input: z.strictObject({ text: z.string() }),
          upgrade: (old) => ({ text: (old as { note: string }).note }),
        },
      ],
      workers: 0,
      store: engine.store,
    });
    const again = await next.producer.retry(id, 'test', tenant);
    const run = await find(again.id);
    await next.producer.cancel(again.id, 'test', tenant);
    await next.close();
    expect(run).toMatchObject({ input: { text: 'old' }, retryOf: id });
  });
});
