import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { createPool, type Pool } from '../connect.ts';
import { databaseUrl } from '../migrate.ts';

export interface TestDatabase {
  /** The superuser's, in a database of its own with every migration applied. */
  readonly adminUrl: string;
  readonly admin: pg.Pool;
  /** Acts as ns_app, with the limits of a serving process. */
  readonly app: Pool;
  drop(): Promise<void>;
}

/** A clone of the gate's template database. The engine's test helpers build on this package and cannot be used in it. */
export async function cloneTestDatabase(): Promise<TestDatabase> {
  const serverUrl = process.env.NIGHTSHIFT_TEST_ADMIN_URL;
  const template = process.env.NIGHTSHIFT_TEST_TEMPLATE;
  if (serverUrl === undefined || template === undefined) {
    throw new Error(
      'NIGHTSHIFT_TEST_ADMIN_URL and NIGHTSHIFT_TEST_TEMPLATE are not set: run through vitest, which starts the servers',
    );
  }
  const name = `db_${randomUUID().replaceAll('-', '')}`;
  const server = new pg.Pool({ connectionString: serverUrl, max: 1 });
  // Two clones of one template at once refuse each other.
  await server.query(`SELECT pg_advisory_lock(hashtext('nightshift.clone'))`);
  await server.query(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`);
  await server.query(`SELECT pg_advisory_unlock(hashtext('nightshift.clone'))`);
  const adminUrl = databaseUrl(serverUrl, name);
  const admin = new pg.Pool({ connectionString: adminUrl, max: 2 });
  // `end` resolves before its sockets are closed: dropping the database may still meet one.
  admin.on('error', () => undefined);
  const app = createPool({ url: adminUrl, role: 'ns_app', max: 3, name: 'test', copies: true });
  return {
    adminUrl,
    admin,
    app,
    async drop() {
      await Promise.all([admin.end(), app.end()]);
      await server.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await server.end();
    },
  };
}
