import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoGymTenantId, seedDemo } from '../demo/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { inTransaction } from '../tenant.ts';

const TABLES = ['gyms', 'members', 'visits', 'coaches', 'coach_members', 'coach_actions'];
const OURS = demoGymTenantId(1, 'iron-works');
const THEIRS = demoGymTenantId(1, 'harbour-fit');

let database: TestDatabase;

beforeAll(async () => {
  database = await cloneTestDatabase();
  await seedDemo({ adminUrl: database.adminUrl, gyms: 2, members: 20, days: 30 });
  await database.admin.query(
    `INSERT INTO gym.coach_actions (tenant_id, coach_id, member_id, action_date, kind, churn_risk, risk_level)
     SELECT tenant_id, coach_id, member_id, '2026-01-01', 'call', 80, 'CRITICAL' FROM gym.coach_members`,
  );
});
afterAll(() => database.drop());

const asTenants = (tenants: string[], sql: string, pool: Pool = database.app) =>
  inTransaction(pool, tenants, async (client) => (await client.query(sql)).rows);

describe.each(TABLES)('gym.%s', (table) => {
  test('has row-level security that binds its owner too', async () => {
    const { rows } = await database.admin.query(
      'SELECT relrowsecurity AS enabled, relforcerowsecurity AS forced FROM pg_class WHERE oid = $1::regclass',
      [`gym.${table}`],
    );
    expect(rows).toEqual([{ enabled: true, forced: true }]);
  });

  test('shows a tenant its own rows, nobody else’s, and none to whoever names no tenant', async () => {
    expect(await asTenants([OURS], `SELECT DISTINCT tenant_id FROM gym.${table}`)).toEqual([{ tenant_id: OURS }]);
    expect(await asTenants([], `SELECT FROM gym.${table}`)).toEqual([]);
    expect(await asTenants([OURS, THEIRS], `SELECT DISTINCT tenant_id FROM gym.${table}`)).toHaveLength(2);
  });

  test('lets a tenant write, move and delete nothing of another', async () => {
    const count = async () =>
      (await database.admin.query(`SELECT count(*)::int AS n FROM gym.${table} WHERE tenant_id = $1`, [THEIRS])).rows;
    const before = await count();
    await asTenants([OURS], `DELETE FROM gym.${table} WHERE tenant_id = '${THEIRS}'`);
    await expect(asTenants([OURS], `UPDATE gym.${table} SET tenant_id = '${THEIRS}'`)).rejects.toThrow(
      'row-level security',
    );
    await expect(
      asTenants(
        [OURS],
        `INSERT INTO gym.${table} SELECT (jsonb_populate_record(r, '{"tenant_id": "${THEIRS}"}')).* FROM gym.${table} AS r LIMIT 1`,
      ),
    ).rejects.toThrow('row-level security');
    expect(await count()).toEqual(before);
  });
});

test('a visit of another gym’s member is refused by the key itself', async () => {
  await expect(
    database.admin.query(
      `INSERT INTO gym.visits (tenant_id, member_id, visited_at) SELECT $1, id, now() FROM gym.members WHERE tenant_id = $2 AND id NOT IN (SELECT id FROM gym.members WHERE tenant_id = $1) LIMIT 1`,
      [OURS, THEIRS],
    ),
  ).rejects.toThrow('visits_member_fkey');
});
