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

const admin = { role: 'admin', sub: 'ada' };
const SETTINGS = '/v1/jobs/gym.greet/settings';

test('settings of a job and of one tenant’s runs of it are merged, shown and audited', async () => {
  const json = { options: { timeoutMs: 5_000, batchSize: 7 }, limits: { concurrency: 3, perTenantConcurrency: 1 } };
  expect((await api.call('PATCH', SETTINGS, { json, as: admin })).status).toBe(200);
  await api.call('PATCH', SETTINGS, { json: { options: { batchSize: null }, limits: { perMinute: 60 } }, as: admin });
  const own = { tenant: 'harbour-fit', limits: { concurrency: 2 } };
  const { body } = await api.call('PATCH', SETTINGS, { json: own, as: admin });
  expect(schemas.jobDetailSchema.parse(body).settings).toMatchObject([
    {
      tenant: null,
      options: { timeoutMs: 5_000 },
      limits: { concurrency: 3, perTenantConcurrency: 1, perMinute: 60 },
      updatedBy: 'ada',
    },
    { tenant: 'harbour-fit', tenantId: harbour, options: {}, limits: { concurrency: 2 } },
  ]);
  const { items } = (await api.call('GET', '/v1/audit?actor=ada&action=job.settings_changed')).body;
  expect(items).toHaveLength(3);
  const seen = (await api.call('GET', '/v1/jobs/gym.greet', { as: { role: 'viewer', tenant: harbour } })).body;
  expect(seen.settings).toMatchObject([{ tenant: 'harbour-fit' }]);
});

test('options of a job are those of runs accepted from then on', async () => {
  await api.call('PATCH', SETTINGS, { json: { options: { timeoutMs: 12_345 } }, as: admin });
  await expect
    .poll(
      async () => {
        const json = { tenant: 'iron-works', input: { name: 'Ann' } };
        const { body } = await api.call('POST', '/v1/jobs/gym.greet/runs', { json });
        return (await api.call('GET', `/v1/runs/${body.id}`)).body.options.timeoutMs;
      },
      { timeout: 10_000 },
    )
    .toBe(12_345);
});

test('limits of a tenant', async () => {
  const path = `/v1/tenants/${ironWorks}`;
  await api.call('PATCH', path, { json: { limits: { concurrency: 5, perMinute: 9 } }, as: admin });
  const { body } = await api.call('PATCH', path, { json: { limits: { perMinute: null } }, as: admin });
  expect(schemas.tenantDetailSchema.parse(body)).toMatchObject({
    slug: 'iron-works',
    limits: { concurrency: 5 },
    paused: null,
  });
  expect(body.limits).toEqual({ concurrency: 5 });
  expect((await api.call('GET', path, { as: { role: 'viewer', tenant: ironWorks } })).body).toEqual(body);
  expect((await api.call('GET', path, { as: { role: 'viewer', tenant: harbour } })).status).toBe(404);
});

test.each([
  [SETTINGS, {}, admin, 422],
  [SETTINGS, { limits: { concurrency: 0 } }, admin, 422],
  [SETTINGS, { limits: { concurency: 1 } }, admin, 422],
  [SETTINGS, { options: { dryRun: true } }, admin, 422],
  [SETTINGS, { tenant: 'iron-works', limits: { perTenantConcurrency: 1 } }, admin, 422],
  [SETTINGS, { tenant: 'nowhere', limits: { concurrency: 1 } }, admin, 404],
  ['/v1/jobs/gym.nothing/settings', { limits: { concurrency: 1 } }, admin, 404],
  [SETTINGS, { limits: { concurrency: 1 } }, { role: 'operator' }, 403],
  [`/v1/tenants/${unknownId()}`, { limits: { concurrency: 1 } }, admin, 404],
  [`/v1/tenants/${unknownId()}`, { limits: { concurrency: 1.5 } }, admin, 422],
  [`/v1/tenants/${unknownId()}`, { limits: {} }, { role: 'operator' }, 403],
])('PATCH %s with %j as %j is refused', async (path, json, as, status) => {
  expect((await api.call('PATCH', path, { json, as })).status).toBe(status);
});

test('a tenant’s admin changes neither', async () => {
  const as = { role: 'admin', tenant: ironWorks };
  const json = { limits: { concurrency: 9 } };
  expect((await api.call('PATCH', SETTINGS, { json, as })).status).toBe(403);
  expect((await api.call('PATCH', `/v1/tenants/${ironWorks}`, { json, as })).status).toBe(403);
});
