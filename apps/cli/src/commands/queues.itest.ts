import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured } from '../testing/run-captured.ts';

let store: TestStore;
let env: Record<string, string>;
beforeAll(async () => {
  store = await testStore();
  env = { DATABASE_URL: store.databaseUrl, REDIS_URL: store.redisUrl, NIGHTSHIFT_NS: store.namespace };
  await store.addTenant('gym', 'iron-works');
});
afterAll(() => store.close());

const nightshift = (...argv: string[]) => runCaptured(argv, env);

test.each([
  ['queue', 'gym-long'],
  ['job', 'gym.coach-actions'],
  ['tenant', 'iron-works'],
])('pause and resume a %s', async (kind, name) => {
  const paused = await nightshift('pause', kind, name, '--reason', 'maintenance');
  expect(paused).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/is paused by cli:.*: maintenance\./) });
  expect((await nightshift('pauses', '--json')).json()).toMatchObject([{ kind, reason: 'maintenance' }]);
  expect((await nightshift('resume', kind, name)).stdout).toContain('starts runs again');
  expect((await nightshift('resume', kind, name)).stdout).toContain('was not paused');
  expect((await nightshift('pauses')).stdout).toContain('Nothing is paused.');
});

test('a run is explained, put off and explained again; queues are listed', async () => {
  const { id } = (await nightshift('run', 'gym.commitment-scores', '--tenant', 'iron-works', '--json')).json<{
    id: string;
  }>();
  expect((await nightshift('explain', id)).stdout).toContain("No live worker serves its queue 'gym-long'.");
  expect((await nightshift('runs', 'snooze', id, '--for', '90')).stdout).toContain('is put off until');
  expect((await nightshift('explain', id, '--json')).json()).toMatchObject({ reason: 'snoozed', status: 'scheduled' });
  expect((await nightshift('queues')).stdout).toMatch(/gym-long.*no worker/);
  expect((await nightshift('runs', 'retry-many', '--dry-run')).stdout).toContain('0 runs would be retried.');
});

test.each([
  [['pause', 'queue', 'gym-lnog'], "Did you mean 'gym-long'?"],
  [['pause', 'thing', 'x'], 'Allowed choices are queue, job, tenant'],
  [['explain', 'nothing'], "There is no run 'nothing'."],
  [['runs', 'snooze', 'nothing'], 'Give --until or --for.'],
  [['runs', 'retry-many', '--since', 'yesterday'], 'It must be like'],
])('%j is refused with a hint', async (argv, hint) => {
  const { exitCode, stderr } = await nightshift(...argv);
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining(hint)]);
});
