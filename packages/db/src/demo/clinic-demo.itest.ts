import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFieldCrypto, parseKeyring } from '../crypto/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { demoClinicTenantId, type SeedDemoResult, seedDemo } from './index.ts';

const encryptionKeys = `k1:${Buffer.from('a key of tests, of no other use!').toString('base64')}`;
const SIZES = {
  gyms: 1, members: 1, days: 1, facilities: 2, clients: 400, seed: 7, endDate: new Date('2026-11-21T00:30:00Z'), encryptionKeys,
}; // biome-ignore format: numbers
const TABLES = ['enrollments', 'encounters', 'dispenses', 'lab_results'];
let one: TestDatabase;
let two: TestDatabase;
let result: SeedDemoResult;

beforeAll(async () => {
  [one, two] = await Promise.all([cloneTestDatabase(), cloneTestDatabase()]);
  result = await seedDemo({ adminUrl: one.adminUrl, ...SIZES });
});
afterAll(() => Promise.all([one.drop(), two.drop()]));

const number = async (sql: string) => Number((await one.admin.query(sql)).rows[0].n);

test('counts are those of the tables; a second call adds nothing; the same arguments give the same rows', async () => {
  expect(result.clinic).toMatchObject({ facilities: 2, clients: 800 });
  expect(await number('SELECT count(*) AS n FROM clinic.encounters')).toBe(result.clinic.visits);
  expect(await number('SELECT count(*) AS n FROM clinic.lab_results')).toBe(result.clinic.labResults);
  expect(await seedDemo({ adminUrl: one.adminUrl, ...SIZES })).toMatchObject({ seeded: false });
  await seedDemo({ adminUrl: two.adminUrl, ...SIZES });
  for (const table of TABLES) {
    const hash = `SELECT md5(string_agg(t::text, ',' ORDER BY tenant_id, id)) AS hash FROM clinic.${table} AS t`;
    expect((await two.admin.query(hash)).rows, table).toEqual((await one.admin.query(hash)).rows);
  }
});

test('what COPY did not ask holds: keys, checks, what the triggers would have set, no date in the future', async () => {
  const { rows } = await one.admin.query<{ name: string; table: string; definition: string }>(
    `SELECT conname AS name, conrelid::regclass AS table, pg_get_constraintdef(oid) AS definition
     FROM pg_constraint WHERE connamespace = 'clinic'::regnamespace AND contype = 'f'`,
  );
  expect(rows.length).toBeGreaterThanOrEqual(8);
  for (const { name, table, definition } of rows) {
    await one.admin.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
    // Adding it again reads every row.
    await one.admin.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`);
  }
  expect(
    await number(`SELECT count(*) AS n FROM clinic.clients c WHERE last_visit_at IS DISTINCT FROM greatest(
      (SELECT max(occurred_at) FROM clinic.encounters e WHERE e.client_id = c.id AND e.tenant_id = c.tenant_id),
      (SELECT max(dispensed_at) FROM clinic.dispenses d WHERE d.client_id = c.id AND d.tenant_id = c.tenant_id))`),
  ).toBe(0);
  expect(
    await number(`SELECT count(*) AS n FROM clinic.lab_results WHERE greatest(drawn_on, resulted_on) > '2026-11-21'`),
  ).toBe(0);
  expect(await number(`SELECT count(*) AS n FROM clinic.encounters WHERE occurred_at > '2026-11-21T00:30:00Z'`)).toBe(
    0,
  );
});

test('names and phones are envelopes that open with the key', async () => {
  const crypto = createFieldCrypto({ keyring: parseKeyring(encryptionKeys), pool: one.admin });
  const { rows } = await one.admin.query<{ id: string; name: string }>(
    `SELECT id, name_enc AS name FROM clinic.clients WHERE tenant_id = $1 ORDER BY id LIMIT 2`,
    [demoClinicTenantId(7, 'mukono-road')],
  );
  for (const { id, name } of rows) {
    const ref = { tenantId: demoClinicTenantId(7, 'mukono-road'), place: 'clinic.clients.name_enc', row: id };
    expect(await crypto.decrypt(ref, name)).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
  }
  expect(await number('SELECT count(*) AS n FROM clinic.clients WHERE name_enc IS NULL OR phone_enc IS NULL')).toBe(0);
});
