import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cloneTestDatabase, type TestDatabase } from './import/test-database.ts';
import { createPool, inTransaction, isUuid } from './index.ts';

let db: TestDatabase;

beforeAll(async () => {
  db = await cloneTestDatabase();
  await db.admin.query('CREATE SCHEMA tiny; CREATE TABLE tiny.notes (note text PRIMARY KEY)');
  await db.admin.query('GRANT USAGE ON SCHEMA tiny TO ns_app; GRANT ALL ON tiny.notes TO ns_app');
});
afterAll(() => db.drop());

const tenantsSeen = 'SELECT ops.current_tenants() AS tenants, current_user AS role';

async function notes(): Promise<string[]> {
  return (await db.admin.query<{ note: string }>('SELECT note FROM tiny.notes ORDER BY note')).rows.map((r) => r.note);
}

it('sets the tenants for the transaction alone', async () => {
  const ids = [randomUUID(), randomUUID()];
  const pool = createPool({ url: db.adminUrl, role: 'ns_app', max: 1, name: 'test' });
  const inside = await inTransaction(pool, ids, async (client) => (await client.query(tenantsSeen)).rows);
  const after = (await pool.query(tenantsSeen)).rows;
  await pool.end();
  expect(inside).toEqual([{ tenants: ids, role: 'ns_app' }]);
  expect(after).toEqual([{ tenants: null, role: 'ns_app' }]);
});

it('commits what resolves and rolls back what rejects', async () => {
  await inTransaction(db.app, [], (client) => client.query(`INSERT INTO tiny.notes VALUES ('kept')`));
  const failing = inTransaction(db.app, [], async (client) => {
    await client.query(`INSERT INTO tiny.notes VALUES ('lost')`);
    throw new Error('on purpose');
  });
  await expect(failing).rejects.toThrow('on purpose');
  expect(await notes()).toEqual(['kept']);
});

it('begins with more statements in one message, and hands on what the last of them answered', async () => {
  const ids = [randomUUID()];
  const first = () => `INSERT INTO tiny.notes VALUES ('first'); ${tenantsSeen}`;
  const pool = createPool({ url: db.adminUrl, role: 'ns_app', max: 1, name: 'test' });
  const rows = await inTransaction(pool, ids, async (_client, _beforeCommit, begun) => (await begun).rows, { first });
  await pool.end();
  expect(rows).toEqual([{ tenants: ids, role: 'ns_app' }]);
  expect(await notes()).toContain('first');
  await db.admin.query(`DELETE FROM tiny.notes WHERE note = 'first'`);
});

it('commits nothing when a statement that it began with fails, though nobody waited for its answer', async () => {
  const first = () => `INSERT INTO tiny.notes VALUES ('half'); SELECT 1 / 0`;
  const pool = createPool({ url: db.adminUrl, role: 'ns_app', max: 1, name: 'test' });
  await expect(inTransaction(pool, [], async () => 'done', { first })).rejects.toThrow('division by zero');
  await pool.end();
  expect(await notes()).not.toContain('half');
});

it('refuses a tenant that is no UUID before it says anything to Postgres', async () => {
  const injection = `${randomUUID()}'; SET ROLE ns_owner; --`;
  expect(isUuid(injection)).toBe(false);
  let begun = false;
  const work = inTransaction(db.app, [injection], async () => {
    begun = true;
  });
  await expect(work).rejects.toThrow('tenant id must be a UUID');
  expect(begun).toBe(false);
});

it('hands no connection on that died in the middle', async () => {
  const pool = createPool({ url: db.adminUrl, role: 'ns_app', max: 1, name: 'test' });
  const dying = inTransaction(pool, [], async (client) => {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await db.admin.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
    return client.query('SELECT 1');
  });
  await expect(dying).rejects.toThrow();
  const again = await inTransaction(pool, [], async (client) => (await client.query('SELECT 1 AS one')).rows);
  await pool.end();
  expect(again).toEqual([{ one: 1 }]);
});

it('ends a transaction that takes too long', async () => {
  const pool = createPool({ url: db.adminUrl, role: 'ns_app', max: 1, name: 'test', transactionTimeoutMs: 100 });
  const slow = inTransaction(pool, [], (client) => client.query('SELECT pg_sleep(30)'));
  await expect(slow).rejects.toMatchObject({ code: '25P04' });
  await pool.end();
});

it('says why its connection ended, whatever was asked of it afterwards', async () => {
  const pool = createPool({ url: db.adminUrl, role: 'ns_app', max: 1, name: 'test' });
  const silent = inTransaction(pool, [], async (client) => {
    await client.query('SET LOCAL idle_in_transaction_session_timeout = 50');
    await new Promise((resolve) => client.once('end', resolve));
    return client.query('SELECT 1');
  });
  await expect(silent).rejects.toMatchObject({ cause: { code: '25P03' } });
  await pool.end();
});

it('sees no tenant and is no platform when the login role says nothing', async () => {
  const login = new URL(db.adminUrl);
  login.username = 'nightshift';
  login.password = process.env.NIGHTSHIFT_TEST_LOGIN_PASSWORD ?? '';
  const client = new pg.Client({ connectionString: login.href });
  await client.connect();
  const { rows } = await client.query(tenantsSeen);
  const tenants = await client.query('SELECT FROM ops.tenants');
  await client.end();
  expect(rows).toEqual([{ tenants: null, role: 'ns_app' }]);
  expect(tenants.rowCount).toBe(0);
});

it('is no success when a statement failed and the work went on', async () => {
  const swallowed = inTransaction(db.app, [], async (client) => {
    await client.query('SELECT 1 / 0').catch(() => undefined);
    return 'done';
  });
  await expect(swallowed).rejects.toThrow('rolled back at its commit');
});
