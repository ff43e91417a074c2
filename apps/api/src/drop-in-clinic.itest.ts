import { type DefinedJob, defineJob } from '@nightshift/engine';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { CRON_SECRET, type TestApi, testApi } from './testing/test-api.ts';
import { tinySweep } from './testing/tiny-jobs.ts';

const cron = { bearer: CRON_SECRET };
const VIEWS = [{ view: 'mv_status_counts', rows: 3, durationMs: 7 }];
const dashboard = defineJob({
  kind: 'task',
  name: 'clinic.refresh-dashboard',
  title: 'Dashboard',
  description: 'One view.',
  scope: 'system',
  priority: 'LOW',
  schedule: { cron: '0 */6 * * *', zone: 'UTC' },
  typicalMs: 1_000,
  maxMs: 10_000,
  input: z.strictObject({}),
  run: async () => ({ viewsRefreshed: 1, views: VIEWS }),
});
const jobs: readonly DefinedJob[] = [
  tinySweep('clinic.refresh-summaries', ['clientsProcessed', 'summariesUpdated']),
  tinySweep('clinic.generate-tasks', ['clientsProcessed', 'tasksCreated']),
  dashboard as unknown as DefinedJob,
];
let api: TestApi;

beforeAll(async () => {
  api = await testApi({ workers: 1, jobs });
  await api.store.addTenant('clinic', 'harbour-view');
  await api.store.addTenant('clinic', 'mukono-road');
});
afterAll(() => api.close());

test.each(['GET', 'POST'])('%s starts each job and answers with sums, as a hosted cron calls it', async (method) => {
  const summaries = await api.call(method, '/api/jobs/refresh-summaries', cron);
  expect([summaries.status, summaries.body]).toEqual([
    200,
    {
      success: true,
      job: 'clinic.refresh-summaries',
      clientsProcessed: 8,
      summariesUpdated: 8,
      errors: [],
      totalErrors: 0,
      duration: expect.any(Number),
      tenants: [
        { tenant: 'harbour-view', runId: expect.any(String), status: 'completed' },
        { tenant: 'mukono-road', runId: expect.any(String), status: 'completed' },
      ],
    },
  ]);
  const tasks = await api.call(method, '/api/jobs/generate-tasks', cron);
  expect(tasks.body).toMatchObject({ success: true, clientsProcessed: 8, tasksCreated: 8 });
  const views = await api.call(method, '/api/jobs/refresh-dashboard', cron);
  expect(views.body).toMatchObject({
    success: true,
    viewsRefreshed: 1,
    views: VIEWS,
    tenants: [{ status: 'completed' }],
  });
});

test.each(['GET', 'POST'])(
  '%s without the secret, or with a wrong one, is 401, from this machine too',
  async (method) => {
    expect((await api.call(method, '/api/jobs/generate-tasks', { as: null })).status).toBe(401);
    expect((await api.call(method, '/api/jobs/generate-tasks', { bearer: `${CRON_SECRET}!` })).status).toBe(401);
  },
);

test('other methods are 405, a body over 1 MB is 413', async () => {
  const reply = await api.call('DELETE', '/api/jobs/generate-tasks', cron);
  expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'GET, POST']);
  const large = await api.call('POST', '/api/jobs/generate-tasks', { ...cron, body: 'x'.repeat(1_048_577) });
  expect(large.status).toBe(413);
});

test.each(['GET', 'POST'])('%s with the same Idempotency-Key answers with the same runs', async (method) => {
  const call = (key: string) =>
    api.call(method, '/api/jobs/generate-tasks', { ...cron, headers: { 'Idempotency-Key': `${method}-${key}` } });
  const [first, again, other] = [await call('a'), await call('a'), await call('b')];
  expect(first).toMatchObject({ status: 200, body: { clientsProcessed: 8 } });
  expect(again.body).toEqual(first.body);
  expect(other.body.tenants).not.toEqual(first.body.tenants);
  expect((await call('not a key')).status).toBe(400);
});
