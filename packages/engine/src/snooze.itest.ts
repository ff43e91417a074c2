import { afterAll, beforeAll, expect, test } from 'vitest';
import { SnoozeError } from './errors.ts';
import { findRun } from './query/index.ts';
import { unblock } from './schedule/after.ts';
import { dispatchByHand, type TestEngine, testEngine, until } from './testing/index.ts';
import { addItems, countAsDone, doneItems, makeTinyTables, tinyRequest, tinySweep } from './testing/tiny.ts';

const asked = new Map<string, number>();
/** True the first time that a run asks. */
const first = (runId: string): boolean => {
  asked.set(runId, (asked.get(runId) ?? 0) + 1);
  return asked.get(runId) === 1;
};

const request = tinyRequest('later', {
  async handle(ctx, runs) {
    await ctx.client.query('INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])', [
      runs.map((run) => run.runId),
    ]);
    return runs.map((run) => {
      if (run.input.wrong) return { snooze: Number.NaN };
      return run.input.snooze && first(run.runId) ? { snooze: 30 } : { ok: run.attempt };
    });
  },
});
const sweep = tinySweep('nap', {
  options: { batchSize: 2, batchDelayMs: 0 },
  async process(ctx, items) {
    if (items.some((item) => item.id.endsWith('002')) && first(ctx.runId)) throw new SnoozeError(30);
    return countAsDone(ctx, items);
  },
});

let engine: TestEngine;
let tenant: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [request, sweep] });
  await makeTinyTables(engine.store);
  tenant = await engine.store.addTenant('tiny', 'one');
});
afterAll(() => engine.close());

const accept = async (input: object, dueAt?: Date) =>
  (await engine.producer.accept({ job: request.name, tenant: 'one', input, dueAt }, 'test')).id;
const run = (id: string) => findRun(engine.producer.pools, id, null);
const ended = (id: string) => engine.producer.waitFor([id], { timeoutMs: 30_000 });
const inADay = () => new Date(Date.now() + 86_400_000);

async function audited(id: string): Promise<string[]> {
  const { rows } = await engine.store.admin.query<{ action: string }>(
    'SELECT action FROM ops.audit_log WHERE run_id = $1 ORDER BY seq',
    [id],
  );
  return rows.map((row) => row.action);
}

test('a request run that puts itself off leaves nothing the first time, and counts no attempt', async () => {
  const id = await accept({ snooze: true });
  await ended(id);
  expect(await run(id)).toMatchObject({ status: 'completed', attempts: 1, result: 1 });
  expect((await engine.store.admin.query('SELECT 1 FROM tiny.effects WHERE run_id = $1', [id])).rowCount).toBe(1);
  expect(await audited(id)).toEqual(['run.accepted', 'run.snoozed', 'run.ended']);
});

test('a snooze that is no time is a failure', async () => {
  const id = await accept({ wrong: true });
  await until('a failed attempt', async () => (await audited(id)).includes('run.retry_scheduled'));
  await engine.producer.cancel(id, 'test', null).catch(() => undefined);
});

test('a sweep that throws SnoozeError goes on at its checkpoint', async () => {
  await addItems(engine.store, tenant, 5);
  const { id } = await engine.producer.accept({ job: sweep.name, tenant: 'one', input: {} }, 'test');
  await ended(id);
  expect(await run(id)).toMatchObject({ status: 'completed', attempts: 1, processed: 5, failedItems: 0 });
  expect(new Set(Object.values(await doneItems(engine.store, tenant)))).toEqual(new Set([1]));
  expect(await audited(id)).toContain('run.snoozed');
});

test('a person puts a waiting run off, and brings it forward', async () => {
  const id = await accept({}, inADay());
  const { dueAt } = await engine.producer.snooze(id, { forMs: 2 * 86_400_000 }, 'ada', null);
  expect((await run(id)).dueAt).toEqual(dueAt);
  expect(await engine.producer.explain(id, null)).toMatchObject({
    reason: 'snoozed',
    sentence: expect.stringMatching(/^ada put it off until /),
  });
  await engine.producer.snooze(id, { forMs: 1 }, 'ada', null);
  await ended(id);
  expect(await run(id)).toMatchObject({ status: 'completed', attempts: 1 });
});

test('a run that waits in Redis is taken back', async () => {
  await engine.producer.pause('queue', 'tiny', 'test');
  const id = await accept({});
  await dispatchByHand(engine.store.admin, [id]);
  await engine.producer.snooze(id, { until: inADay() }, 'ada', null);
  expect(await run(id)).toMatchObject({ status: 'scheduled' });
  await engine.producer.resume('queue', 'tiny', 'test');
});

test('a blocked run stays blocked, past its deadline too, until its time', async () => {
  const id = await accept({}, inADay());
  const set = (columns: string) => engine.store.admin.query(`UPDATE ops.open_runs SET ${columns} WHERE id = $1`, [id]);
  await set(
    `blocked_until = clock_timestamp() + interval '1 h', tick_date = '2026-11-21', after_job = 'tiny.none', state = 'blocked'`,
  );
  const put = await engine.producer.snooze(id, { until: inADay() }, 'ada', null);
  await set(`blocked_until = clock_timestamp() - interval '1 h'`);
  await unblock(engine.producer.pools.ops, new Date());
  expect((await run(id)).status).toBe('blocked');
  await unblock(engine.producer.pools.ops, new Date(put.dueAt.getTime() + 1));
  expect((await run(id)).status).not.toBe('blocked');
});

test.each([
  [{ forMs: -5 }, '/forMs must be in the future'],
  [{ until: new Date('2020-01-01') }, '/until must be in the future'],
  [{ forMs: 31 * 86_400_000 }, '/forMs must be within 30 days'],
])('%j is refused', async (time, message) => {
  const id = await accept({}, inADay());
  await expect(engine.producer.snooze(id, time, 'ada', null)).rejects.toThrow(message);
  expect((await run(id)).status).toBe('scheduled');
});

test('so little from now that it has passed at the next look is in the future still', async () => {
  const id = await accept({}, inADay());
  await engine.producer.snooze(id, { forMs: 0.0001 }, 'ada', null);
  await ended(id);
  expect(await run(id)).toMatchObject({ status: 'completed', attempts: 1 });
});

test('an ended run, and another tenant’s, cannot be put off', async () => {
  const id = await accept({});
  await ended(id);
  await expect(engine.producer.snooze(id, { forMs: 1 }, 'ada', null)).rejects.toThrow('has ended');
  const other = await engine.store.addTenant('tiny', 'other');
  await expect(engine.producer.snooze(id, { forMs: 1 }, 'ada', other)).rejects.toThrow('There is no run');
});
