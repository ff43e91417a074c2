import { mkdtempSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseUrl, migrate } from '@nightshift/db';
import { type TestStore, testStore, until } from '@nightshift/engine/testing';
import { startPostgres, startRedis, TEST_POSTGRES_SETTINGS } from '@nightshift/services';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CRON_SECRET, type Reply, type TestApi, testApi } from './testing/test-api.ts';

const START = '/v1/jobs/ops.canary/runs';
const canary = { as: { role: 'admin' }, json: { input: { echo: 'hi' } } };

let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'nightshift-outage-'));
  await chmod(dir, 0o755);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function expectUnavailable(reply: Reply): void {
  expect({ status: reply.status, text: reply.text }).toMatchObject({ status: 503 });
  expect(reply.body.code).toBe('store-unavailable');
  expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(reply.text).not.toMatch(/127\.0\.0\.1|ECONN|nightshift_/);
}

/** Every way in: accepting, starting, reading. */
async function expectAllUnavailable(api: TestApi): Promise<void> {
  const reads = [
    '/v1/runs',
    '/v1/runs/0192f1c0-0000-7000-8000-00000000000a',
    '/v1/schedules',
    '/v1/audit',
    '/v1/tenants',
  ];
  const refused = await Promise.all([
    api.call('POST', START, canary),
    api.call('POST', '/api/cron/commitment-scores', { bearer: CRON_SECRET }),
    ...reads.map((path) => api.call('GET', path)),
  ]);
  for (const reply of refused) expectUnavailable(reply);
  const [ready, health, stranger, metrics] = await Promise.all([
    api.call('GET', '/readyz'),
    api.call('GET', '/healthz'),
    api.call('GET', '/v1/runs', { as: null }),
    api.call('GET', '/metrics'),
  ]);
  expect([ready.status, ready.body.status, ready.body.postgres]).toEqual([503, 'not-ready', 'down']);
  expect([health.status, stranger.status]).toEqual([200, 401]);
  expect(metrics.text).toContain('nightshift_store_up 0');
}

describe('Postgres is away', () => {
  test('503 with Retry-After, and nothing accepted by halves; back again without a restart', async () => {
    const data = join(dir, 'postgres');
    const settings = TEST_POSTGRES_SETTINGS;
    let postgres = await startPostgres({ dir: data, settings, log: () => undefined });
    await migrate({ adminUrl: postgres.adminUrl, database: 'nightshift', loginPassword: 'of-the-test' });
    const shared = await testStore();
    const login = new URL(databaseUrl(postgres.adminUrl, 'nightshift'));
    login.username = 'nightshift';
    login.password = 'of-the-test';
    const api = await testApi({ store: { ...shared, databaseUrl: login.href } });
    try {
      const accepted = await api.call('POST', START, canary);
      expect(accepted.status).toBe(202);
      await postgres.stop('immediate');
      await expectAllUnavailable(api);
      postgres = await startPostgres({ dir: data, settings, port: postgres.port, log: () => undefined });
      const again = await until('the next run is accepted', async () => {
        const reply = await api.call('POST', START, canary);
        return reply.status === 202 ? reply : null;
      });
      const { items } = (await api.call('GET', '/v1/runs')).body;
      expect(items.map((run: { id: string }) => run.id)).toEqual([again.body.id, accepted.body.id]);
    } finally {
      await api.close();
      await shared.close();
      await postgres.remove();
    }
  });

  test('the same when it takes connections and never answers', async () => {
    const sockets = new Set<Socket>();
    const silent: Server = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const shared = await testStore();
    const api = await testApi({
      store: { ...shared, databaseUrl: `postgres://nightshift:x@127.0.0.1:${port}/nightshift` },
    });
    try {
      await expectAllUnavailable(api);
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
      await api.close();
      await shared.close();
    }
  });
});

describe('Redis is away', () => {
  test('runs are accepted all the same, the board says so, and work goes on when it is back', async () => {
    const data = join(dir, 'redis');
    let redis = await startRedis({ dir: data });
    const own = await testStore();
    const store: TestStore = { ...own, redisUrl: redis.url };
    const api = await testApi({ store, workers: 1 });
    const html = { as: { role: 'viewer' }, headers: { Accept: 'text/html' } };
    const board = () => api.call('GET', '/admin/queues/api/queues', { as: { role: 'viewer' } });
    try {
      expect((await board()).status).toBe(200);
      await redis.kill();
      const accepted = await api.call('POST', START, canary);
      expect({ status: accepted.status, text: accepted.text }).toMatchObject({ status: 202 });
      expect((await api.call('GET', `/v1/runs/${accepted.body.id}`)).body.status).toBe('queued');
      const ready = await api.call('GET', '/readyz');
      expect([ready.status, ready.body.status, ready.body.redis]).toEqual([200, 'ready', 'down']);
      const page = await api.call('GET', '/admin/queues', html);
      expect([page.status, page.text.includes('Redis does not answer')]).toEqual([503, true]);
      expect((await board()).body).toMatchObject({ status: 503, code: 'redis-away' });
      redis = await startRedis({ dir: data, port: redis.port });
      const ended = await api.producer.waitFor([accepted.body.id], { timeoutMs: 45_000 });
      expect(ended.get(accepted.body.id)).toBe('completed');
      await until('the board shows queues again', async () => (await board()).status === 200);
    } finally {
      await api.close();
      await own.close();
      await redis.remove();
    }
  });

  test('from the start: the API comes up, accepts, and the board says so', async () => {
    const own = await testStore();
    const api = await testApi({ store: { ...own, redisUrl: 'redis://127.0.0.1:1' } });
    try {
      expect((await api.call('POST', START, canary)).status).toBe(202);
      expect((await api.call('GET', '/readyz')).body).toMatchObject({ status: 'ready', redis: 'down' });
      expect(
        (await api.call('GET', '/admin/queues', { as: { role: 'viewer' }, headers: { Accept: 'text/html' } })).status,
      ).toBe(503);
      const waited = await api.call('POST', START, { ...canary, headers: { Prefer: 'wait=1' } });
      expect(waited.status).toBe(202);
    } finally {
      await api.close();
      await own.close();
    }
  });
});
