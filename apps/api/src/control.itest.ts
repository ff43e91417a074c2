import { afterAll, beforeAll, expect, test } from 'vitest';
import * as schemas from './routes/schemas.ts';
import { type TestApi, testApi } from './testing/test-api.ts';

let api: TestApi;
let harbour: string;
beforeAll(async () => {
  api = await testApi({ workers: 1 });
  await api.store.addTenant('gym', 'iron-works');
  harbour = await api.store.addTenant('gym', 'harbour-fit');
  await api.store.addTenant('gym', 'ruined');
});
afterAll(() => api.close());

async function waiting(): Promise<string> {
  const dueAt = new Date(Date.now() + 3_600_000).toISOString();
  const json = { tenant: 'iron-works', input: { name: 'Ann' }, dueAt };
  return (await api.call('POST', '/v1/jobs/gym.greet/runs', { json })).body.id;
}

test('a waiting run is put off and explained', async () => {
  const id = await waiting();
  const until = new Date(Date.now() + 86_400_000).toISOString();
  const reply = await api.call('POST', `/v1/runs/${id}/snooze`, { json: { until }, as: { sub: 'ada' } });
  expect(schemas.runDetailSchema.parse(reply.body)).toMatchObject({ status: 'scheduled', dueAt: until });
  const told = await api.call('GET', `/v1/runs/${id}/explain`, { as: { role: 'viewer' } });
  expect(schemas.explanationSchema.parse(told.body)).toMatchObject({
    reason: 'snoozed',
    sentence: expect.stringContaining('ada put it off until'),
  });
});

test.each([
  [{}, 422],
  [{ forMs: 0 }, 422],
  [{ forMs: 31 * 86_400_000 }, 422],
  [{ until: '2020-01-01T00:00:00Z' }, 422],
  [{ until: '2099-01-01T00:00:00Z' }, 422],
  [{ forMs: 1, until: '2026-12-01T00:00:00Z' }, 422],
])('snoozing with %j is refused', async (json, status) => {
  expect((await api.call('POST', `/v1/runs/${await waiting()}/snooze`, { json })).status).toBe(status);
});

test.each([
  [{}, '', '`until` or `forMs` is required'],
  [{ forMs: 1, until: '2026-12-01T00:00:00Z' }, '', 'give `until` or `forMs`, not both'],
  [{ forMs: 'soon' }, '/forMs', expect.any(String)],
  [{ until: 'tomorrow' }, '/until', expect.any(String)],
  [{ for: 1 }, '/for', 'is not a known field'],
  [{ for: 1 }, '', '`until` or `forMs` is required'],
])('snoozing with %j names %j and says what is wrong', async (json, pointer, detail) => {
  const { body } = await api.call('POST', `/v1/runs/${await waiting()}/snooze`, { json });
  expect(body.errors).toContainEqual({ pointer, code: expect.any(String), detail });
});

test('a waiting run is put off by so many ms', async () => {
  const reply = await api.call('POST', `/v1/runs/${await waiting()}/snooze`, { json: { forMs: 3_600_000 } });
  expect([reply.status, reply.body.status]).toEqual([200, 'scheduled']);
});

test('a viewer puts nothing off, and nobody another tenant’s run', async () => {
  const path = `/v1/runs/${await waiting()}/snooze`;
  const json = { forMs: 1_000 };
  expect((await api.call('POST', path, { json, as: { role: 'viewer' } })).status).toBe(403);
  expect((await api.call('POST', path, { json, as: { tenant: harbour } })).status).toBe(404);
});

test('failed runs are retried together, once', async () => {
  const { body } = await api.call('POST', '/v1/jobs/gym.commitment-scores/runs', { json: { tenant: 'ruined' } });
  await api.producer.waitFor([body.id], { timeoutMs: 30_000 });
  const filter = { status: 'failed', job: 'gym.commitment-scores' };
  const dry = await api.call('POST', '/v1/runs/retry', { json: { ...filter, dryRun: true } });
  expect([dry.status, schemas.retriedSchema.parse(dry.body)]).toMatchObject([
    200,
    { count: 1, runs: [{ id: body.id }] },
  ]);
  const mine = { as: { tenant: harbour } };
  expect((await api.call('POST', '/v1/runs/retry', { json: filter, ...mine })).body.count).toBe(0);
  const reply = await api.call('POST', '/v1/runs/retry', { json: filter });
  expect([reply.status, reply.body.count]).toEqual([202, 1]);
  const { retryId } = reply.body.runs[0];
  expect((await api.call('GET', `/v1/runs/${retryId}`)).body.retryOf).toBe(body.id);
  expect(
    (await api.call('POST', '/v1/runs/retry', { json: filter })).body.runs.map((run: { id: string }) => run.id),
  ).not.toContain(body.id);
});

test.each([
  [{ status: 'completed' }, 422],
  [{ status: 'failed', limit: 1_001 }, 422],
  [{ status: 'failed', job: 'gym.nothing' }, 404],
])('retrying by %j is refused', async (json, status) => {
  expect((await api.call('POST', '/v1/runs/retry', { json })).status).toBe(status);
});
