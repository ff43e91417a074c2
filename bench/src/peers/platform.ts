import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseUrl, migrate } from '@nightshift/db';
import { startPostgres, startRedis } from '@nightshift/services';
import { Redis } from 'ioredis';
import pg from 'pg';
import { cpuOf, cpuWithChildren } from './cpu.ts';
import { createStore, type Store } from './stores.ts';
import type { SystemName, Target } from './system.ts';

/** Like a small server's, and durable: an answer means that the disk has it. */
export const POSTGRES_SETTINGS = {
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  fsync: 'on',
  synchronous_commit: 'on',
};
export const REDIS_SETTINGS = { appendonly: 'yes', appendfsync: 'everysec', 'auto-aof-rewrite-percentage': 0 };

/** Servers of the benchmark's own, on loopback, in a directory that goes with them. */
export interface Platform {
  readonly nightshiftAdmin: pg.Pool;
  readonly peersAdmin: pg.Pool;
  readonly redis: Redis;
  readonly versions: { readonly postgres: string; readonly redis: string };
  readonly tenants: readonly string[];
  target(system: SystemName): Target;
  store(system: SystemName): Store;
  redisCpu(): number;
  postgresCpu(): number;
  stop(): Promise<void>;
}

const ROWS_TABLE = 'n integer NOT NULL DEFAULT 0, touched_at timestamptz';

/** The table of the useful job, with the row-level security that every business table has. */
async function prepareNightshift(admin: pg.Pool, tenants: readonly string[], rows: number): Promise<void> {
  await admin.query(
    `INSERT INTO ops.tenants (id, system, slug, name) SELECT id, 'bench', 'tenant-' || n, 'Tenant ' || n FROM unnest($1::uuid[]) WITH ORDINALITY AS t(id, n)`,
    [tenants],
  );
  await admin.query(`
    CREATE SCHEMA bench;
    GRANT USAGE ON SCHEMA bench TO ns_app;
    CREATE TABLE bench.rows (tenant_id uuid NOT NULL, id integer NOT NULL, ${ROWS_TABLE}, PRIMARY KEY (tenant_id, id));
    ALTER TABLE bench.rows ENABLE ROW LEVEL SECURITY;
    ALTER TABLE bench.rows FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON bench.rows TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))
      WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]));
    GRANT SELECT, UPDATE ON bench.rows TO ns_app`);
  await admin.query(
    'INSERT INTO bench.rows (tenant_id, id) SELECT ($1::uuid[])[1 + i % 10], i FROM generate_series(0, $2::integer - 1) AS i',
    [tenants.slice(0, 10), rows],
  );
  await admin.query('VACUUM (ANALYZE) bench.rows, ops.tenants');
}

async function preparePeers(rootUrl: string, rows: number): Promise<pg.Pool> {
  const root = new pg.Client({ connectionString: rootUrl });
  await root.connect();
  await root.query('CREATE DATABASE peers');
  await root.end();
  const admin = pool(databaseUrl(rootUrl, 'peers'));
  await admin.query(`CREATE SCHEMA bench; CREATE TABLE bench.rows (id integer PRIMARY KEY, ${ROWS_TABLE})`);
  await admin.query('INSERT INTO bench.rows (id) SELECT generate_series(0, $1::integer - 1)', [rows]);
  await admin.query('VACUUM (ANALYZE) bench.rows');
  return admin;
}

function pool(connectionString: string): pg.Pool {
  const made = new pg.Pool({ connectionString, max: 3 });
  made.on('error', () => undefined);
  return made;
}

/** `rows`: of the useful job's table; `tenants`: as many, made in ascending order of id. */
export async function startPlatform(options: { rows: number; tenants: number }): Promise<Platform> {
  const dir = mkdtempSync(join(tmpdir(), 'nightshift-peers-'));
  // As root, Postgres runs as another user who has to get in.
  chmodSync(dir, 0o755);
  const [postgres, redisServer] = await Promise.all([
    startPostgres({ dir: join(dir, 'postgres'), settings: POSTGRES_SETTINGS }),
    startRedis({ dir: join(dir, 'redis'), settings: REDIS_SETTINGS }),
  ]);
  const password = randomBytes(24).toString('hex');
  await migrate({ adminUrl: postgres.adminUrl, database: 'nightshift', loginPassword: password });
  const nightshiftUrl = databaseUrl(postgres.adminUrl, 'nightshift');
  const tenants = Array.from({ length: options.tenants }, () => randomUUID()).sort();
  const nightshiftAdmin = pool(nightshiftUrl);
  await prepareNightshift(nightshiftAdmin, tenants, options.rows);
  const peersAdmin = await preparePeers(postgres.adminUrl, options.rows);
  const serving = new URL(nightshiftUrl);
  serving.username = 'nightshift';
  serving.password = password;
  const redis = new Redis(redisServer.url);
  const server = await redis.info('server');
  const version = await nightshiftAdmin.query<{ v: string }>(`SELECT current_setting('server_version') AS v`);
  return {
    nightshiftAdmin,
    peersAdmin,
    redis,
    tenants,
    versions: { postgres: version.rows[0]?.v ?? '', redis: /redis_version:(\S+)/.exec(server)?.[1] ?? '' },
    target: (system) => ({
      databaseUrl: system === 'nightshift' ? serving.href : databaseUrl(postgres.adminUrl, 'peers'),
      redisUrl: redisServer.url,
      tenants,
    }),
    store: (system) => createStore(system, { nightshift: nightshiftAdmin, peers: peersAdmin, redis }),
    redisCpu: () => cpuOf(redisServer.pid),
    postgresCpu: () => cpuWithChildren(postgres.pid),
    async stop() {
      redis.disconnect();
      await Promise.all([nightshiftAdmin.end(), peersAdmin.end()]);
      await Promise.all([redisServer.remove(), postgres.remove()]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
