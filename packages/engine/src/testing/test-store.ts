import { randomBytes } from 'node:crypto';
import { databaseUrl } from '@nightshift/db';
import pg from 'pg';

/** A database of its own, cloned from the migrated template, and a Redis namespace of its own on the server of the test run. */
export interface TestStore {
  /** As the login role `nightshift`. */
  readonly databaseUrl: string;
  /** As the superuser, on the same database: for arranging and asserting past row-level security. */
  readonly adminUrl: string;
  readonly redisUrl: string;
  readonly namespace: string;
  /** Superuser pool on the database. */
  readonly admin: pg.Pool;
  /** Makes a tenant. Resolves to its id. */
  addTenant(system: string, slug: string, zone?: string): Promise<string>;
  close(): Promise<void>;
}

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is not set: run the test through vitest, whose global set-up starts the servers`);
  return value;
}

/** Clones the template database, some 30 ms. Call `close` when the file is done. */
export async function testStore(): Promise<TestStore> {
  const rootUrl = given('NIGHTSHIFT_TEST_ADMIN_URL');
  const name = `ns_test_${randomBytes(6).toString('hex')}`;
  const root = new pg.Client({ connectionString: rootUrl });
  await root.connect();
  // Two clones of one template at once refuse each other.
  await root.query(`SELECT pg_advisory_lock(hashtext('nightshift.clone'))`);
  await root.query(
    `CREATE DATABASE ${name} TEMPLATE ${given('NIGHTSHIFT_TEST_TEMPLATE')} OWNER ns_owner STRATEGY file_copy`,
  );
  await root.end();
  const adminUrl = databaseUrl(rootUrl, name);
  const login = new URL(adminUrl);
  login.username = 'nightshift';
  login.password = given('NIGHTSHIFT_TEST_LOGIN_PASSWORD');
  const admin = new pg.Pool({ connectionString: adminUrl, max: 3, application_name: 'test-admin' });
  admin.on('error', () => undefined);
  return {
    databaseUrl: login.href,
    adminUrl,
    redisUrl: given('NIGHTSHIFT_TEST_REDIS_URL'),
    namespace: name,
    admin,
    async addTenant(system, slug, zone = 'UTC') {
      const { rows } = await admin.query<{ id: string }>(
        'INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES (gen_random_uuid(), $1, $2, $2, $3) RETURNING id',
        [system, slug, zone],
      );
      return rows[0]?.id ?? '';
    },
    async close() {
      await admin.end();
      const client = new pg.Client({ connectionString: rootUrl });
      await client.connect();
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await client.end();
    },
  };
}
