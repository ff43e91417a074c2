import { createPool, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { RequestContext } from '../define-job.ts';
import { PermanentError } from '../errors.ts';
import { findRun } from '../query/index.ts';
import { executeDeps } from '../testing/execute-deps.ts';
import { dispatchByHand, type TestEngine, testEngine, until } from '../testing/index.ts';
import { createGate, makeTinyTables, tinyRequest } from '../testing/tiny.ts';
import type { Dispatch, ExecuteDeps } from './execution.ts';
import { executeShort } from './short.ts';

// One dispatch with bundles of three tenants.

const input = z.strictObject({ how: z.enum(['well', 'throws', 'fails', 'later', 'snoozes']).default('well') });
type Runs = readonly { runId: string; input: z.output<typeof input> }[];

let atGate: (() => Promise<void>) | null = null;

async function leave(ctx: RequestContext, runs: Runs): Promise<void> {
  await ctx.client.query(
    `INSERT INTO tiny.seen (run_id, tenant, tx, rows) SELECT id, $2, pg_current_xact_id()::text, (SELECT array_agg(DISTINCT owner) FROM tiny.owned)
     FROM unnest($1::uuid[]) AS id`,
    [runs.map((run) => run.runId), ctx.tenant.slug],
  );
}

const job = tinyRequest('shared', {
  input,
  retry: { retries: 0 },
  async handle(ctx, runs: Runs) {
    await leave(ctx, runs);
    await atGate?.();
    if (runs.some((run) => run.input.how === 'throws')) throw new PermanentError('one of them cannot be done');
    if (runs.some((run) => run.input.how === 'later'))
      await ctx.client.query(`INSERT INTO tiny.later (note) VALUES ('no such run')`);
    return runs.map((run) => {
      if (run.input.how === 'fails') return { error: new PermanentError('it cannot be done') };
      return run.input.how === 'snoozes' ? { snooze: 60_000 } : { ok: { done: run.runId } };
    });
  },
});
/** Asks Postgres nothing. */
const quiet = tinyRequest('quiet', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const waits = tinyRequest('waits', {
  before: async () => undefined,
  handle: async (_ctx, runs) => runs.map(() => ({ ok: null })),
});
const personal = tinyRequest('personal', {
  personalResult: true,
  handle: async (_ctx, runs) => runs.map((run) => ({ ok: { of: run.runId } })),
});

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let deps: ExecuteDeps;
let shutdown: AbortController;
let apart: string[];
let told: string[];
let warned: string[];
const tenants: Record<string, string> = {};

beforeAll(async () => {
  engine = await testEngine({ jobs: [job, quiet, waits, personal], workers: 0 });
  await makeTinyTables(engine.store);
  for (const slug of ['a', 'b', 'c']) tenants[slug] = await engine.store.addTenant('tiny', slug);
  await engine.store.admin.query(
    `
    CREATE TABLE tiny.owned (tenant_id uuid NOT NULL, owner text NOT NULL);
    ALTER TABLE tiny.owned ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tiny.owned FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON tiny.owned TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]));
    CREATE TABLE tiny.seen (run_id uuid NOT NULL, tenant text NOT NULL, tx text NOT NULL, rows text[]);
    CREATE TABLE tiny.later (note text REFERENCES tiny.notes (note) DEFERRABLE INITIALLY DEFERRED);
    GRANT ALL ON ALL TABLES IN SCHEMA tiny TO ns_app;`.replace(
      'CREATE TABLE tiny.later',
      'CREATE TABLE tiny.notes (note text PRIMARY KEY); CREATE TABLE tiny.later',
    ),
  );
  await engine.store.admin.query(
    'INSERT INTO tiny.owned (tenant_id, owner) SELECT * FROM unnest($1::uuid[], $2::text[])',
    [Object.values(tenants), Object.keys(tenants)],
  );
  app = createPool({ url: engine.store.databaseUrl, role: 'ns_app', max: 10, name: 'test-app' });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 10, name: 'test-ops' });
});
beforeEach(() => {
  atGate = null;
  [apart, told, warned] = [[], [], []];
  shutdown = new AbortController();
  deps = {
    ...executeDeps(engine, { app, ops }, [job, quiet, waits, personal]),
    log: pino({ level: 'warn' }, { write: (line) => void warned.push(JSON.parse(line).msg) }),
    announce: (ended) => told.push(...ended.map(([id, status]) => `${id} ${status}`)),
    failedTogether: (name) => apart.push(name),
    shutdown: shutdown.signal,
  };
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

type How = z.output<typeof input>['how'];

/** Runs of the tenants by their slugs, in one dispatch. */
async function dispatched(
  runs: Readonly<Record<string, readonly How[]>>,
  name = job.name,
): Promise<Dispatch & { of: Record<string, string[]> }> {
  const of: Record<string, string[]> = {};
  for (const [tenant, hows] of Object.entries(runs)) {
    const given = hows.map((how) => ({ job: name, tenant, input: name === job.name ? { how } : {} }));
    of[tenant] = (await engine.producer.acceptMany(given, 'test')).map(({ id }) => id);
  }
  const ids = Object.values(of).flat();
  const id = await dispatchByHand(engine.store.admin, ids);
  return {
    id,
    queue: job.queue,
    of,
    runs: ids,
    job: name,
    tenantIds: Object.keys(of).map((slug) => tenants[slug] ?? ''),
    timeoutMs: 30_000,
  };
}

const find = (id: string) => findRun(engine.producer.pools, id, null);
const statuses = async (ids: readonly string[] = []) => Promise.all(ids.map(async (id) => (await find(id)).status));

async function seen(ids: readonly string[]): Promise<{ run_id: string; tenant: string; tx: string; rows: string[] }[]> {
  const { rows } = await engine.store.admin.query('SELECT * FROM tiny.seen WHERE run_id = ANY ($1)', [ids]);
  return rows;
}

async function dispatchesLeft(id: string): Promise<number> {
  return (await engine.store.admin.query('SELECT FROM ops.dispatches WHERE id = $1', [id])).rowCount ?? 0;
}

describe('bundles of several tenants', () => {
  it('are executed in one transaction, in which each handler sees its own tenant alone', async () => {
    const dispatch = await dispatched({ a: ['well', 'well'], b: ['well'], c: ['well'] });
    await executeShort(deps, dispatch);
    const left = await seen(dispatch.runs);
    expect(left.map(({ tenant, rows }) => `${tenant} ${rows}`).sort()).toEqual(['a a', 'a a', 'b b', 'c c']);
    expect(new Set(left.map(({ tx }) => tx)).size).toBe(1);
    expect(apart).toEqual([]);
    expect(told.sort()).toEqual(dispatch.runs.map((id) => `${id} completed`).sort());
    expect(await dispatchesLeft(dispatch.id)).toBe(0);
    const { rows } = await engine.store.admin.query(
      `SELECT r.bundle_size, r.worker, p.result ->> 'done' = r.id::text AS own, (SELECT count(*)::integer FROM ops.audit_log l
         WHERE l.run_id = r.id AND l.tenant_id = r.tenant_id AND l.action = 'run.ended') AS ended
       FROM ops.runs r JOIN ops.run_payloads p ON p.run_id = r.id WHERE r.id = ANY ($1) ORDER BY bundle_size DESC`,
      [dispatch.runs],
    );
    const row = (size: number) => ({ bundle_size: size, worker: 'test', own: true, ended: 1 });
    expect(rows).toEqual([row(2), row(2), row(1), row(1)]);
  });

  it('of a job that asks Postgres nothing, or whose answers are personal, end together as well', async () => {
    for (const name of [quiet.name, personal.name]) {
      const dispatch = await dispatched({ a: ['well'], b: ['well', 'well'] }, name);
      await executeShort(deps, dispatch);
      expect(await statuses(dispatch.runs)).toEqual(['completed', 'completed', 'completed']);
      expect(apart).toEqual([]);
    }
    const { rows } = await engine.store.admin.query(
      `SELECT count(*)::integer AS n FROM ops.runs r JOIN ops.run_payloads p ON p.run_id = r.id WHERE job = $1 AND result::text LIKE '%$personal%'`,
      [personal.name],
    );
    expect(rows).toEqual([{ n: 3 }]);
  });

  it.each([
    ['throws', 'failed'],
    ['fails', 'failed'],
    ['later', 'failed'],
    ['snoozes', 'scheduled'],
  ] as const)('are executed one by one where a run %s, and it alone does not complete', async (how, status) => {
    const dispatch = await dispatched({ a: ['well'], b: ['well', how], c: ['well', 'well'] });
    await executeShort(deps, dispatch);
    expect(await statuses(dispatch.of.a)).toEqual(['completed']);
    expect((await statuses(dispatch.of.b)).at(-1)).toBe(status);
    expect(await statuses(dispatch.of.c)).toEqual(['completed', 'completed']);
    const completed = dispatch.runs.filter((id) => id !== dispatch.of.b?.at(-1));
    const left = await seen(dispatch.runs);
    expect(left.map(({ run_id }) => run_id).sort()).toEqual(completed.sort());
    expect(new Set(left.map(({ tx }) => tx)).size).toBeGreaterThan(1);
    expect(left.every(({ tenant, rows }) => String(rows) === tenant)).toBe(true);
    expect(apart).toEqual([job.name]);
    expect(await dispatchesLeft(dispatch.id)).toBe(0);
    // What was not the handler's doing is told, though each bundle then fares well by itself.
    expect(warned.filter((line) => line.endsWith('one by one'))).toHaveLength(how === 'later' ? 1 : 0);
  });

  it('are executed one by one where some of the runs were given back or are of a newer version', async () => {
    const back = await dispatched({ a: ['well', 'well'], b: ['well'] });
    await engine.store.admin.query(`UPDATE ops.dispatches SET runs = array_remove(runs, $2) WHERE id = $1`, [
      back.id,
      back.of.a?.[0],
    ]);
    await executeShort(deps, back);
    expect(await statuses([...(back.of.a ?? []), ...(back.of.b ?? [])])).toEqual(['queued', 'completed', 'completed']);
    const newer = await dispatched({ a: ['well'], b: ['well'] });
    await engine.store.admin.query('UPDATE ops.open_runs SET input_version = 2 WHERE id = $1', [newer.of.b?.[0]]);
    await executeShort(deps, newer);
    expect(await statuses(newer.runs)).toEqual(['completed', 'queued']);
  });

  it('of a job that waits before its claim are executed one by one', async () => {
    const dispatch = await dispatched({ a: ['well'], b: ['well'] }, waits.name);
    await executeShort(deps, dispatch);
    expect(await statuses(dispatch.runs)).toEqual(['completed', 'completed']);
    expect(apart).toEqual([]);
  });

  it('are done by one of two workers that hold their dispatch', async () => {
    const dispatch = await dispatched({ a: ['well'], b: ['well', 'well'] });
    await Promise.all([executeShort(deps, dispatch), executeShort(deps, dispatch)]);
    expect(await statuses(dispatch.runs)).toEqual(['completed', 'completed', 'completed']);
    expect(await seen(dispatch.runs)).toHaveLength(3);
  });

  it('leave nothing behind when their connection is lost, and are then done once', async () => {
    const gate = createGate();
    const dispatch = await dispatched({ a: ['well'], b: ['well'] });
    atGate = () => gate.pass();
    const executed = executeShort(deps, dispatch);
    await gate.reached;
    await engine.store.admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'test-app' AND state LIKE 'idle in%'`,
    );
    atGate = null;
    gate.open();
    await executed;
    expect(await statuses(dispatch.runs)).toEqual(['completed', 'completed']);
    expect((await seen(dispatch.runs)).map(({ run_id }) => run_id).sort()).toEqual([...dispatch.runs].sort());
  });

  it('have a cancel of one of their runs wait until they have ended', async () => {
    const gate = createGate();
    const dispatch = await dispatched({ a: ['well'], b: ['well'] });
    atGate = () => gate.pass();
    const executed = executeShort(deps, dispatch);
    await gate.reached;
    const cancelled = engine.producer.cancel(dispatch.of.b?.[0] ?? '', 'ada', null).catch((error: Error) => error.name);
    await until('the cancel waits', async () => {
      const { rows } = await engine.store.admin.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows.length > 0;
    });
    atGate = null;
    gate.open();
    await executed;
    expect(await cancelled).toBe('RunStateError');
    expect(await statuses(dispatch.runs)).toEqual(['completed', 'completed']);
  });

  it('go back when the worker stops before they are done', async () => {
    const dispatch = await dispatched({ a: ['well'], b: ['well'] });
    atGate = async () => {
      shutdown.abort();
      throw new Error('stopped');
    };
    await executeShort(deps, dispatch);
    expect(await statuses(dispatch.runs)).toEqual(['queued', 'queued']);
    expect(await seen(dispatch.runs)).toEqual([]);
  });
});
