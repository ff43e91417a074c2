import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '../packages/db/src/index.ts';
import {
  identifyProcess,
  type PostgresServer,
  type RedisServer,
  removePostgresDirectory,
  startPostgres,
  startRedis,
  TEST_POSTGRES_SETTINGS,
} from '../packages/services/src/index.ts';

interface Servers {
  postgres: PostgresServer;
  redis: RedisServer;
  dir: string;
}

// Each vitest project loads this file into its own module graph; the servers are one for the whole process.
const shared = globalThis as { nightshiftTestServers?: { started: Promise<Servers>; users: number } };

const TEMPLATE = 'nightshift_template';
const LOGIN_PASSWORD = 'nightshift-test';
const PREFIX = 'nightshift-test-';

/** Directories of test runs that were killed. */
function removeAbandoned(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(/^nightshift-test-(\d+)-/.exec(name)?.[1]);
    if (!(pid > 0) || identifyProcess(pid) !== null) continue;
    removePostgresDirectory(join(tmpdir(), name, 'postgres'));
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}

async function startServers(): Promise<Servers> {
  removeAbandoned();
  const dir = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`));
  // The postgres user (when we are root) has to get in.
  chmodSync(dir, 0o755);
  const [postgres, redis] = await Promise.all([
    startPostgres({ dir: join(dir, 'postgres'), settings: TEST_POSTGRES_SETTINGS }),
    startRedis({ dir: join(dir, 'redis') }),
  ]);
  const servers = { postgres, redis, dir };
  try {
    await migrate({ adminUrl: postgres.adminUrl, database: TEMPLATE, loginPassword: LOGIN_PASSWORD });
  } catch (error) {
    // vitest calls no teardown of a setup that failed, and waits for what still runs.
    await removeServers(servers);
    throw error;
  }
  process.env.NIGHTSHIFT_TEST_ADMIN_URL = postgres.adminUrl;
  process.env.NIGHTSHIFT_TEST_REDIS_URL = redis.url;
  process.env.NIGHTSHIFT_TEST_TEMPLATE = TEMPLATE;
  process.env.NIGHTSHIFT_TEST_LOGIN_PASSWORD = LOGIN_PASSWORD;
  // The nightly backup is part of every night that a test runs.
  process.env.BACKUP_ROOT = join(dir, 'backups');
  process.env.ENCRYPTION_KEYS ??= `test:${randomBytes(32).toString('base64')}`;
  return servers;
}

async function removeServers({ postgres, redis, dir }: Servers): Promise<void> {
  await Promise.all([redis.remove(), postgres.remove()]);
  rmSync(dir, { recursive: true, force: true });
}

/** One Postgres and one Redis for all tests of this run, and a migrated template database to clone. */
export default async function setup(): Promise<() => Promise<void>> {
  shared.nightshiftTestServers ??= { started: startServers(), users: 0 };
  const servers = shared.nightshiftTestServers;
  servers.users += 1;
  const started = await servers.started;
  return async () => {
    servers.users -= 1;
    if (servers.users === 0) await removeServers(started);
  };
}
