import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RunOptions } from './define-job.ts';
import { InvalidInputError } from './errors.ts';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

const echo = tinyRequest('echo', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [echo] });
  await engine.store.addTenant('tiny', 'a');
});
afterAll(() => engine.close());

const asked = { job: echo.name, tenant: 'a', input: {} };

it.each<[Partial<RunOptions>, string]>([
  [{ timeoutMs: 1_500.5 }, '/options/timeoutMs'],
  [{ timeoutMs: 3e9 }, '/options/timeoutMs'],
  [{ timeoutMs: Number.NaN }, '/options/timeoutMs'],
  [{ batchSize: 0 }, '/options/batchSize'],
  [{ retries: 1.5 }, '/options/retries'],
  [{ batchDelay: 5 } as Partial<RunOptions>, '/options/batchDelay'],
])('refuses the options %j, whichever way they come, and the queue goes on', async (options, pointer) => {
  const { producer } = engine;
  const ways = [
    () => producer.accept({ ...asked, options }, 'test'),
    () => producer.acceptMany([asked, { ...asked, options }], 'test'),
    () => producer.start({ kind: 'manual', job: echo.name, tenants: ['a'], input: {}, options }, 'test'),
  ];
  for (const way of ways) {
    const refused: unknown = await way().catch((error) => error);
    expect(refused).toBeInstanceOf(InvalidInputError);
    expect(refused).toMatchObject({ problems: [expect.objectContaining({ pointer })] });
  }
  expect((await engine.store.admin.query('SELECT FROM ops.open_runs')).rowCount).toBe(0);
  expect(await runJob(engine, asked)).toMatchObject({ status: 'completed' });
});
