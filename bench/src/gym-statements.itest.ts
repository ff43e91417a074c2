import { seedDemo } from '@nightshift/db/demo';
import { runJob, type TestEngine, testEngine } from '@nightshift/engine/testing';
import { jobs } from '@nightshift/jobs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FINGERPRINT, GYM_JOBS, UNDO } from './gym-measure.ts';
import { SINGLE_STATEMENTS } from './gym-statements.ts';

let engine: TestEngine;

beforeAll(async () => {
  engine = await testEngine({ jobs });
  await seedDemo({ adminUrl: engine.store.adminUrl, gyms: 1, members: 1_500, days: 200, seed: 11 });
});
afterAll(() => engine.close());

test('the rules said twice, in TypeScript and in one SQL statement, leave the same rows', async () => {
  const { admin } = engine.store;
  const { rows } = await admin.query<{ id: string; zone: string; slug: string }>(
    `SELECT id, zone, slug FROM ops.tenants WHERE system = 'gym'`,
  );
  const gym = rows[0];
  const effect = async (job: (typeof GYM_JOBS)[number]) =>
    (await admin.query<{ effect: string }>(FINGERPRINT[job])).rows[0]?.effect;
  for (const job of GYM_JOBS) {
    await admin.query(UNDO[job]);
    const untouched = await effect(job);
    await admin.query(SINGLE_STATEMENTS[job], [gym?.id, new Date(), gym?.zone]);
    const byStatement = await effect(job);
    expect(byStatement).not.toBe(untouched);
    await admin.query(UNDO[job]);
    await runJob(engine, { job, tenant: gym?.slug ?? '', input: {}, options: { batchSize: 200, batchDelayMs: 0 } });
    expect(await effect(job), job).toBe(byStatement);
  }
});
