import { inTransaction } from '@nightshift/db';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { claimShort } from './claim.ts';
import { MAX_CRASHES } from './crashes.ts';
import { processCrypto } from './crypto/job-crypto.ts';
import { createPass, type Pass } from './dispatch.ts';
import { PermanentError, RunStateError } from './errors.ts';
import type { Dispatch, ExecuteDeps } from './execute/execution.ts';
import { executeShort } from './execute/short.ts';
import { createJobSettings } from './job-settings.ts';
import { emptiedRedis, recordCrashes } from './recover.ts';
import { connectProducer } from './redis-connect.ts';
import { incarnationKey } from './redis-names.ts';
import { createClock } from './schedule/clock.ts';
import { createTenants } from './tenants.ts';
import { type TestEngine, testEngine, until } from './testing/index.ts';
import { makeTinyTables, tinyRequest } from './testing/tiny.ts';

// Random sequences of what can happen to runs, against a model of what each may then be. The pieces are the real ones, called by hand, so
// that a sequence is the same each time; only the clock runs beside them, which is why the model calls queued and scheduled both waiting.

type Behaviour = 'well' | 'once' | 'never';

interface ModelRun {
  readonly behaviour: Behaviour;
  state: 'waiting' | 'dispatched' | 'completed' | 'failed' | 'cancelled';
  dispatch: string | null;
  attempt: number;
  crashes: number;
}

interface Model {
  readonly runs: Map<string, ModelRun>;
  readonly dispatches: Dispatch[];
}

interface Real {
  readonly deps: ExecuteDeps;
  readonly pass: ReturnType<typeof createPass>;
}

const act = tinyRequest('act', {
  input: z.strictObject({ behaviour: z.enum(['well', 'once', 'never']) }),
  retry: { retries: 1, delayMs: 1 },
  async handle(ctx, runs) {
    await ctx.client.query('INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])', [
      runs.map((run) => run.runId),
    ]);
    return runs.map((run) => {
      const { behaviour } = run.input as { behaviour: Behaviour };
      if (behaviour === 'never') return { error: new PermanentError('never') };
      return behaviour === 'once' && run.attempt === 1 ? { error: new Error('once') } : { ok: null };
    });
  },
});

let engine: TestEngine;
let tenants: string[];
const stops: (() => unknown)[] = [];
const log = pino({ level: 'silent' });

beforeAll(async () => {
  engine = await testEngine({ jobs: [act], workers: 0 });
  await makeTinyTables(engine.store);
  tenants = await Promise.all(['a', 'b', 'c'].map((slug) => engine.store.addTenant('tiny', slug)));
  await engine.store.admin.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs, heartbeat_at) VALUES ('model', 'h', 1, 'v', '{"tiny": 2}', '{"tiny.act": 1}', now() + interval '1 day')`,
  );
});
afterAll(async () => {
  for (const stop of stops) await stop();
  await engine.close();
});

function real(): Real {
  const { app, ops } = engine.producer.pools;
  const deps: ExecuteDeps = {
    app,
    ops,
    databaseUrl: engine.store.databaseUrl,
    catalogue: engine.producer.catalogue,
    tenants: createTenants(ops),
    crypto: processCrypto(undefined, ops),
    worker: 'model',
    log,
    notified: () => undefined,
    announce: () => undefined,
    measured: () => undefined,
    failedTogether: () => undefined,
    wake: () => undefined,
    shutdown: new AbortController().signal,
  };
  return { deps, pass: createPass({ ops, kindOf: () => 'short', msPerRun: () => 1, mayShare: () => true }) };
}

type Command = fc.AsyncCommand<Model, Real>;
const always = () => true;
const at = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)];
const held = (model: Model, dispatch: Dispatch) =>
  dispatch.runs.flatMap((id) => {
    const run = model.runs.get(id);
    return run?.state === 'dispatched' && run.dispatch === dispatch.id ? [run] : [];
  });

function attempted(run: ModelRun): void {
  run.dispatch = null;
  if (run.behaviour === 'never') run.state = 'failed';
  else if (run.behaviour === 'once' && run.attempt === 1) Object.assign(run, { state: 'waiting', attempt: 2 });
  else run.state = 'completed';
}

const accept = (behaviour: Behaviour, index: number): Command => ({
  check: always,
  async run(model) {
    const tenant = at(tenants, index) ?? '';
    const { id } = await engine.producer.accept({ job: act.name, tenant, input: { behaviour } }, 'model');
    model.runs.set(id, { behaviour, state: 'waiting', dispatch: null, attempt: 1, crashes: 0 });
  },
  toString: () => `accept(${behaviour}, ${index})`,
});

function handedOut(model: Model, made: Pass | null): readonly Dispatch[] {
  const dispatches = made?.dispatches ?? [];
  for (const { id: dispatch, runs } of dispatches)
    for (const id of runs) {
      const run = model.runs.get(id);
      expect(run?.state, `run ${id} is dispatched`).toBe('waiting');
      if (run !== undefined) Object.assign(run, { state: 'dispatched', dispatch });
    }
  model.dispatches.push(...dispatches);
  return dispatches;
}

const dispatch: Command = {
  check: always,
  async run(model, { pass }) {
    handedOut(model, await pass('tiny'));
  },
  toString: () => 'dispatch',
};

/** Each dispatch is executed from before it is committed. */
const dispatchAndExecute: Command = {
  check: always,
  async run(model, { deps, pass }) {
    const executed: Promise<unknown>[] = [];
    const made = await pass('tiny', (dispatches) => {
      for (const chosen of dispatches) executed.push(executeShort(deps, chosen));
    });
    await Promise.all(executed);
    for (const chosen of handedOut(model, made)) for (const run of held(model, chosen)) attempted(run);
  },
  toString: () => 'dispatch and execute',
};

/** Also of a dispatch that was executed before, crashed, or was taken back: it must then do nothing. */
const execute = (index: number): Command => ({
  check: (model) => model.dispatches.length > 0,
  async run(model, { deps }) {
    const chosen = at(model.dispatches, index);
    if (chosen === undefined) return;
    await executeShort(deps, chosen);
    for (const run of held(model, chosen)) attempted(run);
  },
  toString: () => `execute(${index})`,
});

/** The worker dies between claim and commit: its transaction is gone, and BullMQ hands the dispatch out as stalled. */
const crash = (index: number): Command => ({
  check: (model) => model.dispatches.length > 0,
  async run(model, { deps }) {
    const chosen = at(model.dispatches, index);
    if (chosen === undefined) return;
    const dies = inTransaction(deps.app, chosen.tenantIds, async (client) => {
      const rows = await claimShort(client, chosen);
      await client.query('INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])', [rows.map((row) => row.id)]);
      throw new Error('killed');
    });
    await expect(dies).rejects.toThrow('killed');
    await recordCrashes(deps as never, { dispatchId: chosen.id });
    for (const run of held(model, chosen)) {
      run.crashes += 1;
      Object.assign(run, { state: run.crashes >= MAX_CRASHES ? 'failed' : 'waiting', dispatch: null });
    }
  },
  toString: () => `crash(${index})`,
});

const flush: Command = {
  check: always,
  async run(model, { deps }) {
    const redis = connectProducer(engine.store.redisUrl, log);
    await new Promise((resolve) => redis.once('ready', resolve));
    await redis.del(incarnationKey(engine.store.namespace));
    await emptiedRedis({ ...deps, redis, namespace: engine.store.namespace });
    redis.disconnect();
    for (const run of model.runs.values())
      if (run.state === 'dispatched') Object.assign(run, { state: 'waiting', dispatch: null });
  },
  toString: () => 'flush',
};

const cancel = (index: number): Command => ({
  check: (model) => model.runs.size > 0,
  async run(model) {
    const [id, run] = at([...model.runs], index) ?? [];
    if (id === undefined || run === undefined) return;
    const asked = engine.producer.cancel(id, 'model', null);
    if (run.state === 'waiting' || run.state === 'dispatched') {
      expect(await asked).toBe('cancelled');
      Object.assign(run, { state: 'cancelled', dispatch: null });
    } else await expect(asked).rejects.toBeInstanceOf(RunStateError);
  },
  toString: () => `cancel(${index})`,
});

const retry = (index: number): Command => ({
  check: (model) => model.runs.size > 0,
  async run(model) {
    const [id, run] = at([...model.runs], index) ?? [];
    if (id === undefined || run === undefined) return;
    const asked = engine.producer.retry(id, 'model', null);
    if (run.state === 'waiting' || run.state === 'dispatched')
      await expect(asked).rejects.toBeInstanceOf(RunStateError);
    else
      model.runs.set((await asked).id, {
        behaviour: run.behaviour,
        state: 'waiting',
        dispatch: null,
        attempt: 1,
        crashes: 0,
      });
  },
  toString: () => `retry(${index})`,
});

/** Every run is what the model says, ended once, with its effect once if it completed and none otherwise. */
const look: Command = {
  check: always,
  async run(model) {
    const ids = [...model.runs.keys()];
    const { rows } = await engine.store.admin.query<{
      id: string;
      status: string;
      ends: number;
      endings: number;
      effects: number;
      attempts: number;
      crashes: number;
    }>(
      `SELECT v.id, v.status, v.attempts, v.crashes, (SELECT count(*)::integer FROM ops.runs r WHERE r.id = v.id) AS ends,
         (SELECT count(*)::integer FROM ops.audit_log a WHERE a.run_id = v.id AND a.action = 'run.ended') AS endings,
         (SELECT count(*)::integer FROM tiny.effects e WHERE e.run_id = v.id) AS effects
       FROM ops.run_view v WHERE v.id = ANY ($1)`,
      [ids],
    );
    expect(rows.map((row) => row.id).sort()).toEqual(ids.sort());
    for (const row of rows) {
      const run = model.runs.get(row.id);
      const state = row.status === 'queued' || row.status === 'scheduled' ? 'waiting' : row.status;
      const ended = state === 'waiting' || state === 'dispatched' ? 0 : 1;
      const seen = {
        state,
        attempt: row.attempts,
        crashes: row.crashes,
        ends: row.ends,
        endings: row.endings,
        effects: row.effects,
      };
      expect(seen).toEqual({
        state: run?.state,
        attempt: run?.attempt,
        crashes: run?.crashes,
        ends: ended,
        endings: ended,
        effects: state === 'completed' ? 1 : 0,
      });
    }
  },
  toString: () => 'look',
};

test('whatever happens in whatever order, runs are what the model says they are', async () => {
  const { ops } = engine.producer.pools;
  const settings = createJobSettings(ops);
  const clock = createClock({
    ops,
    catalogue: engine.producer.catalogue,
    settings,
    log,
    wake: () => undefined,
    fireSchedules: false,
  });
  stops.push(() => clock.stop());
  const index = fc.nat({ max: 50 });
  const behaviour = fc.constantFrom<Behaviour>('well', 'once', 'never');
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(behaviour, index).map(([how, whose]) => accept(how, whose)) },
    { weight: 3, arbitrary: fc.constant(dispatch) },
    { weight: 2, arbitrary: fc.constant(dispatchAndExecute) },
    { weight: 4, arbitrary: index.map(execute) },
    { weight: 2, arbitrary: index.map(crash) },
    { weight: 1, arbitrary: fc.constant(flush) },
    { weight: 1, arbitrary: index.map(cancel) },
    { weight: 1, arbitrary: index.map(retry) },
    { weight: 2, arbitrary: fc.constant(look) },
  );
  const sequences = fc.array(command, { minLength: 10, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(sequences, async (commands) => {
      await engine.store.admin.query('DELETE FROM ops.open_runs');
      const model: Model = { runs: new Map(), dispatches: [] };
      const under = real();
      for (const next of [...commands, look]) if (next.check(model)) await next.run(model, under);
      await until('every run, left alone, ends', async () => {
        clock.wake();
        await dispatch.run(model, under);
        for (const made of model.dispatches) {
          if (held(model, made).length === 0) continue;
          await executeShort(under.deps, made);
          for (const run of held(model, made)) attempted(run);
        }
        return ![...model.runs.values()].some((run) => run.state === 'waiting' || run.state === 'dispatched');
      });
      await look.run(model, under);
    }),
    { numRuns: 100 },
  );
});
