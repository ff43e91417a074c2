import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as runMigrations } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';

const MIGRATIONS = fileURLToPath(new URL('../migrations', import.meta.url));
const GROUP_ROLES = ['ns_owner', 'ns_app', 'ns_ops', 'ns_rollup', 'ns_backup'];
const LOGIN_ROLE = 'nightshift';

export interface MigrateOptions {
  /** A role that may create roles and databases; any database of the server. */
  readonly adminUrl: string;
  /** Made if missing, owned by ns_owner. */
  readonly database: string;
  /** Password of the login role `nightshift`. Left as it is when not given. */
  readonly loginPassword?: string;
}

/** Makes roles, database, schemas and partitions as this version wants them. Safe to run at every start and by several at once. */
export async function migrate(options: MigrateOptions): Promise<void> {
  await withClient(options.adminUrl, async (client) => {
    await exclusively(client, async () => {
      await ensureRoles(client, options.loginPassword);
      await ensureDatabase(client, options.database);
    });
  });
  await withClient(databaseUrl(options.adminUrl, options.database), async (client) => {
    await exclusively(client, async () => {
      await client.query('SET ROLE ns_owner');
      await runMigrations(drizzle(client), {
        migrationsFolder: MIGRATIONS,
        migrationsSchema: 'ops',
        migrationsTable: 'migrations',
      });
      await client.query('GRANT SELECT ON ops.migrations TO ns_app, ns_ops, ns_backup');
      await client.query('SELECT ops.ensure_partitions()');
      await client.query('RESET ROLE');
    });
  });
}

/** The same server and credentials, another database. */
export function databaseUrl(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${database}`;
  return parsed.href;
}

/** Migrations that this build knows, oldest first, by tag. */
export function knownMigrations(): { tag: string; when: number }[] {
  return JSON.parse(readFileSync(`${MIGRATIONS}/meta/_journal.json`, 'utf8')).entries;
}

/** `current` when the newest migration in the database is the newest that this build knows. */
export async function schemaVersion(
  pool: Pick<pg.Pool, 'query'>,
): Promise<{ current: boolean; database: string; build: string }> {
  const known = knownMigrations();
  const { rows } = await pool.query<{ created_at: number }>('SELECT max(created_at) AS created_at FROM ops.migrations');
  const newest = known.at(-1);
  const applied = known.find((migration) => migration.when === rows[0]?.created_at);
  return {
    current: applied !== undefined && applied === newest,
    database: applied?.tag ?? 'unknown',
    build: newest?.tag ?? 'none',
  };
}

async function withClient(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 5_000,
    application_name: 'nightshift-migrate',
  });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

/** Two processes that migrate at once take turns; the second finds nothing to do. */
async function exclusively(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query(`SELECT pg_advisory_lock(hashtext('nightshift.migrate'))`);
  try {
    await work();
  } finally {
    await client.query(`SELECT pg_advisory_unlock(hashtext('nightshift.migrate'))`);
  }
}

async function ensureRoles(client: pg.Client, loginPassword: string | undefined): Promise<void> {
  const { rows } = await client.query<{ rolname: string }>('SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)', [
    [...GROUP_ROLES, LOGIN_ROLE],
  ]);
  const present = new Set(rows.map((row) => row.rolname));
  for (const role of GROUP_ROLES) {
    if (!present.has(role)) await client.query(`CREATE ROLE ${role} NOLOGIN NOBYPASSRLS`);
  }
  if (!present.has(LOGIN_ROLE)) {
    await client.query(`CREATE ROLE ${LOGIN_ROLE} LOGIN NOINHERIT NOBYPASSRLS`);
    await client.query(`GRANT ns_app, ns_ops TO ${LOGIN_ROLE} WITH INHERIT FALSE, SET TRUE`);
    // Whoever connects without saying more sees no tenant: ns_app with app.tenants unset.
    await client.query(`ALTER ROLE ${LOGIN_ROLE} SET role = 'ns_app'`);
  }
  // What migrations act as: the owner, and ns_rollup, whose the materialized views are.
  for (const role of ['ns_owner', 'ns_rollup']) {
    const { rows: may } = await client.query<{ may: boolean }>(`SELECT pg_has_role($1, 'SET') AS may`, [role]);
    if (may[0]?.may !== true) await client.query(`GRANT ${role} TO CURRENT_USER`);
  }
  // Also for a login role that an older version made.
  await client.query(`GRANT ns_backup TO ${LOGIN_ROLE} WITH INHERIT FALSE, SET TRUE`);
  if (loginPassword !== undefined) {
    await client.query(`ALTER ROLE ${LOGIN_ROLE} PASSWORD ${client.escapeLiteral(loginPassword)}`);
  }
}

async function ensureDatabase(client: pg.Client, database: string): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
  if (rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(database)} OWNER ns_owner`);
}
