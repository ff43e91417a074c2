import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  type PostgresServer,
  type PostgresStopMode,
  type RedisServer,
  startPostgres,
  startRedis,
  TEST_POSTGRES_SETTINGS,
} from '@nightshift/services';
import { Redis } from 'ioredis';
import { type NetworkProxy, startProxy } from './proxy.ts';

/** A Postgres that can be taken away and brought back, with the same data on the same port. */
export interface PostgresHandle {
  /** The superuser's, past the proxy. */
  readonly adminUrl: string;
  readonly proxy: NetworkProxy;
  stop(mode: PostgresStopMode): Promise<void>;
  start(): Promise<void>;
  remove(): Promise<void>;
}

export interface RedisHandle {
  /** Through the proxy: what the apps get. */
  readonly url: string;
  readonly proxy: NetworkProxy;
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** `keepFile: false` brings it back empty. */
  start(options: { keepFile: boolean }): Promise<void>;
  flushAll(): Promise<void>;
  /** Keys that it holds. */
  size(): Promise<number>;
  remove(): Promise<void>;
}

export async function startPostgresHandle(dir: string): Promise<PostgresHandle> {
  const start = () => startPostgres({ dir, settings: TEST_POSTGRES_SETTINGS });
  let server: PostgresServer = await start();
  const { port } = server;
  const proxy = await startProxy(port);
  return {
    adminUrl: server.adminUrl,
    proxy,
    stop: (mode) => server.stop(mode),
    async start() {
      server = await start();
      samePort('Postgres', port, server.port);
    },
    async remove() {
      await proxy.close();
      await server.remove();
    },
  };
}

export async function startRedisHandle(dir: string): Promise<RedisHandle> {
  let server: RedisServer = await startRedis({ dir });
  const { port, url: direct } = server;
  const proxy = await startProxy(port);
  const behind = new URL(direct);
  behind.port = String(proxy.port);
  return {
    url: behind.href,
    proxy,
    stop: () => server.stop(),
    kill: () => server.kill(),
    async start({ keepFile }) {
      if (!keepFile) rmSync(join(dir, 'data'), { recursive: true, force: true });
      server = await startRedis({ dir });
      samePort('Redis', port, server.port);
    },
    flushAll: () => ask(direct, async (redis) => void (await redis.flushall())),
    size: () => ask(direct, (redis) => redis.dbsize()),
    async remove() {
      await proxy.close();
      await server.remove();
    },
  };
}

/** Somebody took the port while the server was away: the apps could not find it again. */
function samePort(name: string, before: number, now: number): void {
  if (before !== now) throw new Error(`${name} came back on port ${now} instead of ${before}: run it again`);
}

async function ask<T>(url: string, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 1 });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}
