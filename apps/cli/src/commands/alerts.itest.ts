import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured } from '../testing/run-captured.ts';

let store: TestStore;
let env: Record<string, string>;
beforeAll(async () => {
  store = await testStore();
  env = { DATABASE_URL: store.databaseUrl, REDIS_URL: store.redisUrl, NIGHTSHIFT_NS: store.namespace };
  await store.admin.query(
    `INSERT INTO ops.alerts (id, key, severity, job, message) VALUES (gen_random_uuid(), 'failing:gym.coach-actions', 'CRITICAL', 'gym.coach-actions', 'it failed'),
       (gen_random_uuid(), 'coverage:gym.coach-actions', 'WARNING', 'gym.coach-actions', 'it met fewer')`,
  );
});
afterAll(() => store.close());

const nightshift = (...argv: string[]) => runCaptured(argv, env);

test('alerts are listed, acknowledged and resolved', async () => {
  const [alert] = (await nightshift('alerts', '--severity', 'CRITICAL', '--json')).json<{ id: string }[]>();
  const id = alert?.id ?? '';
  expect((await nightshift('alerts')).stdout).toMatch(/CRITICAL +open +1 .*it failed/);
  expect((await nightshift('alerts', 'acknowledge', id)).stdout).toMatch(/^acknowledged by cli:.*: it failed/);
  expect((await nightshift('alerts')).stdout).toMatch(/acknowledged by cli:/);
  expect((await nightshift('alerts', 'resolve', id)).stdout).toMatch(/^resolved by cli:.*: it failed/);
  expect((await nightshift('alerts', '--severity', 'CRITICAL')).stdout).toContain('No alerts.');
  expect((await nightshift('alerts', '--all', '--json')).json()).toHaveLength(2);
  expect(await nightshift('alerts', 'acknowledge', id)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/resolved/),
  });
});

test('an unknown alert is a wrong command line', async () => {
  const { exitCode, stderr } = await nightshift('alerts', 'resolve', 'nothing');
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining("There is no alert 'nothing'.")]);
});
