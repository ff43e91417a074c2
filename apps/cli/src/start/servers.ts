import { connect } from 'node:net';
import { join } from 'node:path';
import { databaseUrl as inDatabase, migrate } from '@nightshift/db';
import {
  type PostgresServer,
  type RedisServer,
  type Supervisor,
  startPostgres,
  startRedis,
} from '@nightshift/services';
import pg from 'pg';
import type { Environment } from '../home.ts';
import { NoAdminUrlError } from '../servers.ts';
import type { Secrets } from './secrets.ts';
import type { Steps } from './steps.ts';

/** Where this start's servers are. */
export interface StartedServers {
  /** The login role `nightshift`: what the apps get. */
  databaseUrl: string;
  /** A role that may migrate and seed, in the same database. */
  adminDatabaseUrl: string;
  redisUrl: string;
}

/** DATABASE_URL or REDIS_URL names a server that doesn't answer. */
export class UnreachableServerError extends Error {
  override readonly name = 'UnreachableServerError';

  constructor(variable: string, url: string, cause: unknown) {
    const { code, message } = cause as NodeJS.ErrnoException;
    super(
      `${new URL(url).host} (${variable}) can't be used: ${message || code}; correct ${variable}, or unset it for an embedded server`,
      { cause },
    );
  }
}

const CONNECT_TIMEOUT_MS = 5_000;
const DATABASE = 'nightshift';
const LOGIN_ROLE = 'nightshift';

/** The same server and database, for the login role. */
function loginUrl(adminUrl: string, password: string): string {
  const url = new URL(adminUrl);
  url.username = LOGIN_ROLE;
  url.password = password;
  return url.href;
}

async function mayMigrate(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  await client.connect().catch((error: unknown) => {
    throw new UnreachableServerError('DATABASE_URL', url, error);
  });
  try {
    const { rows } = await client.query<{ may: boolean }>(
      'SELECT rolsuper OR (rolcreaterole AND rolcreatedb) AS may FROM pg_roles WHERE rolname = session_user',
    );
    return rows[0]?.may === true;
  } finally {
    await client.end();
  }
}

/**
 * A given server: with ADMIN_DATABASE_URL the apps use DATABASE_URL as it is; without it DATABASE_URL must be an
 * administrator's, and the apps get the login role with this home's password.
 * @throws NoAdminUrlError
 */
async function givenDatabase(
  given: string,
  env: Environment,
  password: string,
): Promise<Omit<StartedServers, 'redisUrl'>> {
  const database = new URL(given).pathname.slice(1) || DATABASE;
  if (env.ADMIN_DATABASE_URL) {
    return { databaseUrl: given, adminDatabaseUrl: inDatabase(env.ADMIN_DATABASE_URL, database) };
  }
  if (!(await mayMigrate(inDatabase(given, 'postgres')))) throw new NoAdminUrlError();
  return {
    databaseUrl: loginUrl(inDatabase(given, database), password),
    adminDatabaseUrl: inDatabase(given, database),
  };
}

async function startDatabase(
  home: string,
  env: Environment,
  password: string,
  supervisor: Supervisor,
  steps: Steps,
): Promise<{ urls: Omit<StartedServers, 'redisUrl'>; embedded: PostgresServer | null }> {
  if (env.DATABASE_URL) return { urls: await givenDatabase(env.DATABASE_URL, env, password), embedded: null };
  const embedded = await supervisor.superviseServer('postgres', () =>
    startPostgres({ dir: join(home, 'postgres'), log: steps.note }),
  );
  const adminDatabaseUrl = inDatabase(embedded.adminUrl, DATABASE);
  return { urls: { databaseUrl: loginUrl(adminDatabaseUrl, password), adminDatabaseUrl }, embedded };
}

function expectListener(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => reject(new UnreachableServerError('REDIS_URL', url, error));
    const socket = connect({ host: hostname, port: Number(port || 6379), timeout: CONNECT_TIMEOUT_MS });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('timeout', () => socket.destroy(new Error(`no answer in ${CONNECT_TIMEOUT_MS / 1000} s`)));
    socket.once('error', fail);
  });
}

async function startQueueServer(
  home: string,
  env: Environment,
  supervisor: Supervisor,
  steps: Steps,
): Promise<{ redisUrl: string; embedded: RedisServer | null }> {
  if (env.REDIS_URL) {
    await expectListener(env.REDIS_URL);
    return { redisUrl: env.REDIS_URL, embedded: null };
  }
  const embedded = await supervisor.superviseServer('redis', () =>
    startRedis({ dir: join(home, 'redis'), log: steps.note }),
  );
  return { redisUrl: embedded.url, embedded };
}

/** Brings up, or finds, Postgres and Redis. Each of DATABASE_URL and REDIS_URL replaces the embedded one. */
export async function startServers(
  home: string,
  env: Environment,
  secrets: Secrets,
  supervisor: Supervisor,
  steps: Steps,
): Promise<StartedServers> {
  const place = (embedded: { port: number } | null, url: string) =>
    embedded === null ? `at ${new URL(url).host}` : `on port ${embedded.port}`;
  let servers: StartedServers | null = null;
  await steps.run('servers', async () => {
    const [database, queue] = await Promise.all([
      startDatabase(home, env, secrets.databasePassword, supervisor, steps),
      startQueueServer(home, env, supervisor, steps),
    ]);
    servers = { ...database.urls, redisUrl: queue.redisUrl };
    return `Postgres ${place(database.embedded, servers.adminDatabaseUrl)}, Redis ${place(queue.embedded, queue.redisUrl)}`;
  });
  if (servers === null) throw new Error('expected the servers to be known after their step');
  return servers;
}

/** The password that the apps sign in with is set where they sign in as the login role. */
export async function migrateDatabase(servers: StartedServers): Promise<void> {
  const { username, password, pathname } = new URL(servers.databaseUrl);
  await migrate({
    adminUrl: inDatabase(servers.adminDatabaseUrl, 'postgres'),
    database: pathname.slice(1),
    ...(username === LOGIN_ROLE && password !== '' ? { loginPassword: decodeURIComponent(password) } : {}),
  });
}
