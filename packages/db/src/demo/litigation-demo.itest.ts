import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFieldCrypto, parseKeyring } from '../crypto/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { demoFirmTenantId, type SeedDemoResult, seedDemo } from './index.ts';

const encryptionKeys = `demo1:${randomBytes(32).toString('base64')}`;
const SIZES = { gyms: 1, members: 10, days: 10, endDate: new Date('2026-11-22T03:30:00Z'), encryptionKeys };

let database: TestDatabase;
let result: SeedDemoResult;
beforeAll(async () => {
  database = await cloneTestDatabase();
  result = await seedDemo({ adminUrl: database.adminUrl, ...SIZES });
});
afterAll(() => database.drop());

const rows = async (sql: string) => (await database.admin.query(sql)).rows;

test('counts are those of the tables; a second call adds nothing', async () => {
  expect(result.litigation).toEqual({ firms: 2, cases: 240, tasks: 1200, hearings: 200 });
  expect(await rows('SELECT count(*)::int AS n FROM litigation.tasks')).toEqual([{ n: 1200 }]);
  expect(await seedDemo({ adminUrl: database.adminUrl, ...SIZES })).toMatchObject({ seeded: false });
});

test('every foreign key and check holds, though they were not asked', async () => {
  const constraints = await rows(
    `SELECT conname AS name, conrelid::regclass AS table, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE connamespace = 'litigation'::regnamespace AND contype IN ('f', 'c')`,
  );
  expect(constraints.length).toBeGreaterThan(20);
  for (const { name, table, definition } of constraints) {
    await database.admin.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}, ADD CONSTRAINT ${name} ${definition}`);
  }
});

test('it has work for every job: late tasks, deadlines, hearings of today and tomorrow; names and addresses are envelopes', async () => {
  const [found] = await rows(
    `SELECT count(*) FILTER (WHERE closed_at IS NULL AND due_date < timestamptz '2026-11-22 03:15Z')::int AS late,
       count(*) FILTER (WHERE closed_at IS NULL AND due_date BETWEEN '2026-11-22 03:30Z' AND '2026-11-23 03:30Z')::int AS due,
       (SELECT count(*)::int FROM litigation.hearings WHERE status = 'Scheduled' AND hearing_date < '2026-11-23 18:30Z') AS hearings FROM litigation.tasks`,
  );
  for (const n of Object.values(found)) expect(n).toBeGreaterThan(5);
  const tenantId = demoFirmTenantId(1, 'sharma-tax-litigation');
  const users = await rows(`SELECT id, email_enc FROM litigation.users WHERE tenant_id = '${tenantId}' ORDER BY code`);
  const crypto = createFieldCrypto({ keyring: parseKeyring(encryptionKeys), pool: database.admin });
  const ref = { tenantId, place: 'litigation.users.email_enc', row: users[0].id };
  expect(await crypto.decrypt(ref, users[0].email_enc)).toBe('anita.sharma@sharma-tax-litigation.example');
});
