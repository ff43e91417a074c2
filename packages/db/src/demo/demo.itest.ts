import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { demoGymTenantId, type SeedDemoResult, seedDemo } from './index.ts';

const SIZES = { gyms: 2, members: 400, days: 120, seed: 7, endDate: new Date('2026-11-21T00:30:00Z') };
const FINGERPRINT = `
  SELECT (SELECT md5(string_agg(m::text, ',' ORDER BY tenant_id, id)) FROM (SELECT tenant_id, id, number, status, joined_on FROM gym.members) AS m) AS members,
         (SELECT md5(string_agg(v::text, ',' ORDER BY tenant_id, id)) FROM gym.visits AS v) AS visits,
         (SELECT md5(string_agg(c::text, ',' ORDER BY coach_id, member_id)) FROM gym.coach_members AS c) AS coaches`;

let one: TestDatabase;
let two: TestDatabase;
let result: SeedDemoResult;

beforeAll(async () => {
  [one, two] = await Promise.all([cloneTestDatabase(), cloneTestDatabase()]);
  result = await seedDemo({ adminUrl: one.adminUrl, ...SIZES });
});
afterAll(() => Promise.all([one.drop(), two.drop()]));

const number = async (sql: string) => Number((await one.admin.query(sql)).rows[0].n);

describe('demo data', () => {
  test('counts are those of the tables', async () => {
    expect(result).toMatchObject({ seeded: true, gyms: 2, members: 800 });
    expect(await number('SELECT count(*) AS n FROM gym.visits')).toBe(result.visits);
    expect(await number('SELECT count(*) AS n FROM gym.coaches')).toBe(result.coaches);
  });

  test('the same arguments give the same rows, another seed others; a second call adds nothing', async () => {
    await seedDemo({ adminUrl: two.adminUrl, ...SIZES });
    const [first, second] = await Promise.all([one.admin.query(FINGERPRINT), two.admin.query(FINGERPRINT)]);
    expect(second.rows).toEqual(first.rows);
    expect(await seedDemo({ adminUrl: two.adminUrl, ...SIZES, seed: 8 })).toEqual({
      seeded: false,
      gyms: 0,
      members: 0,
      visits: 0,
      coaches: 0,
      litigation: { firms: 0, cases: 0, tasks: 0, hearings: 0 },
      clinic: { facilities: 0, clients: 0, visits: 0, labResults: 0 },
      zakat: { users: 0, snapshots: 0, payments: 0, cacheEntries: 0 },
      medication: { organisations: 0, users: 0, medications: 0, reminders: 0 },
    });
    expect((await two.admin.query(FINGERPRINT)).rows).toEqual(first.rows);
    expect(demoGymTenantId(8, 'iron-works')).not.toBe(demoGymTenantId(7, 'iron-works'));
  });

  test('a gym more is added to those that are there', async () => {
    expect(await seedDemo({ adminUrl: two.adminUrl, ...SIZES, gyms: 3 })).toMatchObject({
      seeded: true,
      gyms: 1,
      members: 400,
    });
  });

  test('every foreign key and check holds, though COPY did not ask', async () => {
    const { rows } = await one.admin.query<{ name: string; table: string; definition: string }>(
      `SELECT conname AS name, conrelid::regclass AS table, pg_get_constraintdef(oid) AS definition
       FROM pg_constraint WHERE connamespace = 'gym'::regnamespace AND contype = 'f'`,
    );
    expect(rows.length).toBeGreaterThanOrEqual(6);
    for (const { name, table, definition } of rows) {
      await one.admin.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
      // Adding it again reads every row.
      await one.admin.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`);
    }
  });

  test('visits are in opening hours of the gym’s own zone, from joining until yesterday, none on closed days', async () => {
    const { rows } = await one.admin.query(
      `SELECT min((visited_at AT TIME ZONE zone)::time)::text AS earliest, max((visited_at AT TIME ZONE zone)::time)::text AS latest,
              bool_and((visited_at AT TIME ZONE zone)::date < (timestamptz '2026-11-21 00:30Z' AT TIME ZONE zone)::date) AS past,
              bool_and((visited_at AT TIME ZONE zone)::date >= joined_on) AS joined
       FROM gym.visits v JOIN gym.members m ON m.tenant_id = v.tenant_id AND m.id = v.member_id JOIN ops.tenants t ON t.id = v.tenant_id`,
    );
    expect(rows[0]).toMatchObject({ past: true, joined: true });
    expect(rows[0].earliest >= '06:00:00' && rows[0].latest <= '20:15:00').toBe(true);
  });

  test('it has what a gym has: frozen, left, new, faded, never seen, no-shows, members with and without a coach', async () => {
    const active = `FROM gym.members m WHERE status = 'active'`;
    const seen = (from: number, to: number) =>
      `EXISTS (SELECT FROM gym.visits v WHERE v.tenant_id = m.tenant_id AND v.member_id = m.id AND v.visited_at > timestamptz '2026-11-21' - interval '${from} days' AND v.visited_at < timestamptz '2026-11-21' - interval '${to} days')`;
    for (const [what, sql] of Object.entries({
      frozen: `SELECT count(*) AS n FROM gym.members WHERE status = 'frozen'`,
      left: `SELECT count(*) AS n FROM gym.members WHERE status = 'left'`,
      new: `SELECT count(*) AS n ${active} AND joined_on > '2026-10-22'`,
      stopped: `SELECT count(*) AS n ${active} AND ${seen(120, 40)} AND NOT ${seen(31, 0)}`,
      'never seen': `SELECT count(*) AS n ${active} AND NOT ${seen(400, 0)} AND joined_on < '2026-10-01'`,
      'no-shows': 'SELECT count(*) AS n FROM gym.visits WHERE NOT attended',
      'without a coach': `SELECT count(*) AS n ${active} AND NOT EXISTS (SELECT FROM gym.coach_members c WHERE c.member_id = m.id)`,
      'with two':
        'SELECT count(*) AS n FROM (SELECT FROM gym.coach_members GROUP BY member_id HAVING count(*) = 2) AS two',
    })) {
      expect(await number(sql), what).toBeGreaterThan(5);
    }
  });

  test('visitsPerMember is met within a tenth', async () => {
    const wanted = await seedDemo({ adminUrl: two.adminUrl, ...SIZES, gyms: 4, members: 600, visitsPerMember: 30 });
    expect(Math.abs(wanted.visits / wanted.members - 30)).toBeLessThan(3);
  });

  test('sizes that are not whole numbers of at least 1 are refused by name', async () => {
    await expect(seedDemo({ adminUrl: one.adminUrl, members: 0 })).rejects.toThrow(
      'members must be a whole number of at least 1, got 0',
    );
    await expect(seedDemo({ adminUrl: one.adminUrl, days: 1.5 })).rejects.toThrow('days must be');
  });
});
