import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { RunStateError } from './errors.ts';
import { findRun } from './query/index.ts';
import { dispatchByHand, type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

// A short run is executed under the lock of its dispatch, to its end.

const job = tinyRequest('held', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });

let engine: TestEngine;
let worker: pg.Client;
let id: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  await engine.store.addTenant('tiny', 'one');
});
afterAll(() => engine.close());
beforeEach(async () => {
  ({ id } = await engine.producer.accept({ job: job.name, tenant: 'one', input: { n: 1 } }, 'test'));
  await dispatchByHand(engine.store.admin, [id]);
  worker = new pg.Client({ connectionString: engine.store.adminUrl });
  await worker.connect();
  await worker.query('BEGIN');
  await worker.query('SELECT 1 FROM ops.dispatches WHERE $1 = ANY (runs) FOR UPDATE', [id]);
});
afterEach(() => worker.end());

test.each([
  ['cancelled', () => engine.producer.cancel(id, 'ada', null)],
  ['put off', () => engine.producer.snooze(id, { forMs: 3_600_000 }, 'ada', null)],
])('a run that a worker executes at this moment is not %s, and whoever asks is told why', async (_how, ask) => {
  const told: unknown = await ask().catch((error: unknown) => error);
  expect(told).toBeInstanceOf(RunStateError);
  expect(String(told)).toContain('a worker executes it at this moment');
  await worker.query('ROLLBACK');
  // Given back without an end, it is to be had again.
  await ask();
  expect(['cancelled', 'scheduled']).toContain((await findRun(engine.producer.pools, id, null)).status);
});
