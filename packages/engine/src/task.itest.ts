import { afterAll, beforeAll, expect, test } from 'vitest';
import { runJob, type TestEngine, testEngine } from './testing/index.ts';
import { tinyTask } from './testing/tiny.ts';

const LIMITS = `SELECT current_setting('statement_timeout') AS statement, current_setting('transaction_timeout') AS transaction`;

const limits = tinyTask('limits', {
  async run(ctx) {
    const ask = (limit?: { atMostMs: number }) =>
      ctx.transaction(
        async ({ client, db }) => [(await client.query(LIMITS)).rows[0], (await db.execute(LIMITS)).rows[0]],
        limit,
      );
    return { usual: await ask(), patient: await ask({ atMostMs: 120_000 }), after: await ask() };
  },
});
const overdue = tinyTask('overdue', {
  retry: { retries: 0 },
  run: (ctx) => ctx.transaction(({ client }) => client.query('SELECT pg_sleep(30)'), { atMostMs: 50 }),
});

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [limits, overdue] });
  await engine.store.addTenant('tiny', 'one');
});
afterAll(() => engine.close());

test('a transaction of a task may be given more time than usual, for itself alone', async () => {
  const usual = { statement: '30s', transaction: '30s' };
  const patient = { statement: '2min', transaction: '121s' };
  expect(await runJob(engine, { job: 'tiny.limits', tenant: 'one', input: {} })).toMatchObject({
    status: 'completed',
    result: { usual: [usual, usual], patient: [patient, patient], after: [usual, usual] },
  });
});

test('the time that it was given is kept', async () => {
  const ended = await runJob(engine, { job: 'tiny.overdue', tenant: 'one', input: {}, options: { timeoutMs: 20_000 } });
  expect(ended).toMatchObject({ status: 'failed', errorMessage: expect.stringContaining('57014') });
});
