import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { importCsv } from './index.ts';
import { cloneTestDatabase, type TestDatabase } from './test-database.ts';

let database: TestDatabase;
let firm: string;
beforeAll(async () => {
  database = await cloneTestDatabase();
  firm = (await database.admin.query(`SELECT litigation.add_firm('sharma', 'Sharma') AS id`)).rows[0].id;
  await database.admin.query(
    `INSERT INTO litigation.users (tenant_id, code, role) VALUES ($1, 'asha', 'advocate'), ($1, 'ravi', 'staff')`,
    [firm],
  );
});
afterAll(() => database.drop());

const load = (table: string, ...lines: string[]) =>
  importCsv({
    pool: database.app,
    table: `litigation.${table}`,
    tenantId: firm,
    stream: Readable.from([Buffer.from(lines.join('\n'))]),
  });
const rows = async (sql: string) => (await database.admin.query(sql)).rows;

test('cases, courts, tasks and hearings, by number and code; a local time is the firm’s, who is not named stays empty', async () => {
  expect(
    await load(
      'cases',
      'case_number,title,owner_code,advocate_code,status',
      'G-1,Appeal,asha,ravi,Open',
      'G-2,Refund,ravi,,',
    ),
  ).toEqual({ imported: 2, errors: [] });
  expect(await load('courts', 'code,name,city,forum', 'AHM,GSTAT,Ahmedabad,GSTAT')).toEqual({
    imported: 1,
    errors: [],
  });
  expect(
    await load(
      'tasks',
      'title,case_number,assignee_code,due_date,priority,status,statutory,created_at,closed_at',
      'Reply to ASMT-10,G-1,asha,2026-11-30T17:00:00,critical,Pending,true,2026-11-01T09:00:00,',
      'Collect bills,,,,,Completed,,2026-11-01T09:00:00,2026-11-02T09:00:00',
    ),
  ).toEqual({ imported: 2, errors: [] });
  expect(await load('hearings', 'case_number,court_code,hearing_date', 'G-1,AHM,2026-12-01T10:30:00')).toEqual({
    imported: 1,
    errors: [],
  });
  expect(
    await rows(
      'SELECT due_date, closed_at IS NULL AS open, case_id IS NULL AS alone FROM litigation.tasks ORDER BY title DESC',
    ),
  ).toEqual([
    { due_date: new Date('2026-11-30T11:30:00Z'), open: true, alone: false },
    { due_date: null, open: false, alone: true },
  ]);
  expect(await rows('SELECT hearing_date FROM litigation.hearings')).toEqual([
    { hearing_date: new Date('2026-12-01T05:00:00Z') },
  ]);
});

test('a name that is not there is told with its line, and nothing is imported', async () => {
  const result = await load('tasks', 'title,case_number,assignee_code', 'a,G-1,asha', 'b,G-9,nobody', 'c,,');
  expect(result.imported).toBe(0);
  expect(result.errors).toEqual([
    { line: 3, column: 'case_number', reason: `no case 'G-9' here` },
    { line: 3, column: 'assignee_code', reason: `no user 'nobody' here` },
  ]);
  expect((await load('cases', 'case_number,title', 'G-3,x')).errors[0]?.reason).toContain(
    'expected owner_code or owner_id',
  );
  expect((await load('cases', 'case_number,title,owner_code', 'G-1,x,asha')).errors[0]?.reason).toContain(
    'case number already',
  );
});
