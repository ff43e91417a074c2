import { jobs } from '@nightshift/jobs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Claims, type TestApi, testApi } from './testing/test-api.ts';

let api: TestApi;
let ours: string;

beforeAll(async () => {
  api = await testApi({ jobs });
  ours = await api.store.addTenant('medication', 'st-anne');
  await api.store.addTenant('medication', 'other');
  await api.producer.syncSchedules();
});
afterAll(() => api.close());

const PATH = '/v1/jobs/medication.backup/runs';
const start = (as: Claims, backup_type: string, tenant?: string) =>
  api.call('POST', PATH, { as, json: { input: { backup_type }, ...(tenant === undefined ? {} : { tenant }) } });

test.each<[string, Claims | 'ours', string, string | undefined, number]>([
  ['the platform’s admin', { role: 'admin' }, 'full', undefined, 202],
  ['the platform’s admin', { role: 'admin' }, 'incremental', undefined, 202],
  ['the platform’s admin', { role: 'admin' }, 'tenant', 'st-anne', 202],
  ['the platform’s admin, of nobody', { role: 'admin' }, 'tenant', undefined, 422],
  ['the platform’s admin, of a tenant, everything', { role: 'admin' }, 'full', 'st-anne', 422],
  ['the platform’s operator', { role: 'operator' }, 'full', undefined, 403],
  ['a service', { role: 'service' }, 'full', undefined, 403],
  ['an organisation’s admin', 'ours', 'tenant', undefined, 202],
  ['an organisation’s admin, by name', 'ours', 'tenant', 'st-anne', 202],
  ['an organisation’s admin, of another', 'ours', 'tenant', 'other', 404],
  ['an organisation’s admin', 'ours', 'full', undefined, 403],
  ['an organisation’s admin', 'ours', 'incremental', undefined, 403],
])('%s: %o may start %s of %s: %i', async (_who, as, type, tenant, status) => {
  const claims = as === 'ours' ? { role: 'admin', tenant: ours } : as;
  const reply = await start(claims, type, tenant);
  expect([reply.status, reply.body]).toEqual([status, expect.anything()]);
});

test('an organisation’s operator starts none, and every refusal leaves evidence', async () => {
  expect((await start({ role: 'operator', tenant: ours, sub: 'eve' }, 'tenant')).status).toBe(403);
  expect(await api.refusals(PATH)).toContainEqual({
    actor: expect.stringContaining('eve'),
    status: 403,
    code: 'forbidden',
  });
});

test('an organisation’s admin sees, cancels and retries its own backup, and no schedule of it', async () => {
  const as = { role: 'admin', tenant: ours };
  const { body } = await start(as, 'tenant');
  expect((await api.call('POST', `/v1/runs/${body.id}/cancel`, { as, json: {} })).status).toBe(200);
  expect((await api.call('POST', `/v1/runs/${body.id}/retry`, { as, json: {} })).status).toBe(202);
  const full = await start({ role: 'admin' }, 'full');
  expect((await api.call('POST', `/v1/runs/${full.body.id}/cancel`, { as, json: {} })).status).toBe(404);
  expect(
    (await api.call('POST', `/v1/runs/${body.id}/cancel`, { as: { role: 'operator', tenant: ours }, json: {} })).status,
  ).toBe(403);
});
