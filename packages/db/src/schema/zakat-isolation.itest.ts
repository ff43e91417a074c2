import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoZakatTenantId, seedDemo } from '../demo/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { inTransaction } from '../tenant.ts';

const TABLES = ['users', 'snapshots', 'payments', 'analytics_metrics', 'reminder_events', 'annual_summaries'];
const OURS = demoZakatTenantId(1, 'user-00001');
const THEIRS = demoZakatTenantId(1, 'user-00002');

let database: TestDatabase;

beforeAll(async () => {
  database = await cloneTestDatabase();
  const encryptionKeys = `k1:${Buffer.from('a key of tests, of no other use!').toString('base64')}`;
  await seedDemo({ adminUrl: database.adminUrl, gyms: 1, members: 1, days: 1, zakatUsers: 2, encryptionKeys });
  await database.admin.query(
    `INSERT INTO zakat.payments (tenant_id, snapshot_id, reference, paid_on, amount_enc)
       SELECT tenant_id, id, 'test', '2026-01-01', nisab_enc FROM zakat.snapshots WHERE reference = 'S-1';
     INSERT INTO zakat.reminder_events (tenant_id, snapshot_id, anniversary_on, reminded_on, priority, title, message, metadata)
       SELECT tenant_id, id, '2026-01-01', '2026-01-01', 'low', 't', 'm', '{}' FROM zakat.snapshots WHERE reference = 'S-1';
     INSERT INTO zakat.annual_summaries (tenant_id, snapshot_id, hijri_year, currency, zakat_due_enc, paid_enc, payments, snapshot_revision)
       SELECT tenant_id, id, 1447, currency, nisab_enc, nisab_enc, 0, 1 FROM zakat.snapshots WHERE reference = 'S-1'`,
  );
});
afterAll(() => database.drop());

const asTenants = (tenants: string[], sql: string, pool: Pool = database.app) =>
  inTransaction(pool, tenants, async (client) => (await client.query(sql)).rows);

describe.each(TABLES)('zakat.%s', (table) => {
  test('has row-level security that binds its owner too', async () => {
    const { rows } = await database.admin.query(
      'SELECT relrowsecurity AS enabled, relforcerowsecurity AS forced FROM pg_class WHERE oid = $1::regclass',
      [`zakat.${table}`],
    );
    expect(rows).toEqual([{ enabled: true, forced: true }]);
  });

  test('shows a tenant its own rows, nobody else’s, and none to whoever names no tenant', async () => {
    expect(await asTenants([OURS], `SELECT DISTINCT tenant_id FROM zakat.${table}`)).toEqual([{ tenant_id: OURS }]);
    expect(await asTenants([], `SELECT FROM zakat.${table}`)).toEqual([]);
    expect(await asTenants([OURS, THEIRS], `SELECT DISTINCT tenant_id FROM zakat.${table}`)).toHaveLength(2);
  });

  test('lets a tenant write, move and delete nothing of another', async () => {
    const count = async () =>
      (await database.admin.query(`SELECT count(*)::int AS n FROM zakat.${table} WHERE tenant_id = $1`, [THEIRS])).rows;
    const before = await count();
    await asTenants([OURS], `DELETE FROM zakat.${table} WHERE tenant_id = '${THEIRS}'`);
    await expect(asTenants([OURS], `UPDATE zakat.${table} SET tenant_id = '${THEIRS}'`)).rejects.toThrow(
      'row-level security',
    );
    await expect(
      asTenants(
        [OURS],
        `INSERT INTO zakat.${table} SELECT (jsonb_populate_record(r, '{"tenant_id": "${THEIRS}"}')).* FROM zakat.${table} AS r LIMIT 1`,
      ),
    ).rejects.toThrow('row-level security');
    expect(await count()).toEqual(before);
  });
});

test('a payment for another user’s snapshot is refused by the key itself', async () => {
  await expect(
    database.admin.query(
      `INSERT INTO zakat.payments (tenant_id, snapshot_id, reference, paid_on, amount_enc)
       SELECT $1, id, 'theirs', '2026-01-01', nisab_enc FROM zakat.snapshots WHERE tenant_id = $2 AND id NOT IN (SELECT id FROM zakat.snapshots WHERE tenant_id = $1) LIMIT 1`,
      [OURS, THEIRS],
    ),
  ).rejects.toThrow('payments_snapshot_fkey');
});

test('nothing but an envelope fits an encrypted column', async () => {
  const { rows } = await database.admin.query<{ name: string; column: string }>(
    `SELECT c.relname AS name, a.attname AS column FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'zakat'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname LIKE '%\\_enc'`,
  );
  expect(rows).toHaveLength(7);
  for (const { name, column } of rows) {
    await expect(
      database.admin.query(`UPDATE zakat.${name} SET ${column} = '25000'`),
      `${name}.${column}`,
    ).rejects.toMatchObject({ code: '23514' });
  }
});
