import { randomBytes, randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '../crypto/index.ts';
import { importCsv } from './index.ts';
import { cloneTestDatabase, type TestDatabase } from './test-database.ts';

let db: TestDatabase;
let crypto: FieldCrypto;
const tenantId = randomUUID();

beforeAll(async () => {
  db = await cloneTestDatabase();
  crypto = createFieldCrypto({ keyring: parseKeyring(`test:${randomBytes(32).toString('base64')}`), pool: db.admin });
  await db.admin.query(
    `INSERT INTO ops.tenants (id, system, slug, name) VALUES ($1, 'medication', 'importing', 'Importing')`,
    [tenantId],
  );
});
afterAll(() => db.drop());

const load = (table: string, ...lines: string[]) =>
  importCsv({ pool: db.app, crypto, table, tenantId, stream: Readable.from([lines.join('\n')]) });

test('organisation, users, medications, what they take, and a licensed interaction table', async () => {
  expect(await load('medication.organisations', 'lead_days,alert_days', '10,2')).toEqual({ imported: 1, errors: [] });
  expect(
    await load('medication.users', 'number,zone,names_in_texts', 'P1,Europe/Berlin,yes', 'P2,Asia/Kolkata,'),
  ).toMatchObject({ imported: 2 });
  expect(
    await load(
      'medication.medications',
      'name,ingredients,brands,classes',
      'Coumadin 5 mg,Warfarin,Coumadin; Jantoven,vitamin-k-antagonist',
      '"Cotrim ""forte""",Sulfamethoxazole;Trimethoprim,,',
    ),
  ).toMatchObject({ imported: 2 });
  expect(
    await load(
      'medication.user_medications',
      'user_number,medication,units_a_day,supply_units,supply_recorded_at',
      'P1,Coumadin 5 mg,0.5,30,2026-11-01T08:00:00Z',
      'P2,Coumadin 5 mg,,,',
    ),
  ).toMatchObject({ imported: 2, errors: [] });
  const rules = [
    'table_version,a_kind,a_name,b_kind,b_name,severity,effect,source',
    'licensed 2026-11,ingredient,Warfarin,class,NSAID,MAJOR,more bleeding,"a book, page 7"',
  ];
  expect(await load('medication.interactions', ...rules)).toMatchObject({ imported: 1, errors: [] });
  const { rows } = await db.admin.query(
    'SELECT name, ingredients, brands FROM medication.medications ORDER BY name COLLATE "C"',
  );
  expect(rows).toEqual([
    { name: 'Cotrim "forte"', ingredients: ['sulfamethoxazole', 'trimethoprim'], brands: [] },
    { name: 'Coumadin 5 mg', ingredients: ['warfarin'], brands: ['coumadin', 'jantoven'] },
  ]);
  expect((await db.admin.query('SELECT a_name, b_name, source FROM medication.interactions')).rows).toEqual([
    { a_name: 'warfarin', b_name: 'nsaid', source: 'a book, page 7' },
  ]);
  expect(await load('medication.interactions', ...rules)).toMatchObject({
    imported: 0,
    errors: [{ line: 2, reason: expect.stringContaining('already') }],
  });
});

test('mail addresses are encrypted on their way in, where the reminders look for them', async () => {
  expect(await load('medication.users', 'number,zone,email', 'P3,UTC,p3@example.org')).toMatchObject({ imported: 1 });
  const { rows } = await db.admin.query<{ id: string; email_enc: string }>(
    `SELECT id, email_enc FROM medication.users WHERE number = 'P3'`,
  );
  expect(rows[0]?.email_enc).toMatch(/^ns1\./);
  const ref = { tenantId, place: 'medication.users.email_enc', row: rows[0]?.id ?? '' };
  expect(await crypto.decrypt(ref, rows[0]?.email_enc ?? '')).toBe('p3@example.org');
});

test('wrong rows are named with their line and nothing is imported', async () => {
  const found = await load('medication.users', 'number,zone,channel', 'P8,Mars/Olympus,email', 'P9,UTC,pigeon');
  expect(found.imported).toBe(0);
  expect(found.errors.map(({ line, column }) => `${line} ${column}`)).toEqual(['2 zone', '3 channel']);
  const taken = await load(
    'medication.user_medications',
    'user_number,medication,units_a_day,supply_units',
    'P1,Coumadin 5 mg,1.2345,',
    'P1,Snake oil,1,3',
  );
  expect(taken.errors.map(({ line, column }) => `${line} ${column}`)).toEqual(
    expect.arrayContaining(['2 units_a_day']),
  );
  expect(taken.imported).toBe(0);
});
