import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { type DefinedJob, defineJob } from '../define-job.ts';
import { newId } from '../id.ts';
import { type TestEngine, testEngine } from '../testing/index.ts';
import {
  findRun,
  findRuns,
  jobStatistics,
  listAlerts,
  listAttempts,
  listAudit,
  listFailures,
  listRunAudit,
  listRuns,
  listTenants,
  liveWorkers,
  queueDepths,
} from './index.ts';

const echo = defineJob({
  kind: 'request',
  name: 'tiny.echo',
  title: 'Echo',
  description: 'Answers with its input.',
  scope: 'tenant',
  priority: 'HIGH',
  typicalMs: 1_000,
  maxMs: 1_000,
  input: z.strictObject({ text: z.string() }),
  handle: async (_ctx, runs) => runs.map((run) => ({ ok: run.input })),
}) as unknown as DefinedJob;

let engine: TestEngine;
let mine: string;
let theirs: string;
const ids: { mine: string[]; theirs: string[] } = { mine: [], theirs: [] };
beforeAll(async () => {
  engine = await testEngine({ jobs: [echo], workers: 1 });
  mine = await engine.store.addTenant('tiny', 'mine');
  theirs = await engine.store.addTenant('tiny', 'theirs');
  for (const tenant of ['mine', 'theirs'] as const) {
    for (const dueAt of [undefined, new Date(Date.now() + 3_600_000)]) {
      const accepted = await engine.producer.accept(
        { job: 'tiny.echo', tenant, input: { text: tenant }, dueAt },
        'ada',
      );
      ids[tenant].push(accepted.id);
    }
  }
  await engine.producer.waitFor([ids.mine[0] ?? '', ids.theirs[0] ?? ''], { timeoutMs: 20_000 });
});
afterAll(() => engine.close());

test('the audit rows of a run whose record was dropped are found all the same', async () => {
  const gone = newId();
  await engine.store.admin.query(
    `INSERT INTO ops.audit_log (tenant_id, actor, action, run_id) VALUES ($1, 'ada', 'run.accepted', $2), ($1, 'worker:w', 'run.ended', $2), ($1, 'ada', 'run.snoozed', $2)`,
    [mine, gone],
  );
  const { items } = await listAudit(engine.producer.pools, { tenantId: mine, runId: gone, limit: 10 });
  expect(items.map((event) => event.action).sort()).toEqual(['run.accepted', 'run.ended', 'run.snoozed']);
  expect((await listAudit(engine.producer.pools, { tenantId: theirs, runId: gone, limit: 10 })).items).toEqual([]);
});

test('the two audit rows that every run has are found by its times, page by page', async () => {
  const [id = ''] = ids.mine;
  const { pools } = engine.producer;
  const first = await listRunAudit(pools, id, mine, { limit: 1 });
  expect(first.items.map((event) => event.action)).toEqual(['run.accepted']);
  const second = await listRunAudit(pools, id, mine, { limit: 1, cursor: first.nextCursor ?? '' });
  expect(second.items.map((event) => event.action)).toEqual(['run.ended']);
  expect(second.nextCursor).toBeNull();
  const { rows } = await engine.store.admin.query(
    `SELECT count(*)::integer AS n FROM ops.audit_log a JOIN ops.run_view v ON v.id = a.run_id
     WHERE v.id = $1 AND a.at = CASE a.action WHEN 'run.accepted' THEN v.accepted_at ELSE v.ended_at END`,
    [id],
  );
  expect(rows[0].n).toBe(2);
});

test('the database itself keeps one tenant from another’s runs, open and ended, whatever is asked', async () => {
  const { pools } = engine.producer;
  const all = [...ids.mine, ...ids.theirs];
  expect((await findRuns(pools, all, mine)).map((run) => run.id).sort()).toEqual(ids.mine.toSorted());
  expect((await findRuns(pools, all, null)).map((run) => run.id).sort()).toEqual(all.toSorted());
  const listed = await listRuns(pools, { tenantId: mine, limit: 100 });
  expect(listed.items.map((run) => run.id)).toEqual(ids.mine.toReversed());
  expect((await listRuns(pools, { tenantId: mine, ofTenant: theirs, limit: 100 })).items).toEqual([]);
  const audit = await listAudit(pools, { tenantId: mine, limit: 200 });
  expect(new Set(audit.items.map((event) => event.tenantId))).toEqual(new Set([mine]));
  expect((await listTenants(pools, { tenantId: mine, limit: 10 })).items.map((tenant) => tenant.slug)).toEqual([
    'mine',
  ]);
  expect((await listAlerts(pools, { tenantId: mine, limit: 10 })).items).toEqual([]);
});

test('another tenant’s run is as unknown as one that never was', async () => {
  const { pools } = engine.producer;
  const id = ids.theirs[0] ?? '';
  const page = { limit: 10 };
  const asked = [
    findRun(pools, id, mine),
    listAttempts(pools, id, mine),
    listFailures(pools, id, mine, page),
    listRunAudit(pools, id, mine, page),
    findRun(pools, 'x', null),
  ];
  for (const answer of await Promise.allSettled(asked)) {
    expect(answer).toMatchObject({ status: 'rejected', reason: { name: 'UnknownRunError' } });
  }
});

test('the last attempt of an ended run is told by the run', async () => {
  expect(await listAttempts(engine.producer.pools, ids.mine[0] ?? '', mine)).toMatchObject([
    { attempt: 1, outcome: 'completed' },
  ]);
  expect(await listAttempts(engine.producer.pools, ids.mine[1] ?? '', mine)).toEqual([]);
});

test('the platform counts what waits and what ended', async () => {
  const { pools } = engine.producer;
  expect(await queueDepths(pools)).toEqual([
    {
      queue: 'tiny',
      priority: 'HIGH',
      waiting: 0,
      oldestWaitingSeconds: 0,
      scheduled: 2,
      blocked: 0,
      dispatched: 0,
      running: 0,
    },
  ]);
  expect(await jobStatistics(pools, 60)).toMatchObject([
    { job: 'tiny.echo', outcome: 'completed', runs: 2, retries: 0, itemsFailed: 0 },
  ]);
  expect(await liveWorkers(pools)).toHaveLength(1);
});

test('the few that failed are found by their index, however many completed', async () => {
  const { admin } = engine.store;
  await admin.query(
    `INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, actor, options)
     SELECT gen_random_uuid(), $1, 'tiny.echo', 1, 'tiny', 2, 'completed', 1, now(), now(), 'test', '{}' FROM generate_series(1, 5000)`,
    [theirs],
  );
  await admin.query('ANALYZE ops.runs');
  const plans: string[] = [];
  const { app, ops } = engine.producer.pools;
  // As the pool plans it: EXPLAIN of the statement itself would plan with its values.
  const client = await ops.connect();
  const explaining = {
    app,
    ops: {
      query: async (text: string, values: string[]) => {
        const given = values.length === 0 ? '' : `(${values.map((value) => `'${value}'`).join()})`;
        await client.query(`PREPARE listed AS ${text}`);
        const { rows } = await client.query(`EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE listed${given}`);
        plans.push(JSON.stringify(rows));
        return { rows: [] };
      },
    } as unknown as typeof ops,
  };
  await listRuns(explaining, { tenantId: null, status: 'failed', limit: 50 });
  client.release();
  const read = [...plans.join().matchAll(/"Rows Removed by Filter":(\d+)/g)].map(([, rows]) => Number(rows));
  expect(plans).toHaveLength(1);
  expect(Math.max(0, ...read)).toBeLessThan(100);
});
