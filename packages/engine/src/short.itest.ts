import { setTimeout as wait } from 'node:timers/promises';
import { Queue } from 'bullmq';
import { sql } from 'drizzle-orm';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { redisOptions } from './broker.ts';
import type { RequestContext, RequestRun } from './define-job.ts';
import { PermanentError } from './errors.ts';
import { findRun, listAttempts, type RunDetail } from './query/index.ts';
import { queuePrefix } from './redis-names.ts';
import { runJob, type TestEngine, testEngine, until } from './testing/index.ts';
import { createGate, makeTinyTables, tinyRequest } from './testing/tiny.ts';

interface Note {
  readonly note: string;
  readonly bad?: boolean;
}

class BadNoteError extends Error {
  override readonly name = 'BadNoteError';
}

async function leave(ctx: RequestContext, runs: readonly RequestRun<Note>[]): Promise<void> {
  await ctx.client.query('INSERT INTO tiny.effects (run_id, note) SELECT * FROM unnest($1::uuid[], $2::text[])', [
    runs.map((run) => run.runId),
    runs.map((run) => run.input.note),
  ]);
}

const input = z.strictObject({ note: z.string(), bad: z.boolean().optional() });
const secret = 'ada@example.org has a secret';
const noted = (runs: readonly RequestRun<Note>[]) => runs.map((run) => ({ ok: { noted: run.input.note } }));

/** Throws for the whole call when one of its runs is bad, after it has written for all. */
const throwing = tinyRequest('throwing', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs) {
    await leave(ctx, runs);
    if (runs.some((run) => run.input.bad)) throw new BadNoteError(secret);
    return noted(runs);
  },
});
/** Postgres refuses what it writes. */
const refused = tinyRequest('refused', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs) {
    await leave(ctx, runs);
    if (runs.some((run) => run.input.bad)) await ctx.client.query('SELECT 1 / 0');
    return noted(runs);
  },
});
/** Says itself which run failed, after it has written for all. */
const judging = tinyRequest('judging', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs) {
    await leave(ctx, runs);
    return runs.map((run) => (run.input.bad ? { error: new BadNoteError(secret) } : { ok: null }));
  },
});
const unstorable = tinyRequest('unstorable', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs) {
    await leave(ctx, runs);
    return runs.map((run) => ({ ok: run.input.bad ? 10n : 'fine' }));
  },
});
/** What it does fails at commit only. */
const deferred = tinyRequest('deferred', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs) {
    await ctx.client.query(`INSERT INTO tiny.later (note) VALUES ('no such run')`);
    return noted(runs);
  },
});
const tooFew = tinyRequest('too-few', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs) {
    await leave(ctx, runs);
    return noted(runs).slice(1);
  },
});
const nonsense = tinyRequest('nonsense', {
  input,
  retry: { retries: 0 },
  handle: async (_ctx, runs) => runs.map(() => ({ done: true }) as never),
});
/** Works with a copy of its context. */
const copying = tinyRequest('copying', {
  input,
  async handle(ctx, runs) {
    const copy = { ...ctx };
    const { rows } = await copy.db.execute(sql`SELECT 6 * 7 AS n`);
    return runs.map(() => ({ ok: { n: rows[0]?.n, aborted: copy.signal.aborted } }));
  },
});
const flaky = tinyRequest('flaky', {
  input,
  retry: { retries: 2, delayMs: 20 },
  async handle(ctx, runs) {
    await leave(ctx, runs);
    if (runs.some((run) => run.attempt < 3)) throw new BadNoteError(secret);
    return noted(runs);
  },
});
const hopeless = tinyRequest('hopeless', {
  input,
  retry: { retries: 2, delayMs: 20 },
  handle: async () => {
    throw new BadNoteError(secret);
  },
});
const permanent = tinyRequest('permanent', {
  input,
  handle: async () => {
    throw new PermanentError('there is no such member');
  },
});
const patient = tinyRequest('patient', {
  input,
  retry: { retries: 1, delayMs: 3_600_000 },
  handle: async () => {
    throw new BadNoteError(secret);
  },
});

let late: { ctx: RequestContext; go: () => void; tried: Promise<unknown> };
/** Goes on after its timeout, and writes. */
const zombie = tinyRequest('zombie', {
  input,
  retry: { retries: 0 },
  options: { timeoutMs: 100 },
  async handle(ctx, runs) {
    const gate = createGate();
    const tried = gate.pass().then(() => leave(ctx, runs));
    tried.catch(() => undefined);
    late = { ctx, go: gate.open, tried };
    await tried;
    return noted(runs);
  },
});

const gates = new Map<string, ReturnType<typeof createGate>>();
/** Waits before its claim until the test lets it. */
const waiting = tinyRequest('waiting', {
  input,
  async before(ctx, runs) {
    const gate = gates.get(runs[0]?.input.note);
    const aborted = wait(1_000_000, undefined, { signal: ctx.signal, ref: false });
    await Promise.race([gate?.pass(), aborted]);
  },
  handle: async (_ctx, runs) => noted(runs),
});

let engine: TestEngine;
let tenant: string;

beforeAll(async () => {
  engine = await testEngine({
    jobs: [
      throwing, refused, judging, copying, unstorable, deferred, tooFew, nonsense, flaky, hopeless, permanent, patient, zombie, waiting,
    ], // biome-ignore format: a list of names
    slots: { short: 1, long: 1 },
  });
  await makeTinyTables(engine.store);
  await engine.store.admin.query(
    `ALTER TABLE tiny.effects ADD CONSTRAINT notes UNIQUE (note, run_id);
     CREATE TABLE tiny.known (note text PRIMARY KEY);
     CREATE TABLE tiny.later (note text REFERENCES tiny.known DEFERRABLE INITIALLY DEFERRED);
     GRANT ALL ON tiny.later, tiny.known TO ns_app`,
  );
  tenant = await engine.store.addTenant('tiny', 'a');
});
afterAll(() => engine.close());

const run = (job: string, note: Note) => runJob(engine, { job: `tiny.${job}`, tenant, input: note });

async function effectsOf(ids: readonly string[]): Promise<string[]> {
  const { rows } = await engine.store.admin.query<{ run_id: string }>(
    'SELECT run_id FROM tiny.effects WHERE run_id = ANY ($1) ORDER BY run_id',
    [ids],
  );
  return rows.map((row) => row.run_id);
}

/** Queues runs while the queue is paused, so that they go in bundles. Resolves to them, ended, in order. */
async function runTogether(job: string, notes: readonly Note[]): Promise<RunDetail[]> {
  const { admin } = engine.store;
  await admin.query(`INSERT INTO ops.pauses (kind, key, paused_by) VALUES ('queue', 'tiny', 'test')`);
  const accepted = await Promise.all(
    notes.map((note) => engine.producer.accept({ job: `tiny.${job}`, tenant, input: note }, 'test')),
  );
  await admin.query(`DELETE FROM ops.pauses WHERE kind = 'queue'`);
  const ids = accepted.map((a) => a.id);
  const ended = await engine.producer.waitFor(ids, { timeoutMs: 40_000 });
  expect(ended.size).toBe(ids.length);
  return Promise.all(ids.map((id) => findRun(engine.producer.pools, id, null)));
}

const notes = (n: number, bad: readonly number[] = []): Note[] =>
  Array.from({ length: n }, (_, i) => ({ note: `n${i}`, ...(bad.includes(i) ? { bad: true } : {}) }));

describe('a bundle', () => {
  it('is made of a backlog, and a lone run when idle', async () => {
    const runs = await runTogether('throwing', notes(500));
    expect(runs.every((each) => each.status === 'completed')).toBe(true);
    expect(Math.max(...runs.map((each) => each.bundleSize ?? 0))).toBeGreaterThan(1);
    expect(await effectsOf(runs.map((each) => each.id))).toHaveLength(500);
    expect(await run('throwing', { note: 'alone' })).toMatchObject({ bundleSize: 1, status: 'completed' });
  });

  it.each([
    ['throws', 'throwing', 'BadNoteError'],
    ['is refused by Postgres', 'refused', 'error'],
    ['is called failed', 'judging', 'BadNoteError'],
    ['answers with what cannot be stored', 'unstorable', 'PermanentError'],
  ])('fails the run that %s alone; its effects are gone, its neighbours’ stay', async (_what, job, errorClass) => {
    const runs = await runTogether(job, notes(20, [3, 11]));
    const failed = runs.filter((each) => each.status === 'failed');
    expect(failed.map((each) => (each.input as Note).note).sort()).toEqual(['n11', 'n3']);
    expect(failed.map((each) => each.errorClass)).toEqual([errorClass, errorClass]);
    const completed = runs.filter((each) => each.status === 'completed');
    expect(completed).toHaveLength(18);
    expect(Math.max(...completed.map((each) => each.bundleSize ?? 0))).toBeGreaterThan(1);
    expect(await effectsOf(runs.map((each) => each.id))).toEqual(completed.map((each) => each.id).sort());
  });

  it('fails whole when it answers with too few results', async () => {
    const runs = await runTogether('too-few', notes(6));
    expect(runs.map((each) => each.status)).toEqual(Array(6).fill('failed'));
    expect(runs[0]?.errorMessage).toContain('one result a run');
    expect(await effectsOf(runs.map((each) => each.id))).toEqual([]);
  });

  it('may copy its context', async () => {
    expect(await run('copying', { note: 'x' })).toMatchObject({
      status: 'completed',
      result: { n: 42, aborted: false },
    });
  });

  it('fails what answers neither ok nor error', async () => {
    expect(await run('nonsense', { note: 'x' })).toMatchObject({ status: 'failed' });
  });

  it('fails what cannot be committed, and does not hand it out for ever', async () => {
    expect(await run('deferred', { note: 'x' })).toMatchObject({ status: 'failed', attempts: 1 });
  });
});

describe('a failed attempt', () => {
  it('is retried by the policy, each attempt on record, its effects undone', async () => {
    const ended = await run('flaky', { note: 'x' });
    expect(ended).toMatchObject({ status: 'completed', attempts: 3, result: { noted: 'x' } });
    expect(await effectsOf([ended.id])).toEqual([ended.id]);
    const attempts = await listAttempts(engine.producer.pools, ended.id, tenant);
    expect(attempts.map((a) => [a.attempt, a.outcome, a.errorClass])).toEqual([
      [1, 'failed', 'BadNoteError'],
      [2, 'failed', 'BadNoteError'],
      [3, 'completed', null],
    ]);
    const { rows } = await engine.store.admin.query('SELECT action FROM ops.audit_log WHERE run_id = $1 ORDER BY seq', [
      ended.id,
    ]);
    expect(rows.map((row) => row.action)).toEqual([
      'run.accepted',
      'run.retry_scheduled',
      'run.retry_scheduled',
      'run.ended',
    ]);
  });

  it('is the last when the policy is used up', async () => {
    const ended = await run('hopeless', { note: 'x' });
    expect(ended).toMatchObject({ status: 'failed', attempts: 3, errorClass: 'BadNoteError' });
  });

  it('is the only one when no retry can mend it', async () => {
    const ended = await run('permanent', { note: 'x' });
    expect(ended).toMatchObject({ status: 'failed', attempts: 1, errorMessage: 'there is no such member' });
  });

  it('waits in Postgres, and in Bull Board as a delayed job', async () => {
    const { id } = await engine.producer.accept({ job: 'tiny.patient', tenant, input: { note: 'x' } }, 'test');
    const queue = new Queue('tiny', {
      connection: redisOptions(engine.store.redisUrl),
      prefix: queuePrefix(engine.store.namespace, 'tiny'),
    });
    const mirrored = await until('the retry in Bull Board', async () =>
      (await queue.getDelayed()).find((job) => job.data.runs?.includes(id)),
    );
    expect(mirrored.opts.delay).toBeGreaterThan(3_000_000);
    expect(mirrored.data).toMatchObject({ mirror: true, job: 'tiny.patient', tenant: 'a' });
    expect(await findRun(engine.producer.pools, id, tenant)).toMatchObject({ status: 'scheduled', attempts: 2 });
    await engine.producer.cancel(id, 'test', tenant);
    await until('the mirror to be gone', async () => (await queue.getDelayedCount()) === 0);
    await queue.close();
  });

  it('becomes an attempt at once when its time has come, mirror or not', async () => {
    const { id } = await engine.producer.accept({ job: 'tiny.patient', tenant, input: { note: 'x' } }, 'test');
    await until('the retry', async () => (await findRun(engine.producer.pools, id, tenant)).status === 'scheduled');
    await engine.store.admin.query('UPDATE ops.open_runs SET due_at = clock_timestamp() WHERE id = $1', [id]);
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    expect(await findRun(engine.producer.pools, id, tenant)).toMatchObject({ status: 'failed', attempts: 2 });
  });
});

describe('a timeout', () => {
  it('ends the attempt, and whoever goes on has lost the connection', async () => {
    const ended = await run('zombie', { note: 'x' });
    expect(ended).toMatchObject({ status: 'failed', errorClass: 'DeadlineExceededError' });
    late.go();
    await expect(late.tried).rejects.toThrow('its connection belongs to another');
    expect(() => late.ctx.db.execute('SELECT 1')).toThrow('its connection belongs to another');
    expect(await effectsOf([ended.id])).toEqual([]);
  });
});

describe('before the claim', () => {
  it('a run is cancelled at once, and its late worker writes nothing', async () => {
    const gate = createGate();
    gates.set('cancelled', gate);
    const { id } = await engine.producer.accept({ job: 'tiny.waiting', tenant, input: { note: 'cancelled' } }, 'test');
    await gate.reached;
    expect(await engine.producer.cancel(id, 'user:ada', tenant)).toBe('cancelled');
    gate.open();
    expect(await run('throwing', { note: 'the slot is free again' })).toMatchObject({ status: 'completed' });
    expect(await findRun(engine.producer.pools, id, tenant)).toMatchObject({ status: 'cancelled', result: null });
  });
});

describe('Redis', () => {
  it('holds no word of inputs, results and messages, and of failures the class alone', async () => {
    await run('throwing', { note: 'personal-in', bad: true });
    await run('throwing', { note: 'personal-in' });
    await run('permanent', { note: 'personal-in' });
    const queue = new Queue('tiny', {
      connection: redisOptions(engine.store.redisUrl),
      prefix: queuePrefix(engine.store.namespace, 'tiny'),
    });
    const failed = await until('failed jobs in Bull Board', async () => {
      const jobs = await queue.getFailed();
      return jobs.some((job) => job.failedReason === 'PermanentError') && jobs;
    });
    await queue.close();
    const reasons = new Set(failed.map((job) => job.failedReason));
    expect([...reasons].filter((reason) => !/^[A-Za-z]+$/.test(reason))).toEqual([]);
    expect(reasons).toContain('BadNoteError');
    expect(failed.flatMap((job) => job.stacktrace).join('')).not.toContain('at ');
    const redis = new Redis(engine.store.redisUrl);
    const words: string[] = [];
    for (const key of await redis.keys(`{${engine.store.namespace}:*`)) {
      if ((await redis.type(key)) === 'hash') words.push(JSON.stringify(await redis.hgetall(key)));
    }
    redis.disconnect();
    expect(words.length).toBeGreaterThan(3);
    for (const personal of ['personal-in', 'secret', 'no such member', 'short.itest']) {
      expect(words.filter((word) => word.includes(personal))).toEqual([]);
    }
  });

  it('holds a few dispatches of a deep backlog, not the backlog', async () => {
    const gate = createGate();
    gates.set('deep', gate);
    const first = await engine.producer.accept({ job: 'tiny.waiting', tenant, input: { note: 'deep' } }, 'test');
    await gate.reached;
    const rest = await Promise.all(
      notes(1_000).map((note) => engine.producer.accept({ job: 'tiny.throwing', tenant, input: note }, 'test')),
    );
    const queue = new Queue('tiny', {
      connection: redisOptions(engine.store.redisUrl),
      prefix: queuePrefix(engine.store.namespace, 'tiny'),
    });
    const inRedis = async () =>
      (await queue.getJobCounts('prioritized', 'waiting', 'active')) as Record<string, number>;
    await until('the window to be full', async () => ((await inRedis()).prioritized ?? 0) > 0);
    const counts = await inRedis();
    expect((counts.prioritized ?? 0) + (counts.waiting ?? 0) + (counts.active ?? 0)).toBeLessThanOrEqual(4);
    gate.open();
    await queue.close();
    const ids = [first, ...rest].map((accepted) => accepted.id);
    expect((await engine.producer.waitFor(ids, { timeoutMs: 40_000 })).size).toBe(1_001);
  });
});

describe('the canary', () => {
  it('answers, and fails when it is asked to', async () => {
    const canary = (more: object) => runJob(engine, { job: 'ops.canary', tenant: null, input: more });
    expect(await canary({ echo: 'hi' })).toMatchObject({
      status: 'completed',
      result: { echo: 'hi', worker: engine.workers[0]?.id },
    });
    expect(await canary({ fail: 'once' })).toMatchObject({ status: 'completed', attempts: 2 });
  });
});
