import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFieldCrypto, parseKeyring } from '../crypto/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { demoOrganisationTenantId, type SeedDemoResult, seedDemo } from './index.ts';

const encryptionKeys = `test:${randomBytes(32).toString('base64')}`;
const SIZES = {
  gyms: 1,
  members: 1,
  days: 1,
  zakatUsers: 1,
  organisations: 2,
  organisationUsers: 60,
  endDate: new Date('2026-11-21T10:30:00Z'),
  encryptionKeys,
};
const FINGERPRINT = `
  SELECT (SELECT md5(string_agg(t::text, ',' ORDER BY tenant_id, id)) FROM (SELECT tenant_id, id, user_id, medication_id, units_a_day, supply_units FROM medication.user_medications) AS t) AS taken,
         (SELECT md5(string_agg(r::text, ',' ORDER BY tenant_id, id)) FROM medication.reminders AS r) AS reminders`;

let one: TestDatabase;
let two: TestDatabase;
let result: SeedDemoResult;

beforeAll(async () => {
  [one, two] = await Promise.all([cloneTestDatabase(), cloneTestDatabase()]);
  result = await seedDemo({ adminUrl: one.adminUrl, ...SIZES });
});
afterAll(() => Promise.all([one.drop(), two.drop()]));

const number = async (sql: string) => Number((await one.admin.query(sql)).rows[0].n);

test('counts are those of the tables; the same arguments give the same rows; a second call adds nothing', async () => {
  expect(result.medication).toMatchObject({ organisations: 2, users: 120 });
  expect(await number('SELECT count(*) AS n FROM medication.medications')).toBe(result.medication.medications);
  expect(await number('SELECT count(*) AS n FROM medication.reminders')).toBe(result.medication.reminders);
  await seedDemo({ adminUrl: two.adminUrl, ...SIZES });
  const fingerprints = await Promise.all([one, two].map(async ({ admin }) => (await admin.query(FINGERPRINT)).rows));
  expect(fingerprints[1]).toEqual(fingerprints[0]);
  expect(await seedDemo({ adminUrl: two.adminUrl, ...SIZES })).toMatchObject({
    medication: { organisations: 0, reminders: 0 },
  });
});

test('every foreign key and check holds, though no trigger looked', async () => {
  const { rows } = await one.admin.query<{ name: string; table: string; definition: string }>(
    `SELECT conname AS name, conrelid::regclass AS table, pg_get_constraintdef(oid) AS definition
     FROM pg_constraint WHERE connamespace = 'medication'::regnamespace AND contype = 'f'`,
  );
  expect(rows.length).toBeGreaterThanOrEqual(10);
  for (const { name, table, definition } of rows) {
    await one.admin.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
    await one.admin.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`);
  }
});

test('addresses are encrypted where the reminders look for them; doses are in the past, some taken, some not', async () => {
  const tenantId = demoOrganisationTenantId(1, 'linden-care');
  const { rows } = await one.admin.query<{ id: string; email_enc: string }>(
    `SELECT id, email_enc FROM medication.users WHERE tenant_id = $1 AND number = 'P00001'`,
    [tenantId],
  );
  const crypto = createFieldCrypto({ keyring: parseKeyring(encryptionKeys), pool: one.admin });
  const ref = { tenantId, place: 'medication.users.email_enc', row: rows[0]?.id ?? '' };
  expect(await crypto.decrypt(ref, rows[0]?.email_enc ?? '')).toMatch(/^[a-z]+\.[a-z]+\.1@example\.org$/);
  expect(await number(`SELECT count(*) AS n FROM medication.reminders WHERE due_at > '2026-11-21T10:30:00Z'`)).toBe(0);
  for (const taken of ['IS NULL', 'IS NOT NULL'])
    expect(await number(`SELECT count(*) AS n FROM medication.reminders WHERE taken_at ${taken}`)).toBeGreaterThan(50);
});
