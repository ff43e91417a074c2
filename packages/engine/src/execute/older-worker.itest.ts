import { createPool, type Pool } from '@nightshift/db';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { findRun } from '../query/index.ts';
import { executeDeps } from '../testing/execute-deps.ts';
import { dispatchByHand, dispatchOf, type TestEngine, testEngine } from '../testing/index.ts';
import { tinyTask } from '../testing/tiny.ts';
import { executeLong } from './long.ts';

const older = tinyTask('task', { input: z.strictObject({ text: z.string() }), run: async () => ({ by: 'older' }) });
const newer = tinyTask('task', {
  input: z.strictObject({ name: z.string() }),
  inputVersion: 2,
  upgrade: (input) => ({ name: (input as { text: string }).text }),
  run: async () => ({ by: 'newer' }),
});

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let tenant: string;

beforeAll(async () => {
  engine = await testEngine({ jobs: [newer], workers: 0 });
  tenant = await engine.store.addTenant('tiny', 'a');
  const { databaseUrl: url } = engine.store;
  app = createPool({ url, role: 'ns_app', max: 2, name: 'test-app' });
  ops = createPool({ url, role: 'ns_ops', max: 2, name: 'test-ops' });
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

async function executedBy(job: typeof newer, run: string): Promise<void> {
  const id = await dispatchByHand(engine.store.admin, [run]);
  const dispatch = { id, queue: job.queue, runs: [run], job: job.name, tenantIds: [tenant], timeoutMs: 30_000 };
  await executeLong(executeDeps(engine, { app, ops }, [job]), dispatch, new Map());
}

describe('an older worker', () => {
  it('leaves a long run whose input is newer than its job to a newer worker, as it was', async () => {
    const { id } = await engine.producer.accept({ job: newer.name, tenant, input: { name: 'x' } }, 'test');
    await executedBy(older, id);
    const find = () => findRun(engine.producer.pools, id, null);
    expect(await find()).toMatchObject({ status: 'queued', attempts: 1, worker: null, errorClass: null });
    expect(await dispatchOf(engine.store.admin, id)).toBeNull();
    await executedBy(newer, id);
    expect(await find()).toMatchObject({ status: 'completed', attempts: 1, result: { by: 'newer' } });
  });
});
