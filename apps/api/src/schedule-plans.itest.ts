import { type DefinedJob, defineJob } from '@nightshift/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { backFillSchema, previewSchema, scheduleSchema } from './routes/schemas.ts';
import { type TestApi, testApi } from './testing/test-api.ts';
import { tinyJobs } from './testing/tiny-jobs.ts';

const JOB = 'gym.commitment-scores';
/** A request has no dry run. */
const nudge = defineJob({
  kind: 'request',
  name: 'gym.nudge',
  title: 'Nudge',
  description: 'Does nothing.',
  scope: 'tenant',
  priority: 'LOW',
  schedule: { cron: '0 3 * * *', zone: 'UTC' },
  typicalMs: 1_000,
  maxMs: 10_000,
  input: z.strictObject({}),
  handle: async (_ctx, runs) => runs.map(() => ({ ok: {} })),
}) as unknown as DefinedJob;
const admin = { role: 'admin', sub: 'ada' };

let api: TestApi;
let harbour: string;
let iron: string;
let id: string;
beforeAll(async () => {
  api = await testApi({ jobs: [...tinyJobs, nudge] });
  iron = await api.store.addTenant('gym', 'iron-works');
  harbour = await api.store.addTenant('gym', 'harbour-fit', 'America/New_York');
  await api.producer.syncSchedules();
  id = (await api.call('GET', `/v1/schedules?job=${JOB}`)).body.items[0].id;
});
afterAll(() => api.close());

interface Ticks {
  readonly ticks: { dueAt: string; localTime: string; dst: string | null; tenants: number }[];
}

test('the ticks to come are told, with the days on which the clock changes', async () => {
  const plain = previewSchema.parse(
    (await api.call('GET', `/v1/schedules/${id}/preview`, { as: { role: 'viewer' } })).body,
  ) as Ticks;
  expect(plain.ticks).toHaveLength(20);
  expect(plain.ticks.every((tick) => tick.localTime.endsWith('T02:00:00') && tick.tenants === 2)).toBe(true);

  const patch = { cron: '30 2 * * *', zone: 'America/New_York', dst: 'skip' };
  const query = 'count=2&from=2027-03-13T12:00:00Z';
  const edited = await api.call('POST', `/v1/schedules/${id}/preview?${query}`, {
    as: { role: 'viewer' },
    json: patch,
  });
  const { ticks } = previewSchema.parse(edited.body) as Ticks;
  expect(ticks.map((tick) => [tick.dueAt, tick.dst, tick.tenants])).toEqual([
    ['2027-03-14T07:00:00.000Z', 'skipped-gap', 0],
    ['2027-03-15T06:30:00.000Z', null, 2],
  ]);
  expect((await api.call('GET', `/v1/schedules/${id}`)).body).toMatchObject({ cron: '0 2 * * *', version: 1 });
});

test.each([
  ['count=0', 400],
  ['count=1001', 400],
  ['from=yesterday', 400],
  ['from=9999-12-31T12:00:00Z', 422],
  ['from=0001-01-01T00:00:00Z', 422],
])('a preview with ?%s is %d', async (query, status) => {
  expect((await api.call('GET', `/v1/schedules/${id}/preview?${query}`)).status).toBe(status);
});

test('a preview of a patch that could not be applied names its field', async () => {
  const reply = await api.call('POST', `/v1/schedules/${id}/preview`, { json: { cron: '61 * * * *' } });
  expect(reply.body).toMatchObject({ status: 422, errors: [{ pointer: '/cron' }] });
});

test('a past range is told first, then filled once', async () => {
  const range = { from: '2026-05-02T00:00:00Z', to: '2026-05-04T00:00:00Z' };
  const path = `/v1/schedules/${id}/back-fill`;
  const told = await api.call('POST', path, { json: range });
  expect([told.status, backFillSchema.parse(told.body)]).toMatchObject([200, { dryRun: true, runs: 4 }]);
  const done = await api.call('POST', path, { json: { ...range, dryRun: false } });
  expect([done.status, backFillSchema.parse(done.body)]).toMatchObject([202, { dryRun: false, runs: 4 }]);
  const { items } = (await api.call('GET', `/v1/runs?trigger=${done.body.ticks[1].triggerId}`)).body;
  expect(items.map((run: { tickDate: string; status: string }) => [run.tickDate, run.status])).toEqual([
    ['2026-05-03', 'blocked'],
    ['2026-05-03', 'blocked'],
  ]);
  const again = await api.call('POST', path, { json: { ...range, dryRun: false } });
  expect(again.body.runs).toBe(0);
  expect(again.body.ticks[0].tenants[0].earlier).toBe(done.body.ticks[0].tenants[0].runId);
});

test('a tenant’s operator fills its own alone; a viewer fills nothing', async () => {
  const range = { from: '2026-06-02T00:00:00Z', to: '2026-06-03T00:00:00Z' };
  const own = await api.call('POST', `/v1/schedules/${id}/back-fill`, { as: { tenant: harbour }, json: range });
  expect(own.body.ticks[0].tenants.map((one: { tenant: string }) => one.tenant)).toEqual(['harbour-fit']);
  expect(
    (await api.call('POST', `/v1/schedules/${id}/back-fill`, { as: { role: 'viewer' }, json: range })).status,
  ).toBe(403);
});

test.each([
  ['the future', { from: '2026-05-02T00:00:00Z', to: '2999-05-04T00:00:00Z' }, '/to'],
  ['a range backwards', { from: '2026-05-02T00:00:00Z', to: '2026-05-01T00:00:00Z' }, '/to'],
  ['no range', {}, '/from'],
  ['antiquity', { from: '0001-01-01T00:00:00Z', to: '0002-01-01T00:00:00Z' }, '/from'],
  ['too many instants', { from: '2026-01-02T00:00:00Z', to: '2026-05-04T00:00:00Z', maxTicks: 5 }, '/to'],
])('a back-fill of %s is 422', async (_name, json, pointer) => {
  const reply = await api.call('POST', `/v1/schedules/${id}/back-fill`, { json });
  expect(reply.status).toBe(422);
  expect(reply.body.errors[0].pointer).toBe(pointer);
});

test('a tenant gives itself a schedule, which others do not see', async () => {
  const as = { tenant: harbour, role: 'operator', sub: 'olga' };
  const made = await api.call('POST', '/v1/schedules', {
    as,
    json: { job: JOB, cron: '15 5 * * *', overlap: 'queue' },
  });
  expect(made.status).toBe(201);
  const schedule = scheduleSchema.parse(made.body) as { id: string };
  expect(schedule).toMatchObject({ ownerTenant: harbour, zone: 'America/New_York', overlap: 'queue' });
  expect(made.headers.get('location')).toBe(`/v1/schedules/${schedule.id}`);
  const path = `/v1/schedules/${schedule.id}`;

  const seen = async (claims: object) =>
    (await api.call('GET', `/v1/schedules?job=${JOB}`, { as: claims })).body.items.map((one: { id: string }) => one.id);
  expect(await seen(as)).toEqual([id, schedule.id]);
  expect(await seen({})).toEqual([id, schedule.id]);
  expect(await seen({ tenant: iron })).toEqual([id]);
  for (const [method, part] of [['GET', ''], ['GET', '/ticks'], ['GET', '/preview'], ['POST', '/pause'], ['POST', '/trigger'], ['DELETE', '']] as const) {
    expect([part, (await api.call(method, `${path}${part}`, { as: { tenant: iron } })).status]).toEqual([part, 404]);
  } // biome-ignore format: a list

  expect((await api.call('GET', `/v1/schedules/${id}/preview`)).body.ticks[0].tenants).toBe(1);
  expect((await api.call('POST', `${path}/pause`, { as })).status).toBe(200);
  expect(
    (await api.call('PATCH', path, { as: { tenant: harbour, role: 'admin' }, json: { cron: '20 5 * * *' } })).body.cron,
  ).toBe('20 5 * * *');
  expect((await api.call('DELETE', path, { as })).status).toBe(204);
  expect((await api.call('GET', path)).status).toBe(404);
});

test('are read page by page', async () => {
  const all = (await api.call('GET', '/v1/schedules')).body;
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const reply: { items: { id: string }[]; nextCursor: string | null } = (
      await api.call('GET', `/v1/schedules?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`)
    ).body;
    seen.push(...reply.items.map((one) => one.id));
    cursor = reply.nextCursor;
  }
  expect(seen).toEqual(all.items.map((one: { id: string }) => one.id));
  expect(seen.length).toBeGreaterThan(2);
  expect((await api.call('GET', '/v1/schedules?cursor=nonsense')).status).toBe(400);
});

test.each([
  ['an unknown job', { job: 'gym.nothing', cron: '0 1 * * *', tenant: 'iron-works' }, '/job'],
  ['a job that needs an input', { job: 'gym.greet', cron: '0 1 * * *', tenant: 'iron-works' }, '/job'],
  ['no tenant', { job: JOB, cron: '0 1 * * *' }, '/tenant'],
  ['a bad cron', { job: JOB, cron: '0 25 * * *', tenant: 'iron-works' }, '/cron'],
  ['a selector', { job: JOB, cron: '0 1 * * *', tenant: 'iron-works', tenants: { all: true } }, '/tenants'],
])('an own schedule with %s is 422', async (_name, json, pointer) => {
  const reply = await api.call('POST', '/v1/schedules', { as: admin, json });
  expect([reply.status, reply.body.errors[0].pointer]).toEqual([422, pointer]);
});

test('options that the job refuses are 422, for a general schedule and for an own one', async () => {
  const json = { options: { dryRun: true } };
  const general = (await api.call('GET', '/v1/schedules?job=gym.nudge')).body.items[0].id;
  const own = { job: 'gym.nudge', cron: '0 1 * * *', tenant: 'iron-works' };
  for (const reply of [
    await api.call('PATCH', `/v1/schedules/${general}`, { as: admin, json }),
    await api.call('POST', '/v1/schedules', { as: admin, json: { ...own, ...json } }),
  ])
    expect([reply.status, reply.body.errors[0].pointer]).toEqual([422, '/options/dryRun']);
});

test('an own schedule that is given the times of another is 422', async () => {
  const make = async (cron: string): Promise<string> =>
    (await api.call('POST', '/v1/schedules', { as: admin, json: { job: JOB, cron, tenant: 'iron-works' } })).body.id;
  const [one, other] = [await make('1 1 * * *'), await make('2 1 * * *')];
  const reply = await api.call('PATCH', `/v1/schedules/${other}`, { as: admin, json: { cron: '1 1 * * *' } });
  expect([reply.status, reply.body.errors[0].pointer]).toEqual([422, '/cron']);
  for (const id of [one, other])
    expect((await api.call('DELETE', `/v1/schedules/${id}`, { as: admin })).status).toBe(204);
});

test('nobody makes one for another tenant, and a general one is not deleted', async () => {
  const json = { job: JOB, cron: '0 1 * * *', tenant: 'iron-works' };
  expect((await api.call('POST', '/v1/schedules', { as: { tenant: harbour }, json })).status).toBe(404);
  expect((await api.call('POST', '/v1/schedules', { as: { role: 'viewer' }, json })).status).toBe(403);
  expect((await api.call('DELETE', `/v1/schedules/${id}`, { as: admin })).body).toMatchObject({
    status: 409,
    code: 'declared-schedule',
  });
  expect((await api.call('DELETE', `/v1/schedules/${id}`, { as: { tenant: iron, role: 'admin' } })).status).toBe(403);
});

test('seconds are for the platform’s administrators', async () => {
  const json = { job: JOB, cron: '*/10 * * * * *', tenant: 'iron-works' };
  expect((await api.call('POST', '/v1/schedules', { as: { tenant: iron, role: 'admin' }, json })).status).toBe(422);
  expect((await api.call('POST', '/v1/schedules', { as: { role: 'operator' }, json })).status).toBe(422);
  const made = await api.call('POST', '/v1/schedules', { as: admin, json });
  expect(made.status).toBe(201);
  const path = `/v1/schedules/${made.body.id}`;
  const patched = await api.call('PATCH', path, {
    as: { tenant: iron, role: 'admin' },
    json: { cron: '*/20 * * * * *' },
  });
  expect(patched.status).toBe(422);
  expect((await api.call('PATCH', path, { as: admin, json: { cron: '*/20 * * * * *' } })).status).toBe(200);
  expect((await api.call('DELETE', path, { as: admin })).status).toBe(204);
});
