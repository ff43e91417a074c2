import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type OlderDatabase, olderDatabase } from './testing/older-database.ts';

const tenant = randomUUID();
const [dispatch, alone, claimed] = [randomUUID(), randomUUID(), randomUUID()];
const runs = [randomUUID(), randomUUID()].sort();
const [other, long] = [randomUUID(), randomUUID()];
let older: OlderDatabase;

beforeAll(async () => {
  older = await olderDatabase('0013_backups');
  await older.admin.query(
    `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, dispatch_id, actor, options, input)
     SELECT id, $2, 'tiny.x', 1, 'tiny', 1, CASE WHEN dispatch IS NULL THEN 'queued' WHEN id = $4 THEN 'running' ELSE 'dispatched' END, dispatch, 'test', '{}', '{}'
     FROM unnest($1::uuid[], $3::uuid[]) AS r(id, dispatch)`,
    [[...runs, other, long, randomUUID()], tenant, [dispatch, dispatch, alone, claimed, null], long],
  );
  await older.upgrade();
});
afterAll(() => older.drop());

it('gives what Redis holds its dispatches, with whose runs they took', async () => {
  const { rows } = await older.admin.query('SELECT * FROM ops.dispatches ORDER BY cardinality(runs), running');
  const of = (id: string, taken: string[], running = false) => ({
    ...{ id, queue: 'tiny', job: 'tiny.x', priority: 1, runs: taken, tenant_ids: [tenant], running },
    dispatched_at: expect.any(Date),
  });
  expect(rows).toEqual([of(alone, [other]), of(claimed, [long], true), of(dispatch, runs)]);
});

it('leaves the tables guarded as they were', async () => {
  const { rows } = await older.admin.query(
    `SELECT relname FROM pg_class WHERE oid IN ('ops.open_runs'::regclass, 'ops.dispatches'::regclass) AND relrowsecurity AND relforcerowsecurity ORDER BY 1`,
  );
  expect(rows).toEqual([{ relname: 'dispatches' }, { relname: 'open_runs' }]);
});

it('leaves every run that was not claimed queued, and to be seen as dispatched where a dispatch names it', async () => {
  const { rows } = await older.admin.query(
    'SELECT status, count(*)::integer AS n FROM ops.run_view GROUP BY status ORDER BY status',
  );
  expect(rows).toEqual([
    { status: 'dispatched', n: 3 },
    { status: 'queued', n: 1 },
    { status: 'running', n: 1 },
  ]);
  expect((await older.admin.query(`SELECT id FROM ops.open_runs WHERE state <> 'queued'`)).rows).toEqual([
    { id: long },
  ]);
});

it('mends a database that has run the first form of 0017', async () => {
  const earlier = await olderDatabase('0017_unmarked_runs', (owner) =>
    owner.query('ALTER TABLE ops.dispatches DROP COLUMN running'),
  );
  try {
    await earlier.admin.query(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input)
       SELECT id, $2, 'tiny.x', 1, 'tiny', 1, CASE WHEN id = $3 THEN 'running' ELSE 'queued' END, 'test', '{}', '{}' FROM unnest($1::uuid[]) AS r(id)`,
      [[other, long], tenant, long],
    );
    await earlier.admin.query(
      `INSERT INTO ops.dispatches (id, queue, job, priority, tenant_ids, runs) VALUES ($1, 'tiny', 'tiny.x', 1, $5, $3), ($2, 'tiny', 'tiny.x', 1, $5, $4)`,
      [alone, claimed, [other], [long], [tenant]],
    );
    await earlier.upgrade();
    const { rows } = await earlier.admin.query('SELECT id, running FROM ops.dispatches ORDER BY running');
    expect(rows).toEqual([
      { id: alone, running: false },
      { id: claimed, running: true },
    ]);
  } finally {
    await earlier.drop();
  }
});
