import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFieldCrypto, parseKeyring } from '../crypto/index.ts';
import { importCsv } from './index.ts';
import { cloneTestDatabase, type TestDatabase } from './test-database.ts';

const FACILITY = randomUUID();
let database: TestDatabase;

const load = (table: string, ...lines: string[]) =>
  importCsv({
    pool: database.app,
    table: `clinic.${table}`,
    tenantId: FACILITY,
    stream: Readable.from([Buffer.from(lines.join('\n'))]),
  });

beforeAll(async () => {
  database = await cloneTestDatabase();
  await database.admin.query(
    `INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'clinic', 'one', 'One', 'Africa/Kampala')`,
    [FACILITY],
  );
});
afterAll(() => database.drop());

test('a clinic’s files one after the other; triggers see the rows as they would see anybody’s', async () => {
  const imported = (rows: number) => ({ imported: rows, errors: [] });
  expect(await load('facilities', 'opened_on,ltfu_days', '2015-01-01,60')).toEqual(imported(1));
  expect(await load('regimens', 'code,name,kind', 'TLD,"Tenofovir, lamivudine, dolutegravir",ARV')).toEqual(
    imported(1),
  );
  expect(await load('clients', 'number,registered_on,key_population', 'K1,2024-01-31,msm', 'K2,2024-02-29,')).toEqual(
    imported(2),
  );
  expect(await load('enrollments', 'client_number,programme,started_on,ended_on', 'K1,ART,2024-02-01,')).toEqual(
    imported(1),
  );
  expect(
    await load(
      'encounters',
      'client_number,occurred_at,next_appointment_on',
      'K1,2026-05-01 09:00,2026-08-01',
      'K2,2026-05-02 09:00,',
    ),
  ).toEqual(imported(2));
  expect(
    await load(
      'dispenses',
      'client_number,kind,dispensed_at,days_supplied,regimen_code',
      'K1,ARV,2026-05-03T09:00,90,TLD',
      'K1,ARV,2026-06-03T09:00,30,',
    ),
  ).toEqual(imported(2));
  expect(
    await load('dispenses', 'client_number,kind,dispensed_at,days_supplied', 'K2,PREP,2026-05-03T09:00,90'),
  ).toEqual(imported(1));
  expect(
    await load(
      'lab_results',
      'client_number,test,drawn_on,resulted_on,comparator,value',
      'K1,VL,2026-05-01,2026-05-09,TND,',
      'K1,VL,2026-06-01,2026-06-09,<,20',
      'K1,CD4,2026-06-01,,,',
    ),
  ).toEqual(imported(3));
  const { rows } = await database.admin.query(
    `SELECT c.number, c.last_visit_at, max(d.next_refill_on)::text AS refill, count(d.regimen_id)::int AS named
     FROM clinic.clients c JOIN clinic.dispenses d ON d.client_id = c.id GROUP BY 1, 2 ORDER BY 1`,
  );
  expect(rows).toEqual([
    { number: 'K1', last_visit_at: new Date('2026-06-03T06:00:00Z'), refill: '2026-08-01', named: 1 },
    { number: 'K2', last_visit_at: new Date('2026-05-03T06:00:00Z'), refill: '2026-08-01', named: 0 },
  ]);
  const { rows: audited } = await database.admin.query(
    `SELECT count(*)::int AS n FROM clinic.data_audit WHERE operation = 'INSERT'`,
  );
  expect(audited[0].n).toBe(1 + 2 + 1 + 2 + 3 + 3);
});

test('wrong lines are told with line, column and reason, and nothing is imported', async () => {
  const reasons = async (table: string, ...lines: string[]) =>
    (await load(table, ...lines)).errors.map(({ line, column, reason }) => [line, column, reason]);
  const samples = 'client_number,test,drawn_on,resulted_on,comparator,value';
  expect(
    await reasons(
      'lab_results',
      samples,
      'K1,VL,2026-05-09,2026-05-01,=,5',
      'K1,VL,2026-05-01,2026-05-02,=,',
      'K1,CD4,2026-05-01,2026-05-02,TND,',
      'K1,VL,2026-05-01,,=,3',
      'K9,VL,2026-05-01,,,',
      'K1,VL,2999-05-01,,,',
    ),
  ).toEqual([
    [2, 'resulted_on', 'lies before drawn_on'],
    [3, 'value', 'a result has a value, except TND'],
    [4, 'comparator', 'TND is for VL alone'],
    [5, 'comparator', 'a result has resulted_on and comparator, a sample without one neither'],
    [6, 'client_number', `no client 'K9' here`],
    [7, 'drawn_on', 'lies in the future'],
  ]);
  expect(await reasons('encounters', 'client_number,occurred_at', 'K1,2999-01-01T00:00Z')).toEqual([
    [2, 'occurred_at', 'lies in the future'],
  ]);
  expect(
    await reasons(
      'dispenses',
      'client_number,kind,dispensed_at,days_supplied,regimen_code',
      'K1,ARV,2026-05-03T09:00,90,XYZ',
    ),
  ).toEqual([[2, 'regimen_code', `no regimen 'XYZ' here`]]);
});

test('names and phones reach the table as envelopes that open for their row alone; without a key the file is refused', async () => {
  const keyring = parseKeyring(`k1:${Buffer.from('a key of tests, of no other use!').toString('base64')}`);
  const crypto = createFieldCrypto({ keyring, pool: database.admin });
  const id = 'ABCDEF00-0000-4000-8000-000000000001';
  const loaded = await importCsv({
    pool: database.app,
    table: 'clinic.clients',
    tenantId: FACILITY,
    crypto,
    actor: 'cli:nurse',
    stream: Readable.from([
      Buffer.from(
        `number,registered_on,name,phone,id\nP1,2024-01-31,Amina \\ K,,${id}\nP2,2024-01-31,Okello,+256 700 000000,\n`,
      ),
    ]),
  });
  expect(loaded).toEqual({ imported: 2, errors: [] });
  const { rows } = await database.admin.query<{ id: string; name: string; phone: string | null }>(
    `SELECT id, name_enc AS name, phone_enc AS phone FROM clinic.clients WHERE number LIKE 'P%' ORDER BY number`,
  );
  const plain = (row: number, column: 'name' | 'phone') =>
    crypto.decrypt(
      { tenantId: FACILITY, place: `clinic.clients.${column}_enc`, row: rows[row]?.id ?? '' },
      rows[row]?.[column] ?? '',
    );
  expect(rows[0]?.id).toBe(id.toLowerCase());
  const audited = await database.admin.query('SELECT actor FROM clinic.data_audit WHERE row_id = $1', [id]);
  expect(audited.rows).toEqual([{ actor: 'cli:nurse' }]);
  expect([await plain(0, 'name'), rows[0]?.phone, await plain(1, 'name'), await plain(1, 'phone')]).toEqual([
    'Amina \\ K',
    null,
    'Okello',
    '+256 700 000000',
  ]);
  expect((await load('clients', 'number,registered_on,name', 'P3,2024-01-31,Achan')).errors).toEqual([
    { line: 1, column: 'name', reason: 'is stored encrypted, and there is no key: set ENCRYPTION_KEYS' },
  ]);
});
