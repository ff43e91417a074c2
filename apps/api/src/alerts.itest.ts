import { until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as schemas from './routes/schemas.ts';
import { type TestApi, testApi, unknownId } from './testing/test-api.ts';

let api: TestApi;
let ironWorks: string;
let harbour: string;

beforeAll(async () => {
  api = await testApi();
  ironWorks = await api.store.addTenant('gym', 'iron-works');
  harbour = await api.store.addTenant('gym', 'harbour-fit');
});
afterAll(() => api.close());

async function raised(key: string, tenantId?: string): Promise<string> {
  const message = `condition ${key}`;
  await api.producer.alerts.raise({ key, severity: 'WARNING', message, ...(tenantId ? { tenantId } : {}) });
  const { rows } = await api.store.admin.query(`SELECT id FROM ops.alerts WHERE key = $1 AND state = 'open'`, [key]);
  return rows[0]?.id;
}

test('an alert is read, acknowledged and resolved by who may', async () => {
  const id = await raised('test:one', ironWorks);
  const path = `/v1/alerts/${id}`;
  const alert = schemas.alertSchema.parse((await api.call('GET', path, { as: { role: 'viewer' } })).body);
  expect(alert).toMatchObject({ key: 'test:one', state: 'open', count: 1, acknowledgedBy: null });
  expect((await api.call('POST', `${path}/acknowledge`, { as: { role: 'viewer' } })).status).toBe(403);
  expect((await api.call('POST', `${path}/acknowledge`, { as: { sub: 'ada', tenant: ironWorks } })).body).toMatchObject(
    {
      state: 'acknowledged',
      acknowledgedBy: 'ada',
    },
  );
  expect((await api.call('GET', '/v1/alerts?state=acknowledged&severity=WARNING')).body.items).toMatchObject([{ id }]);
  expect((await api.call('POST', `${path}/resolve`, { as: { sub: 'bob' }, json: {} })).body).toMatchObject({
    state: 'resolved',
    resolvedBy: 'bob',
  });
  const late = await api.call('POST', `${path}/acknowledge`);
  expect([late.status, late.body.code]).toEqual([409, 'alert-state']);
});

test("another tenant's alert and the platform's are not there", async () => {
  const theirs = await raised('test:theirs', ironWorks);
  const platform = await raised('test:platform');
  const as = { tenant: harbour, role: 'admin' };
  for (const id of [theirs, platform, unknownId()]) {
    for (const [method, part] of [
      ['GET', ''],
      ['POST', '/acknowledge'],
      ['POST', '/resolve'],
    ] as const) {
      const reply = await api.call(method, `/v1/alerts/${id}${part}`, { as });
      expect([id, part, reply.status, reply.body.code]).toEqual([id, part, 404, 'unknown-alert']);
    }
  }
  expect((await api.call('GET', '/v1/alerts', { as })).body.items).toEqual([]);
});

test('a request that fails here raises one alert a route, counted, without what the caller sent', async () => {
  await api.store.admin.query('ALTER TABLE ops.tenants RENAME COLUMN slug TO gone');
  try {
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => api.call('GET', '/v1/tenants?system=secret-of-the-caller')),
    );
    expect(replies.map((reply) => reply.status)).toEqual(replies.map(() => 500));
  } finally {
    await api.store.admin.query('ALTER TABLE ops.tenants RENAME COLUMN gone TO slug');
  }
  const alert = await until('all ten to be counted', async () => {
    const { items } = (await api.call('GET', '/v1/alerts?severity=CRITICAL')).body;
    return items[0]?.count === 10 ? items[0] : null;
  });
  expect(alert).toMatchObject({ key: 'http-500:GET /v1/tenants', tenantId: null });
  expect(alert.message).toMatch(/^GET \/v1\/tenants answered 500 \(.+\); request \S+ is in the log\.$/);
  expect(JSON.stringify(alert)).not.toContain('secret-of-the-caller');
});

test('what is refused raises none', async () => {
  const count = async () => (await api.store.admin.query('SELECT count(*)::int AS n FROM ops.alerts')).rows[0]?.n;
  const before = await count();
  await api.call('GET', '/v1/nothing');
  await api.call('GET', '/v1/tenants', { as: null });
  await api.call('POST', '/v1/jobs/gym.greet/runs', { json: { tenant: 'iron-works', input: {} } });
  expect(await count()).toBe(before);
});

test('generated tasks are a counter that is the same after a restart', async () => {
  await api.store.admin.query(
    `INSERT INTO ops.task_counts VALUES ($1, 'a.b', 'LABS_PENDING', 3), ($2, 'a.b', 'LABS_PENDING', 4), ($2, 'a.c', 'VL_MONITOR', 1)`,
    [ironWorks, harbour],
  );
  const second = await testApi({ store: api.store });
  for (const one of [api, second]) {
    const { text } = await one.call('GET', '/metrics', { as: null });
    expect(text).toContain('# TYPE nightshift_tasks_generated_total counter');
    expect(text).toContain('nightshift_tasks_generated_total{type="LABS_PENDING"} 7');
    expect(text).toContain('nightshift_tasks_generated_total{type="VL_MONITOR"} 1');
  }
  await second.close();
});
