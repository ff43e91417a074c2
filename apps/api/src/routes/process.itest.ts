import { afterAll, beforeAll, expect, test } from 'vitest';
import { rawRequest } from '../testing/raw-request.ts';
import { type TestApi, testApi } from '../testing/test-api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await testApi();
  await api.store.addTenant('gym', 'iron-works');
});
afterAll(() => api.close());

test('metrics tell queues, and requests by pattern, never by address', async () => {
  const json = { tenant: 'iron-works', input: { name: 'Ann' } };
  const { body } = await api.call('POST', '/v1/jobs/gym.greet/runs', { json });
  await api.call('GET', `/v1/runs/${body.id}`);
  const { text, headers } = await api.call('GET', '/metrics', { as: null });
  expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(text).toContain('nightshift_queue_depth{queue="gym",priority="HIGH",state="waiting"} 1');
  expect(text).toContain('nightshift_http_requests_total{method="GET",route="/v1/runs/:id",status="200"} 1');
  expect(text).toContain('nightshift_store_up 1');
  expect(text).not.toContain(body.id);
});

test('with a token set, metrics need it', async () => {
  const guarded = await testApi({ store: api.store, env: { METRICS_TOKEN: 'metrics-token-of-the-tests' } });
  try {
    expect((await guarded.call('GET', '/metrics', { as: null })).status).toBe(401);
    expect((await guarded.call('GET', '/metrics', { bearer: 'metrics-token-of-the-testz' })).status).toBe(401);
    expect((await guarded.call('GET', '/metrics', { bearer: 'metrics-token-of-the-tests' })).status).toBe(200);
  } finally {
    await guarded.close();
  }
});

test('in production, metrics without a token are for this machine alone', async () => {
  const production = await testApi({
    store: api.store,
    env: { NODE_ENV: 'production', PUBLIC_URL: 'https://jobs.example.org' },
  });
  try {
    expect((await production.call('GET', '/metrics', { as: null })).status).toBe(200);
    const proxied = 'GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n';
    expect(await rawRequest(production.url, proxied)).toMatch(/^HTTP\/1.1 404 /);
  } finally {
    await production.close();
  }
});

test('ready means: Postgres has the schema of this build', async () => {
  const ready = await api.call('GET', '/readyz', { as: null });
  expect([ready.status, ready.body]).toEqual([
    200,
    {
      status: 'ready',
      postgres: 'ok',
      schema: { current: true, database: expect.any(String), build: ready.body.schema.database },
      redis: 'ok',
    },
  ]);
  await api.store.admin.query('UPDATE ops.migrations SET created_at = created_at + 1e12::bigint');
  const other = await api.call('GET', '/readyz', { as: null });
  expect([other.status, other.body.status, other.body.schema.current]).toEqual([503, 'not-ready', false]);
  expect(other.headers.get('cache-control')).toBe('no-store');
});
