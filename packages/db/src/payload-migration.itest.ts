import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type OlderDatabase, olderDatabase } from './testing/older-database.ts';

const DAY_MS = 86_400_000;

let older: OlderDatabase;
let admin: OlderDatabase['admin'];

const tenant = randomUUID();
/** An id that a run accepted so many days ago can have. */
function idOf(daysAgo: number): string {
  const time = (Date.now() - daysAgo * DAY_MS).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
const answered = idOf(0);
const asked = idOf(8);
const bare = idOf(0);
/** Of a week that no partition was ever made for. */
const ancient = idOf(1_000);
const runs = [answered, asked, bare, ancient];

async function addRun(id: string): Promise<void> {
  await admin.query(
    `INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, actor, options)
     VALUES ($1, $2, 'litigation.analytics-snapshot', 1, 'q', 1, 'completed', 1, now(), now(), 'test', '{}')`,
    [id, tenant],
  );
}

const read = async <T extends object>(text: string, values: unknown[] = []): Promise<T[]> =>
  (await admin.query<T>(text, values)).rows;
const PAYLOADS = 'SELECT run_id, tenant_id, input, result FROM ops.run_payloads ORDER BY run_id';
const EXECUTIONS = 'SELECT * FROM litigation.audit_log ORDER BY id';
/** Everything of the rows but what the migration adds. */
const HISTORY = `SELECT to_jsonb(r) - 'payload_id' AS run FROM ops.runs r ORDER BY id`;
const WEEKS =
  'SELECT replace(inhrelid::regclass::text, $1, $2) AS name FROM pg_inherits WHERE inhparent = $3::regclass ORDER BY 1';

const before: Record<'payloads' | 'executions' | 'history' | 'weeks', object[]> = {
  payloads: [],
  executions: [],
  history: [],
  weeks: [],
};

beforeAll(async () => {
  older = await olderDatabase('0014_hot_rows', async (owner) => {
    await owner.query(`SELECT ops.ensure_partitions(now() - interval '70 days')`);
    await owner.query(`SELECT ops.ensure_partitions(now() - interval '28 days')`);
  });
  admin = older.admin;
  await admin.query(`INSERT INTO ops.tenants (id, system, slug, name) VALUES ($1, 'litigation', 'firm', 'Firm')`, [
    tenant,
  ]);
  for (const id of runs) await addRun(id);
  await admin.query(
    `INSERT INTO ops.run_payloads (run_id, tenant_id, input, result)
     VALUES ($1, $4, '{"n": 1}', '{"casesSeen": 3}'), ($2, $4, '{"n": 2}', NULL), ($3, $4, '{}', 'null')`,
    [answered, asked, ancient, tenant],
  );
  before.payloads = await read(PAYLOADS);
  before.executions = await read(EXECUTIONS);
  before.history = await read(HISTORY);
  before.weeks = await read(WEEKS, ['run_payloads', 'payloads', 'ops.run_payloads']);
  await older.upgrade();
});

afterAll(() => older.drop());

it('carries every payload over, and readers see what they saw', async () => {
  expect(before.payloads).toHaveLength(3);
  expect(await read(PAYLOADS)).toEqual(before.payloads);
  expect(await read(EXECUTIONS)).toEqual(before.executions);
  expect(await read('SELECT id, payload_id FROM ops.runs ORDER BY id')).toEqual(
    [...runs].sort().map((id) => ({ id, payload_id: id === bare ? null : id })),
  );
  expect(
    await read('SELECT id, results IS NULL AS unanswered FROM ops.payloads WHERE id = ANY ($1) ORDER BY id', [
      [answered, asked],
    ]),
  ).toEqual([
    { id: asked, unanswered: true },
    { id: answered, unanswered: false },
  ]);
});

it('has the weeks that were there, and no others: a week that was dropped stays told as dropped', async () => {
  expect(await read(WEEKS, ['', '', 'ops.payloads'])).toEqual(before.weeks);
  expect(await read(`SELECT relname FROM pg_class WHERE relname LIKE 'run\\_payloads%' AND relkind <> 'v'`)).toEqual(
    [],
  );
});

it('leaves history as it was, its guards on', async () => {
  expect(await read(HISTORY)).toEqual(before.history);
  for (const text of [`UPDATE ops.runs SET payload_id = NULL`, 'DELETE FROM ops.runs'])
    await expect(admin.query(text)).rejects.toThrow('append-only');
  // A partition's own copy of the trigger as well.
  expect(await read(`SELECT 1 FROM pg_trigger WHERE tgname = 'runs_no_change' AND tgenabled <> 'O'`)).toEqual([]);
  expect(
    await read(
      `SELECT relname FROM pg_class WHERE oid IN ('ops.runs'::regclass, 'ops.payloads'::regclass) AND relrowsecurity AND relforcerowsecurity ORDER BY 1`,
    ),
  ).toEqual([{ relname: 'payloads' }, { relname: 'runs' }]);
});

it('makes and drops the weeks of payloads by their own retention; none of them compresses', async () => {
  await admin.query(`SELECT ops.ensure_partitions(now() + interval '70 days')`);
  const arrays = `attrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ops.payloads'::regclass) AND attname IN ('runs', 'inputs', 'results')`;
  expect(await read(`SELECT DISTINCT attstorage FROM pg_attribute WHERE ${arrays}`)).toEqual([{ attstorage: 'e' }]);
  const old = await read<{ name: string }>(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'ops.payloads'::regclass
       AND inhrelid::regclass::text < 'ops.payloads_' || to_char(now() - interval '40 days', 'IYYY"w"IW')`,
  );
  expect(old.length).toBeGreaterThan(0);
  await admin.query('SELECT ops.drop_expired_partitions(30, 400)');
  for (const { name } of old) {
    const week = name.slice('ops.payloads_'.length);
    expect(
      await read('SELECT to_regclass($1) AS payloads, to_regclass($2)::text AS runs', [name, `ops.runs_${week}`]),
    ).toEqual([{ payloads: null, runs: `ops.runs_${week}` }]);
  }
  expect(await read(PAYLOADS)).toEqual(before.payloads);
});
