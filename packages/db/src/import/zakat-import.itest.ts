import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '../crypto/index.ts';
import { importCsv } from './index.ts';
import { cloneTestDatabase, type TestDatabase } from './test-database.ts';

let database: TestDatabase;
let crypto: FieldCrypto;
const user = randomUUID();

const file = (...lines: string[]) => Readable.from([Buffer.from(lines.join('\n'))]);
const load = (table: string, stream: Readable) =>
  importCsv({ pool: database.app, table, tenantId: user, stream, crypto });
const opened = async (table: string, column: string, row: string) => {
  const { rows } = await database.admin.query<{ envelope: string }>(
    `SELECT ${column} AS envelope FROM ${table} WHERE id = $1`,
    [row],
  );
  return crypto.decrypt({ tenantId: user, place: `${table}.${column}`, row }, rows[0]?.envelope ?? '');
};
const idOf = async (table: string, reference: string) =>
  (await database.admin.query<{ id: string }>(`SELECT id FROM ${table} WHERE reference = $1`, [reference])).rows[0]
    ?.id ?? '';

beforeAll(async () => {
  database = await cloneTestDatabase();
  crypto = createFieldCrypto({
    keyring: parseKeyring(`k1:${Buffer.from('a key of tests, of no other use!').toString('base64')}`),
    pool: database.admin,
  });
  await database.admin.query(
    `INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'zakat', 'importer', 'x', 'UTC')`,
    [user],
  );
});
afterAll(() => database.drop());

test('amounts are encrypted on the way in, each bound to its row, with the file’s id or one of ours', async () => {
  const SNAPSHOT = '3F2504E0-4F89-41D3-9A0C-0305E82C3301';
  expect(await load('zakat.users', file('day_offset', '-1'))).toEqual({ imported: 1, errors: [] });
  expect(
    await load(
      'zakat.snapshots',
      file(
        'zakat_due,reference,id,snapshot_date,finalised,currency,reaches_nisab,wealth,nisab',
        `731900,S-1,${SNAPSHOT},2025-03-01,true,EUR,true,29276000,44000`,
        '0,S-2,,2024-03-11,,EUR,,12345,44000',
      ),
    ),
  ).toEqual({ imported: 2, errors: [] });
  expect(
    await load(
      'zakat.payments',
      file('snapshot_reference,reference,paid_on,amount', 'S-1,P-1,2025-03-02,700000', 'S-1,P-2,2025-04-02,31900'),
    ),
  ).toEqual({ imported: 2, errors: [] });
  expect(await opened('zakat.snapshots', 'zakat_due_enc', SNAPSHOT.toLowerCase())).toBe('731900');
  expect(await opened('zakat.snapshots', 'wealth_enc', await idOf('zakat.snapshots', 'S-2'))).toBe('12345');
  expect(await opened('zakat.payments', 'amount_enc', await idOf('zakat.payments', 'P-2'))).toBe('31900');
  const { rows } = await database.admin.query(
    `SELECT count(DISTINCT amount_enc)::int AS envelopes, (SELECT revision::int FROM zakat.snapshots WHERE reference = 'S-1') AS revision,
            bool_or(p::text LIKE '%700000%') AS clear FROM zakat.payments AS p`,
  );
  expect(rows).toEqual([{ envelopes: 2, revision: 2, clear: false }]);
});

test('what is wrong is named by line and column, and no amount is quoted', async () => {
  const header = 'reference,snapshot_date,finalised,currency,reaches_nisab,wealth,nisab,zakat_due';
  const { imported, errors } = await load(
    'zakat.snapshots',
    file(
      header,
      'A,2025-01-01,true,EUR,true,98765.43,1,1',
      'B,2025-01-01,true,eur,true,1,1,-98765',
      'C,2025-01-01,true,EUR,true,1,,98765 EUR',
    ),
  );
  expect(imported).toBe(0);
  expect(errors).toEqual([
    { line: 2, column: 'wealth', reason: expect.stringContaining('whole minor units') },
    { line: 3, column: 'currency', reason: expect.stringContaining("got 'eur'") },
    { line: 3, column: 'zakat_due', reason: expect.stringContaining('whole minor units') },
    { line: 4, column: 'nisab', reason: 'expected a value, got none' },
    { line: 4, column: 'zakat_due', reason: expect.stringContaining('whole minor units') },
  ]);
  expect(JSON.stringify(errors)).not.toContain('98765');
  expect((await load('zakat.snapshots', file(header, 'D,2025-01-01,true,EUR,,1,1,1'))).errors).toEqual([
    { line: 2, column: 'reaches_nisab', reason: 'a finalised snapshot needs it: true or false' },
  ]);
  expect(
    (await load('zakat.payments', file('snapshot_reference,reference,paid_on,amount', 'S-9,P-9,2025-01-01,5'))).errors,
  ).toEqual([{ line: 2, column: 'snapshot_reference', reason: "no snapshot 'S-9' here" }]);
});

test('more rows than a chunk all arrive, each with its own amount', async () => {
  const lines = Array.from({ length: 1_203 }, (_, index) => `S-1,M-${index},2025-05-01,${100_000 + index}`);
  expect(await load('zakat.payments', file('snapshot_reference,reference,paid_on,amount', ...lines))).toEqual({
    imported: 1_203,
    errors: [],
  });
  for (const index of [0, 499, 500, 1_202]) {
    const row = await idOf('zakat.payments', `M-${index}`);
    expect(await opened('zakat.payments', 'amount_enc', row)).toBe(String(100_000 + index));
  }
});

test('without keys nothing is read, and a table without encrypted columns needs none', async () => {
  const stream = file('reference,paid_on,amount,snapshot_reference', 'X,2025-01-01,5,S-1');
  expect(await importCsv({ pool: database.app, table: 'zakat.payments', tenantId: user, stream })).toEqual({
    imported: 0,
    errors: [{ line: 1, column: 'amount', reason: 'is stored encrypted, and there is no key: set ENCRYPTION_KEYS' }],
  });
  expect(stream.destroyed).toBe(true);
  const again = await importCsv({
    pool: database.app,
    table: 'zakat.users',
    tenantId: user,
    stream: file('day_offset', '0'),
  });
  expect(again.errors).toEqual([{ line: 2, reason: 'zakat.users has a row of this user already' }]);
});
