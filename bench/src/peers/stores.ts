import type { Redis } from 'ioredis';
import type pg from 'pg';
import type { SystemName } from './system.ts';

/** Looks at and empties a system's store from outside, as the superuser. */
export interface Store {
  /** As if nothing had ever run. */
  reset(): Promise<void>;
  /** Jobs that have not ended: whether there are any. */
  isEmpty(): Promise<boolean>;
  /** How many jobs have not ended. */
  left(): Promise<number>;
  /** Tables that a fill has just filled are vacuumed and analyzed, as a fill over hours would have been. */
  settle(): Promise<void>;
}

/** The part of pg's client that a store needs. */
type Admin = Pick<pg.Pool, 'query'>;

/** What a fresh installation has in it. */
const KEPT_TABLES = ['tenants', 'broker', 'migrations'];

/** No triggers: history and the audit log refuse to be emptied. */
async function emptyOps(admin: pg.Pool): Promise<void> {
  const client = await admin.connect();
  try {
    await client.query(`SET session_replication_role = replica`);
    const { rows } = await client.query<{ name: string }>(
      `SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'ops'::regnamespace AND relkind IN ('r', 'p')
         AND NOT relispartition AND relname <> ALL ($1)`,
      [KEPT_TABLES],
    );
    await client.query(`TRUNCATE ${rows.map((row) => row.name).join(', ')}`);
    await client.query('UPDATE bench.rows SET n = 0 WHERE n <> 0');
    await client.query('RESET session_replication_role');
  } finally {
    client.release();
  }
}

async function count(admin: Admin, text: string): Promise<number> {
  const { rows } = await admin.query<{ n: number }>(text);
  return Number(rows[0]?.n ?? 0);
}

function postgresStore(admin: Admin, schema: string, table: string, open: string): Store {
  return {
    async reset() {
      await admin.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await admin.query('UPDATE bench.rows SET n = 0 WHERE n <> 0');
      await admin.query('VACUUM bench.rows');
    },
    isEmpty: async () =>
      (await count(admin, `SELECT count(*) AS n FROM (SELECT 1 FROM ${table} WHERE ${open} LIMIT 1) s`)) === 0,
    left: () => count(admin, `SELECT count(*) AS n FROM ${table} WHERE ${open}`),
    async settle() {
      await admin.query(`VACUUM (ANALYZE) ${table}`);
      await admin.query('CHECKPOINT');
    },
  };
}

function nightshiftStore(admin: pg.Pool, redis: Redis): Store {
  return {
    async reset() {
      await emptyOps(admin);
      await admin.query('VACUUM bench.rows');
      await emptyRedis(redis);
    },
    isEmpty: async () =>
      (await count(admin, 'SELECT count(*) AS n FROM (SELECT 1 FROM ops.open_runs LIMIT 1) s')) === 0,
    left: () => count(admin, 'SELECT count(*) AS n FROM ops.open_runs'),
    async settle() {
      await admin.query('VACUUM (ANALYZE) ops.open_runs, ops.audit_log, ops.runs, ops.payloads');
      await admin.query('CHECKPOINT');
    },
  };
}

/** Its file too: rewriting it in the middle of a round would cost one system and not the other. */
async function emptyRedis(redis: Redis): Promise<void> {
  await redis.flushall();
  await redis.bgrewriteaof().catch(() => undefined);
  while ((await redis.info('persistence')).includes('aof_rewrite_in_progress:1')) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function bullmqLeft(redis: Redis): Promise<number> {
  const [waiting, active] = await Promise.all([redis.llen('bull:bench:wait'), redis.llen('bull:bench:active')]);
  return waiting + active;
}

function bullmqStore(peers: Admin, redis: Redis): Store {
  return {
    async reset() {
      await peers.query('UPDATE bench.rows SET n = 0 WHERE n <> 0');
      await peers.query('VACUUM bench.rows');
      await emptyRedis(redis);
    },
    isEmpty: async () => (await bullmqLeft(redis)) === 0,
    left: () => bullmqLeft(redis),
    async settle() {
      await peers.query('CHECKPOINT');
    },
  };
}

export function createStore(system: SystemName, admin: { nightshift: pg.Pool; peers: pg.Pool; redis: Redis }): Store {
  switch (system) {
    case 'nightshift':
      return nightshiftStore(admin.nightshift, admin.redis);
    case 'bullmq':
      return bullmqStore(admin.peers, admin.redis);
    case 'bullmq-postgres':
      return postgresStore(admin.peers, 'bullmq', 'bullmq.job', `state NOT IN ('completed', 'failed')`);
    case 'pg-boss':
    case 'pg-boss-batch':
      return postgresStore(admin.peers, 'pgboss', 'pgboss.job', `name = 'bench' AND state < 'completed'`);
    case 'graphile-worker':
      return postgresStore(admin.peers, 'graphile_worker', 'graphile_worker._private_jobs', 'true');
    default:
      return system satisfies never;
  }
}
