import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as runMigrations } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import { databaseUrl, migrate } from '../index.ts';

const MIGRATIONS = fileURLToPath(new URL('../../migrations', import.meta.url));

/** The migrations up to one of them, as an installation of that time has run them. */
function migrationsUntil(last: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'nightshift-migrations-'));
  cpSync(MIGRATIONS, folder, { recursive: true });
  const journal = join(folder, 'meta/_journal.json');
  const content = JSON.parse(readFileSync(journal, 'utf8')) as { entries: { tag: string }[] };
  content.entries = content.entries.filter(({ tag }) => tag <= last);
  writeFileSync(journal, JSON.stringify(content));
  return folder;
}

export interface OlderDatabase {
  /** As the server's administrator. */
  readonly admin: pg.Pool;
  /** The migrations that came since. */
  upgrade(): Promise<void>;
  drop(): Promise<void>;
}

/** A database of its own as it was when the migration `last` was the newest. `prepare` is called as the tables' owner. */
export async function olderDatabase(
  last: string,
  prepare: (owner: pg.PoolClient) => Promise<unknown> = async () => undefined,
): Promise<OlderDatabase> {
  const database = `db_${randomUUID().replaceAll('-', '')}`;
  const serverUrl = process.env.NIGHTSHIFT_TEST_ADMIN_URL ?? '';
  const server = new pg.Pool({ connectionString: serverUrl, max: 1 });
  await server.query(`CREATE DATABASE ${database} OWNER ns_owner`);
  const admin = new pg.Pool({ connectionString: databaseUrl(serverUrl, database), max: 1 });
  admin.on('error', () => undefined);
  const folder = migrationsUntil(last);
  const owner = await admin.connect();
  await owner.query('SET ROLE ns_owner');
  await runMigrations(drizzle(owner), {
    migrationsFolder: folder,
    migrationsSchema: 'ops',
    migrationsTable: 'migrations',
  });
  await prepare(owner);
  await owner.query('RESET ROLE');
  owner.release();
  rmSync(folder, { recursive: true });
  return {
    admin,
    upgrade: async () => void (await migrate({ adminUrl: serverUrl, database })),
    async drop() {
      await admin.end();
      await server.query(`DROP DATABASE ${database} WITH (FORCE)`);
      await server.end();
    },
  };
}
