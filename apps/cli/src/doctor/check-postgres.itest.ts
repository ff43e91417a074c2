import { randomBytes } from 'node:crypto';
import { databaseUrl } from '@nightshift/db';
import { findFreePort } from '@nightshift/services';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { checkPostgres } from './check-postgres.ts';

const adminUrl = process.env.NIGHTSHIFT_TEST_ADMIN_URL ?? '';
const template = process.env.NIGHTSHIFT_TEST_TEMPLATE ?? '';
const name = `doctor_${randomBytes(4).toString('hex')}`;
const password = randomBytes(8).toString('hex');
const server = new pg.Client({ connectionString: adminUrl });

beforeAll(async () => {
  await server.connect();
  await server.query(`CREATE ROLE ${name} LOGIN NOINHERIT PASSWORD '${password}' IN ROLE ns_app, ns_ops`);
});
beforeEach(async () => {
  await server.query(`DROP DATABASE IF EXISTS ${name}`);
  await server.query(`CREATE DATABASE ${name} TEMPLATE ${template}`);
});
afterAll(async () => {
  await server.query(`DROP DATABASE IF EXISTS ${name}`);
  await server.query(`DROP ROLE ${name}`);
  await server.end();
});

/** As the serving role, unless told otherwise; what the test server itself lacks (it does not sync to disk) is left out. */
async function problems(url?: string) {
  const serving = new URL(databaseUrl(adminUrl, name));
  serving.username = name;
  serving.password = password;
  const findings = await checkPostgres(url ?? serving.href);
  return findings.filter((finding) => !finding.ok && finding.check !== 'postgres durability');
}

async function change(...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl(adminUrl, name) });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

test('a migrated database is well', async () => {
  expect(await problems()).toEqual([]);
});

test('a server that does not sync to disk is named', async () => {
  const findings = await checkPostgres(databaseUrl(adminUrl, name));
  expect(findings).toContainEqual(expect.objectContaining({ check: 'postgres durability', ok: false }));
});

test('a superuser is named', async () => {
  expect(await problems(databaseUrl(adminUrl, name))).toMatchObject([
    { check: 'postgres role', found: expect.stringContaining('is a superuser') },
  ]);
});

test('a table without forced row-level security is named', async () => {
  await change('ALTER TABLE ops.item_failures NO FORCE ROW LEVEL SECURITY');
  expect(await problems()).toMatchObject([
    { check: 'postgres tenants', found: expect.stringContaining('ops.item_failures') },
  ]);
});

test('a partition that can be read round its parent is named', async () => {
  await change('GRANT SELECT ON ops.runs_default TO ns_app');
  expect(await problems()).toMatchObject([
    { check: 'postgres tenants', found: expect.stringContaining('ops.runs_default') },
  ]);
});

test('a database that an older build migrated is named', async () => {
  await change('DELETE FROM ops.migrations WHERE id = (SELECT max(id) FROM ops.migrations)');
  expect(await problems()).toMatchObject([{ check: 'postgres schema', fix: expect.stringContaining('migrate') }]);
});

test('missing partitions are named', async () => {
  await change(`DO $$ BEGIN
    EXECUTE format('DROP TABLE ops.%I', 'runs_' || to_char((now() AT TIME ZONE 'UTC') + interval '7 days', 'IYYY"w"IW'));
  END $$`);
  expect(await problems()).toMatchObject([
    { check: 'postgres partitions', found: expect.stringMatching(/missing: runs_\d{4}w\d{2}$/) },
  ]);
});

test('a server that is not there is one problem, without its password', async () => {
  const port = await findFreePort();
  const found = await problems(`postgres://nightshift:hidden-password@127.0.0.1:${port}/nightshift`);
  expect(found).toMatchObject([{ check: 'postgres' }]);
  expect(JSON.stringify(found)).not.toContain('hidden-password');
});
