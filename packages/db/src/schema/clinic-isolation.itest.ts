import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoClinicTenantId, seedDemo } from '../demo/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { inTransaction } from '../tenant.ts';

const WRITABLE = [
  'facilities', 'clients', 'regimens', 'enrollments', 'encounters', 'dispenses', 'lab_results', 'clinical_summaries', 'tasks',
]; // biome-ignore format: a list of names
const VIEWS = ['enrollments_by_month', 'status_counts', 'population_counts', 'task_summary', 'facility_metrics'];
const OURS = demoClinicTenantId(1, 'mukono-road');
const THEIRS = demoClinicTenantId(1, 'harbour-view');

let database: TestDatabase;

beforeAll(async () => {
  database = await cloneTestDatabase();
  await seedDemo({ adminUrl: database.adminUrl, gyms: 1, members: 1, days: 1, facilities: 2, clients: 20 });
  await database.admin.query(`
    INSERT INTO clinic.clinical_summaries (tenant_id, client_id, refreshed_at) SELECT tenant_id, id, now() FROM clinic.clients;
    INSERT INTO clinic.tasks (tenant_id, client_id, type, due_on) SELECT tenant_id, id, 'OTHER', '2026-01-01' FROM clinic.clients;
    UPDATE clinic.clients SET vl_interval_months = 18 - vl_interval_months`);
});
afterAll(() => database.drop());

const asTenants = (tenants: string[], sql: string) =>
  inTransaction(database.app, tenants, async (client) => (await client.query(sql)).rows);

describe.each([...WRITABLE, 'data_audit'])('clinic.%s', (table) => {
  test('has row-level security that binds its owner too', async () => {
    const { rows } = await database.admin.query(
      'SELECT relrowsecurity AS enabled, relforcerowsecurity AS forced FROM pg_class WHERE oid = $1::regclass',
      [`clinic.${table}`],
    );
    expect(rows).toEqual([{ enabled: true, forced: true }]);
  });

  test('shows a facility its own rows, nobody else’s, and none to whoever names no facility', async () => {
    expect(await asTenants([OURS], `SELECT DISTINCT tenant_id FROM clinic.${table}`)).toEqual([{ tenant_id: OURS }]);
    expect(await asTenants([], `SELECT FROM clinic.${table}`)).toEqual([]);
    expect(await asTenants([OURS, THEIRS], `SELECT DISTINCT tenant_id FROM clinic.${table}`)).toHaveLength(2);
  });
});

test.each(WRITABLE)('a facility moves nothing of clinic.%s to another', async (table) => {
  await expect(asTenants([OURS], `UPDATE clinic.${table} SET tenant_id = '${THEIRS}'`)).rejects.toThrow();
  const theirs = await asTenants([OURS], `DELETE FROM clinic.${table} WHERE tenant_id = '${THEIRS}' RETURNING 1`);
  expect(theirs).toEqual([]);
});

test('an encounter of another facility’s client is refused by the key itself', async () => {
  await expect(
    database.admin.query(
      `INSERT INTO clinic.encounters (tenant_id, client_id, occurred_at)
       SELECT $1, id, now() FROM clinic.clients WHERE tenant_id = $2 AND id NOT IN (SELECT id FROM clinic.clients WHERE tenant_id = $1) LIMIT 1`,
      [OURS, THEIRS],
    ),
  ).rejects.toThrow('encounters_client_fkey');
});

describe('the dashboard', () => {
  const refreshAs = (tenants: string[], view: string) =>
    asTenants(
      tenants,
      `SELECT clinic.refresh_dashboard_view('${view}', now()), current_setting('app.tenants') AS tenants`,
    );

  test.each(VIEWS)('%s, refreshed as one facility, holds both and shows each its own', async (view) => {
    expect(await refreshAs([OURS], `mv_${view}`)).toMatchObject([{ tenants: OURS }]);
    const { rows } = await database.admin.query(`SELECT DISTINCT tenant_id FROM clinic.mv_${view}`);
    expect(rows).toHaveLength(2);
    expect(await asTenants([OURS], `SELECT DISTINCT tenant_id FROM clinic.${view}`)).toEqual([{ tenant_id: OURS }]);
    expect(await asTenants([], `SELECT FROM clinic.${view}`)).toEqual([]);
  });

  test.each(VIEWS)('the view behind %s is nobody’s to read, and has a unique index', async (view) => {
    await expect(asTenants([OURS], `SELECT FROM clinic.mv_${view}`)).rejects.toThrow('permission denied');
    const { rows } = await database.admin.query(
      `SELECT r.rolname AS owner, (SELECT count(*)::int FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL) AS indexes
       FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.oid = $1::regclass`,
      [`clinic.mv_${view}`],
    );
    expect(rows).toEqual([{ owner: 'ns_rollup', indexes: 1 }]);
    const barrier = await database.admin.query('SELECT reloptions FROM pg_class WHERE oid = $1::regclass', [
      `clinic.${view}`,
    ]);
    expect(barrier.rows[0].reloptions).toContain('security_barrier=true');
  });

  test('a condition that tells what it sees is not asked about another facility’s rows', async () => {
    await asTenants([OURS], `SELECT clinic.refresh_dashboard_view('mv_status_counts', now())`);
    const leak = `SELECT * FROM clinic.status_counts WHERE 1 / (CASE WHEN tenant_id = '${THEIRS}' THEN 0 ELSE 1 END) > 0`;
    expect(await asTenants([OURS], leak)).not.toEqual([]);
  });

  test('only the five views can be refreshed', async () => {
    await expect(refreshAs([OURS], 'clients')).rejects.toThrow(`no view of the dashboard is called 'clients'`);
  });
});

test('audit rows cannot be written, changed or deleted by a serving role, nor changed by the superuser', async () => {
  for (const sql of ['DELETE FROM clinic.data_audit', `UPDATE clinic.data_audit SET actor = 'x'`])
    await expect(asTenants([OURS], sql)).rejects.toThrow('permission denied');
  await expect(
    asTenants(
      [OURS],
      `INSERT INTO clinic.data_audit (tenant_id, actor, table_name, row_id, operation) VALUES ('${OURS}', 'x', 'clients', gen_random_uuid(), 'DELETE')`,
    ),
  ).rejects.toThrow('permission denied');
  for (const sql of [
    'DELETE FROM clinic.data_audit',
    `UPDATE clinic.data_audit SET actor = 'x'`,
    'TRUNCATE clinic.data_audit',
  ])
    await expect(database.admin.query(sql)).rejects.toThrow('append-only');
});

test('names and phones take envelopes alone', async () => {
  await expect(asTenants([OURS], `UPDATE clinic.clients SET name_enc = 'Amina'`)).rejects.toThrow('check constraint');
});
