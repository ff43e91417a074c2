import { jobs } from '@nightshift/jobs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

describe('POST /api/v1/jobs/backup', () => {
  const DROP_IN = '/api/v1/jobs/backup';
  const config = (type: string, path = 'nightly') => ({ storage_config: { type, path } });
  const post = (as: Claims | null, json: object) => api.call('POST', DROP_IN, { as, json });
  const runs = async () => (await api.store.admin.query('SELECT count(*)::int AS n FROM ops.run_view')).rows[0]?.n;

  test.each<[string, Claims | 'ours', string, number]>([
    ['the platform’s admin', { role: 'admin' }, 'full', 202],
    ['the platform’s admin', { role: 'admin' }, 'incremental', 202],
    // The seed's body names no organisation: it is the token's.
    ['the platform’s admin', { role: 'admin' }, 'tenant', 403],
    ['the platform’s operator', { role: 'operator' }, 'full', 403],
    ['a service', { role: 'service' }, 'full', 403],
    ['an organisation’s admin', 'ours', 'tenant', 202],
    ['an organisation’s admin', 'ours', 'full', 403],
    ['an organisation’s admin', 'ours', 'incremental', 403],
  ])('%s, %o, makes %s: %i', async (_who, as, backup_type, status) => {
    const claims = as === 'ours' ? { role: 'admin', tenant: ours } : as;
    const before = await runs();
    const reply = await post(claims, { backup_type, ...config('local') });
    expect([reply.status, reply.body]).toEqual([status, expect.anything()]);
    expect(await runs()).toBe(status === 202 ? before + 1 : before);
    if (status !== 202) return;
    const run = (await api.call('GET', reply.body.url, { as: { role: 'admin' } })).body;
    expect(run).toMatchObject({ input: { backup_type, ...config('local') } });
    expect(run.tenantId === ours).toBe(backup_type === 'tenant');
  });

  test('an organisation’s operator and viewer are 403 for whatever type, and nobody’s is 401', async () => {
    for (const role of ['operator', 'viewer'])
      for (const backup_type of ['tenant', 'full'])
        expect((await post({ role, tenant: ours }, { backup_type, ...config('local') })).status).toBe(403);
    expect((await post(null, { backup_type: 'full', ...config('local') })).status).toBe(401);
  });

  test.each([
    ['storage_config.type ftp', config('ftp'), '/storage_config/type'],
    ['a path out of BACKUP_ROOT', config('local', '../outside'), '/storage_config/path'],
    ['one in its middle', config('local', 'nightly/../../outside'), '/storage_config/path'],
    ['an absolute path', config('local', '/etc'), '/storage_config/path'],
    ['a drive’s', config('local', 'c:\\outside'), '/storage_config/path'],
    ['another backup_type', { backup_type: 'differential', ...config('local') }, '/backup_type'],
    ['an unknown field', { ...config('local'), compress: true }, '/compress'],
  ])('%s is 400 before anybody is asked who they are, and nothing is begun', async (_name, json, pointer) => {
    const before = await runs();
    for (const as of [null, { role: 'admin' }])
      expect(await post(as, json)).toMatchObject({
        status: 400,
        body: { code: 'invalid-input', errors: [{ pointer }] },
      });
    expect(await runs()).toBe(before);
  });
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
