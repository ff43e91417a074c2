import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createPool } from '../connect.ts';
import { importableTables, importCsv } from './index.ts';
import { cloneTestDatabase, type TestDatabase } from './test-database.ts';
import { inUnhurriedTransaction } from './unhurried-transaction.ts';

let database: TestDatabase;
let gym: string;
let otherGym: string;

const file = (...lines: string[]) => Readable.from([Buffer.from(lines.join('\n'))]);
const load = (table: string, stream: Readable, maxErrors?: number) =>
  importCsv({ pool: database.app, table, tenantId: gym, stream, ...(maxErrors === undefined ? {} : { maxErrors }) });
const refusal = async (table: string, ...lines: string[]) => {
  const result = await load(table, file(...lines));
  expect(result.imported).toBe(0);
  return result.errors;
};
const count = async (table: string) =>
  (await database.admin.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n;

async function makeGym(zone: string, memberNumbers: string[]): Promise<string> {
  const id = randomUUID();
  await database.admin.query(`INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'gym', $2, $2, $3)`, [
    id,
    `gym-${id}`,
    zone,
  ]);
  await database.admin.query(`INSERT INTO gym.gyms (tenant_id, opened_on) VALUES ($1, '2020-01-01')`, [id]);
  await database.admin.query(
    `INSERT INTO gym.members (tenant_id, number, joined_on) SELECT $1, n, '2024-01-01' FROM unnest($2::text[]) AS n`,
    [id, memberNumbers],
  );
  return id;
}

beforeAll(async () => {
  database = await cloneTestDatabase();
  gym = await makeGym('Asia/Kolkata', ['A1', 'A2']);
  otherGym = await makeGym('UTC', ['B1']);
});
afterAll(() => database.drop());

describe('a good file', () => {
  test('every table takes its columns, by number or by id, in any order of columns', async () => {
    expect(
      await load(
        'gym.members',
        file('joined_on,number,status', '2025-02-28,N1,active', '2025-03-01, N2 ,', '2025-03-01,"N""3\\",frozen'),
      ),
    ).toEqual({ imported: 3, errors: [] });
    expect(await load('gym.coaches', file('number,active', 'C1,yes', 'C2,false'))).toEqual({ imported: 2, errors: [] });
    expect(await load('gym.coach_members', file('coach_number,member_number', 'C1,N1', 'C1,N2'))).toEqual({
      imported: 2,
      errors: [],
    });
    expect(
      await load(
        'gym.coach_actions',
        file('coach_number,member_number,action_date,kind,churn_risk,risk_level', 'C1,N1,2026-01-05,call,90,CRITICAL'),
      ),
    ).toEqual({ imported: 1, errors: [] });
    const { rows } = await database.admin.query(
      `SELECT number, status, joined_on::text FROM gym.members WHERE number LIKE 'N%' ORDER BY number`,
    );
    expect(rows).toEqual([
      { number: 'N"3\\', status: 'frozen', joined_on: '2025-03-01' },
      { number: 'N1', status: 'active', joined_on: '2025-02-28' },
      { number: 'N2', status: 'active', joined_on: '2025-03-01' },
    ]);
  });

  test('times: with an offset as they are, without one in the gym’s zone; byte order mark, CRLF and empty lines do no harm', async () => {
    const stream = Readable.from([
      Buffer.from(
        '\ufeffmember_number,visited_at,attended\r\nA1,2026-01-05T18:00:00Z,\r\n\r\nA1,2026-01-06 18:00,no\r\n',
      ),
    ]);
    expect(await load('gym.visits', stream)).toEqual({ imported: 2, errors: [] });
    const { rows } = await database.admin.query(`SELECT visited_at, attended FROM gym.visits ORDER BY visited_at`);
    expect(rows).toEqual([
      { visited_at: new Date('2026-01-05T18:00:00Z'), attended: true },
      { visited_at: new Date('2026-01-06T12:30:00Z'), attended: false },
    ]);
  });

  test('a new gym begins with its own row', async () => {
    const id = randomUUID();
    await database.admin.query(`INSERT INTO ops.tenants (id, system, slug, name) VALUES ($1, 'gym', 'new', 'New')`, [
      id,
    ]);
    const into = (table: string, ...lines: string[]) =>
      importCsv({ pool: database.app, table, tenantId: id, stream: file(...lines) });
    expect((await into('gym.members', 'number,joined_on', 'X,2026-01-01')).errors).toEqual([
      { line: 1, reason: 'the tenant has no row in gym.gyms: import that table first' },
    ]);
    expect(await into('gym.gyms', 'opened_on', '2026-01-01')).toEqual({ imported: 1, errors: [] });
    expect((await into('gym.gyms', 'opened_on', '2026-01-01')).errors).toEqual([
      { line: 2, reason: 'gym.gyms has a row of this gym already' },
    ]);
  });
});

describe('a wrong file changes nothing and says where', () => {
  test('cells: line, column and reason, all of them', async () => {
    const before = await count('gym.visits');
    expect(
      await refusal(
        'gym.visits',
        'member_number,visited_at,attended',
        'A1,2026-02-01T10:00:00Z,true',
        'A1,yesterday,true',
        'A1,2026-02-30T10:00:00Z,perhaps',
        ',2026-02-01T10:00:00Z,true',
        'A1,2026-02-02T10:00:00Z',
      ),
    ).toEqual([
      { line: 3, column: 'visited_at', reason: "expected a time like 2026-11-20T18:05:00Z, got 'yesterday'" },
      {
        line: 4,
        column: 'visited_at',
        reason: "expected a time like 2026-11-20T18:05:00Z, got '2026-02-30T10:00:00Z'",
      },
      { line: 4, column: 'attended', reason: "expected true or false, got 'perhaps'" },
      { line: 5, column: 'member_number', reason: 'expected a value, got none' },
      { line: 6, reason: 'expected 3 fields, got 2' },
    ]);
    expect(await count('gym.visits')).toBe(before);
  });

  test('header: unknown, missing, doubled and rivalling columns are named', async () => {
    expect(await refusal('gym.visits', 'member,visited_at', 'A1,2026-02-01T10:00:00Z')).toEqual([
      {
        line: 1,
        column: 'member',
        reason: 'unknown column: expected some of id, visited_at, attended, member_number, member_id',
      },
      { line: 1, column: 'member_number', reason: 'the column is missing: expected member_number or member_id' },
    ]);
    expect(await refusal('gym.members', 'number,number', 'a,b')).toEqual([
      { line: 1, column: 'number', reason: 'the column is there twice' },
      { line: 1, column: 'joined_on', reason: 'the column is missing' },
    ]);
    expect(await refusal('gym.visits', 'member_number,member_id,visited_at')).toEqual([
      { line: 1, column: 'member_id', reason: 'expected member_number or member_id, not both' },
    ]);
    expect(await refusal('gym.visits')).toEqual([{ line: 1, reason: 'the file is empty: expected a header line' }]);
  });

  test('rows that point nowhere, come twice, are there already or lie in the future', async () => {
    await load('gym.visits', file('member_number,visited_at', 'A2,2026-03-01T10:00:00Z'));
    expect(
      await refusal(
        'gym.visits',
        'member_number,visited_at',
        'A2,2026-03-01T10:00:00Z',
        'Z9,2026-03-02T10:00:00Z',
        'A2,2026-03-03T10:00:00Z',
        'A2,2026-03-03T15:30:00+05:30',
        'A2,2099-01-01T00:00:00Z',
      ),
    ).toEqual([
      { line: 2, reason: 'gym.visits has a row of this member and time already' },
      { line: 3, column: 'member_number', reason: "no member 'Z9' here" },
      { line: 5, reason: 'same member and time as line 4' },
      { line: 6, column: 'visited_at', reason: 'lies in the future' },
    ]);
  });

  test("another gym's member does not exist, by number or by id", async () => {
    const { rows } = await database.admin.query('SELECT id FROM gym.members WHERE tenant_id = $1', [otherGym]);
    expect(await refusal('gym.visits', 'member_number,visited_at', 'B1,2026-03-01T10:00:00Z')).toEqual([
      { line: 2, column: 'member_number', reason: "no member 'B1' here" },
    ]);
    expect(await refusal('gym.visits', 'member_id,visited_at', `${rows[0].id},2026-03-01T10:00:00Z`)).toHaveLength(1);
  });

  test('not CSV: an unclosed quote is a problem of its line, not an endless record', async () => {
    expect(await refusal('gym.members', 'number,joined_on', '"M1,2026-01-01', 'M2,2026-01-01')).toEqual([
      { line: 3, reason: expect.stringContaining('not CSV: Quote Not Closed') },
    ]);
    const endless = [...Array(20_000).keys()].map((index) => `M${index},2026-01-01`);
    expect(await refusal('gym.members', 'number,joined_on', '"M1,2026-01-01', ...endless)).toEqual([
      { line: expect.any(Number), reason: expect.stringContaining('Max Record Size') },
    ]);
  });

  test('the list ends at maxErrors', async () => {
    const { imported, errors } = await load('gym.members', file('number,joined_on', ...Array(500).fill('M,never')), 7);
    expect({ imported, lines: errors.map(({ line }) => line) }).toEqual({ imported: 0, lines: [2, 3, 4, 5, 6, 7, 8] });
  });
});

test('100,000 rows with one bad one leave nothing; without it they are all there, whatever limits the pool has', async () => {
  const limits = { statementTimeoutMs: 1_500, transactionTimeoutMs: 1_500, queryTimeoutMs: 1_500 };
  const pool = createPool({ url: database.adminUrl, role: 'ns_app', max: 1, name: 'hurried', copies: true, ...limits });
  onTestFinished(() => pool.end());
  const load = (stream: Readable) => importCsv({ pool, table: 'gym.visits', tenantId: gym, stream });
  const rows = function* (bad: boolean) {
    yield 'member_number,visited_at\n';
    for (let index = 0; index < 100_000; index++) {
      const at = new Date(Date.UTC(2021, 0, 1) + index * 60_000).toISOString();
      yield bad && index === 77_777 ? 'A1,2021-13-01T00:00:00Z\n' : `A1,${at}\n`;
    }
  };
  const before = await count('gym.visits');
  const { imported, errors } = await load(Readable.from(rows(true)));
  expect({ imported, errors: errors.map(({ line, column }) => ({ line, column })) }).toEqual({
    imported: 0,
    errors: [{ line: 77_779, column: 'visited_at' }],
  });
  expect(await count('gym.visits')).toBe(before);
  expect(await load(Readable.from(rows(false)))).toEqual({ imported: 100_000, errors: [] });
  expect(await count('gym.visits')).toBe(before + 100_000);
});

test('an unhurried transaction whose COMMIT rolled it back is an error', async () => {
  const swallowed = inUnhurriedTransaction(database.app, gym, (client) =>
    client.query('SELECT 1 / 0').catch(() => undefined),
  );
  await expect(swallowed).rejects.toThrow('rolled back at its commit');
});

test('unknown table, unknown tenant and a failing stream are errors; the connection is whole afterwards', async () => {
  const good = ['number,joined_on', 'Q1,2026-01-01'];
  await expect(load('gym.visit', file(...good))).rejects.toThrow(
    "no table 'gym.visit' to import into: expected one of gym.gyms, gym.members, gym.visits",
  );
  await expect(
    importCsv({ pool: database.app, table: 'gym.members', tenantId: randomUUID(), stream: file(...good) }),
  ).rejects.toThrow('no tenant with id');
  const failing = Readable.from(
    (async function* () {
      yield 'number,joined_on\nQ1,2026-01-01\n';
      throw new Error('the disk is gone');
    })(),
  );
  await expect(load('gym.members', failing)).rejects.toThrow('the disk is gone');
  expect(await load('gym.members', file(...good))).toEqual({ imported: 1, errors: [] });
});

test('two imports of the same file at once: one has all, the other none', async () => {
  const lines = ['number,joined_on', ...Array.from({ length: 2_000 }, (_, index) => `R${index},2026-01-01`)];
  const results = await Promise.allSettled([load('gym.members', file(...lines)), load('gym.members', file(...lines))]);
  const imported = results.map((result) => (result.status === 'fulfilled' ? result.value.imported : 0));
  expect(imported.sort((a, b) => a - b)).toEqual([0, 2_000]);
});

test('each importable table says which columns it takes', () => {
  expect(importableTables().find(({ table }) => table === 'gym.visits')?.columns).toEqual([
    'member_number',
    'member_id',
    'id',
    'visited_at',
    'attended',
  ]);
});
