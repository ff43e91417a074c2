import { afterAll, beforeAll, expect, test } from 'vitest';
import * as schemas from './routes/schemas.ts';
import { type TestApi, testApi, unknownId } from './testing/test-api.ts';

let api: TestApi;
let ironWorks: string;
let harbour: string;
beforeAll(async () => {
  api = await testApi({ workers: 1 });
  ironWorks = await api.store.addTenant('gym', 'iron-works');
  harbour = await api.store.addTenant('gym', 'harbour-fit');
});
afterAll(() => api.close());

async function start(tenant = 'iron-works'): Promise<string> {
  const reply = await api.call('POST', '/v1/jobs/gym.greet/runs', { json: { tenant, input: { name: 'Ann' } } });
  expect(reply.status).toBe(202);
  return reply.body.id;
}

const status = async (id: string) => (await api.call('GET', `/v1/runs/${id}`)).body.status;

test.each([
  ['queue', () => '/v1/queues/gym', 'gym'],
  ['job', () => '/v1/jobs/gym.greet', 'gym.greet'],
  ['tenant', () => `/v1/tenants/${ironWorks}`, null],
])('a paused %s starts nothing and loses nothing', async (kind, path, key) => {
  const json = { reason: 'wrong values' };
  const paused = await api.call('POST', `${path()}/pause`, { json, as: { sub: `ada-${kind}` } });
  expect(schemas.pauseSchema.parse(paused.body)).toMatchObject({
    kind,
    key: key ?? ironWorks,
    by: `ada-${kind}`,
    reason: 'wrong values',
  });
  const id = await start();
  const other = kind === 'tenant' ? await start('harbour-fit') : null;
  // Another tenant's run that was accepted later has ended, or two polls of the dispatcher have passed.
  const ended = await api.producer.waitFor([other ?? id], { timeoutMs: other === null ? 1_200 : 30_000 });
  expect(ended.has(id)).toBe(false);
  expect(await status(id)).toBe('queued');

  const again = await api.call('POST', `${path()}/pause`, { json: { reason: 'another' }, as: { sub: 'eve' } });
  expect(again.body).toEqual(paused.body);
  const all = schemas.pageSchema(schemas.pauseSchema).parse((await api.call('GET', '/v1/pauses')).body);
  expect(all).toMatchObject({ items: [{ kind, by: `ada-${kind}` }] });

  expect((await api.call('POST', `${path()}/resume`, { as: { sub: `ada-${kind}` } })).body).toEqual({ resumed: true });
  expect((await api.producer.waitFor([id], { timeoutMs: 30_000 })).get(id)).toBe('completed');
  expect((await api.call('POST', `${path()}/resume`)).body).toEqual({ resumed: false });
  const { items } = (await api.call('GET', `/v1/audit?actor=ada-${kind}`)).body;
  expect(items.map((event: { action: string }) => event.action)).toEqual([`${kind}.resumed`, `${kind}.paused`]);
});

test('queues tell what waits, who serves them and who paused them', async () => {
  await api.call('POST', '/v1/queues/gym-long/pause', { as: { sub: 'ada' } });
  const { body } = await api.call('POST', '/v1/jobs/gym.commitment-scores/runs', { json: { tenant: 'iron-works' } });
  const queues = (await api.call('GET', '/v1/queues', { as: { role: 'viewer' } })).body;
  schemas.pageSchema(schemas.queueSchema).parse(queues);
  const long = queues.items.find((one: { queue: string }) => one.queue === 'gym-long');
  expect(long).toMatchObject({ kind: 'long', waiting: 1, workers: 1, slots: 2, paused: { by: 'ada', reason: null } });
  expect(long.byPriority).toMatchObject([{ priority: 'MEDIUM', waiting: 1 }]);
  await api.call('POST', '/v1/queues/gym-long/resume');
  await api.producer.waitFor([body.id], { timeoutMs: 30_000 });
});

test.each([
  ['POST', '/v1/queues/gyn/pause', {}, 404],
  ['POST', '/v1/jobs/gym.nothing/pause', {}, 404],
  ['POST', `/v1/tenants/${unknownId()}/pause`, {}, 404],
  ['POST', '/v1/queues/gym/pause', { role: 'viewer' }, 403],
  ['POST', '/v1/queues/gym/resume', { role: 'service' }, 403],
])('%s %s as %j is refused', async (method, path, as, code) => {
  expect((await api.call(method, path, { as })).status).toBe(code);
  expect((await api.call('GET', '/v1/pauses')).body.items).toEqual([]);
});

test('a tenant’s operator may pause its own tenant, and nothing that is others’ too', async () => {
  const as = { tenant: harbour, sub: 'hana' };
  for (const path of ['/v1/queues/gym', '/v1/jobs/gym.greet', `/v1/tenants/${ironWorks}`])
    expect((await api.call('POST', `${path}/pause`, { as })).status).toBe(403);
  for (const path of ['/v1/queues', '/v1/pauses']) expect((await api.call('GET', path, { as })).status).toBe(403);
  expect((await api.call('POST', `/v1/tenants/${harbour}/pause`, { as })).status).toBe(200);
  expect((await api.call('POST', `/v1/tenants/${harbour}/resume`, { as })).body).toEqual({ resumed: true });
});
