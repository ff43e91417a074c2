import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { findRun } from './query/index.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest, tinyTask } from './testing/tiny.ts';

let broken = true;
const handle = async (_ctx: unknown, runs: readonly unknown[]) =>
  runs.map(() => (broken ? { error: new TypeError('broken') } : { ok: 1 }));
const one = tinyRequest('one', { retry: { retries: 0 }, handle, input: z.strictObject({ n: z.int() }) });
const two = tinyRequest('two', { retry: { retries: 0 }, handle });
/** Takes seconds, where its version before took minutes. */
const upgraded = tinyRequest('upgraded', {
  retry: { retries: 0 },
  handle,
  inputVersion: 2,
  input: z.strictObject({ seconds: z.int() }),
  upgrade: (old, from) => (from < 2 ? { seconds: (old as { minutes: number }).minutes * 60 } : old),
});
const nightly = tinyTask('nightly', {
  schedule: { cron: '59 23 * * *', zone: 'UTC' },
  retry: { retries: 0 },
  async run() {
    if (broken) throw new TypeError('broken');
  },
});

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [one, two, upgraded, nightly] });
  for (const slug of ['a', 'b', 'c']) await engine.store.addTenant('tiny', slug);
});
afterAll(() => engine.close());

async function failed(job: { name: string }, tenant: string, n: number): Promise<string[]> {
  broken = true;
  const ids = await Promise.all(
    Array.from({ length: n }, async (_, i) => {
      return (await engine.producer.accept({ job: job.name, tenant, input: { n: i } }, 'test')).id;
    }),
  );
  await engine.producer.waitFor(ids, { timeoutMs: 30_000 });
  broken = false;
  return ids.sort();
}

test('failed runs of a job and tenant are retried once, linked, and not twice', async () => {
  const ids = await failed(one, 'a', 5);
  await failed(one, 'b', 1);
  await failed(two, 'a', 1);
  const filter = { status: 'failed', job: one.name, tenant: 'a', limit: 1_000 } as const;
  const dry = await engine.producer.retryMany({ ...filter, dryRun: true }, 'ada', null);
  expect(dry).toMatchObject({ count: 5, dryRun: true, more: false });
  expect(dry.runs.map((run) => run.id)).toEqual(ids);
  // Of two that ask at once, one finds nothing left.
  const both = await Promise.all([1, 2].map(() => engine.producer.retryMany(filter, 'ada', null)));
  expect(both.map((retried) => retried.count).sort()).toEqual([0, 5]);
  const retried = both.flatMap((each) => each.runs);
  const fresh = retried.map((run) => run.retryId ?? '');
  await engine.producer.waitFor(fresh, { timeoutMs: 30_000 });
  for (const { id, retryId } of retried)
    expect(await findRun(engine.producer.pools, retryId ?? '', null)).toMatchObject({
      retryOf: id,
      status: 'completed',
    });
  expect((await engine.producer.retryMany(filter, 'ada', null)).count).toBe(0);
  expect(await engine.producer.retryMany({ ...filter, again: true, limit: 2 }, 'ada', null)).toMatchObject({
    count: 2,
    more: true,
  });
});

test('a tenant’s caller retries its own; jobs that it may not start are left', async () => {
  const [mine] = await failed(two, 'c', 1);
  const { tenantId } = await findRun(engine.producer.pools, mine ?? '', null);
  const filter = { status: 'failed', limit: 10 } as const;
  expect((await engine.producer.retryMany({ ...filter, dryRun: true }, 'cleo', tenantId, [one.name])).count).toBe(0);
  expect((await engine.producer.retryMany(filter, 'cleo', tenantId)).runs.map((run) => run.id)).toEqual([mine]);
});

test('what its job no longer takes is refused, and the others go on', async () => {
  const [bad, good] = await failed(one, 'c', 2);
  await engine.store.admin.query(`UPDATE ops.payloads SET inputs = ARRAY['{"n": "x"}'::jsonb] WHERE $1 = ANY (runs)`, [
    bad,
  ]);
  const since = new Date(Date.now() - 60_000);
  const { count, runs } = await engine.producer.retryMany(
    { status: 'failed', job: one.name, tenant: 'c', since, limit: 10 },
    'ada',
    null,
  );
  expect(count).toBe(1);
  expect(runs).toMatchObject([
    { id: bad, retryId: null, refused: expect.stringContaining('/input/n') },
    { id: good, refused: null },
  ]);
});

test('what it was given and is no longer there is refused, and not done with nothing instead', async () => {
  const [gone, kept] = await failed(one, 'c', 2);
  // As when its week has been dropped.
  await engine.store.admin.query('DELETE FROM ops.payloads WHERE $1 = ANY (runs)', [gone]);
  const filter = { status: 'failed', job: one.name, tenant: 'c', limit: 20 } as const;
  const { runs } = await engine.producer.retryMany(filter, 'ada', null);
  expect(runs.filter(({ id }) => id === gone || id === kept)).toMatchObject([
    { id: gone, retryId: null, refused: expect.stringContaining('past its retention') },
    { id: kept, refused: null },
  ]);
});

test('what can no longer be done does not stand before what can', async () => {
  await engine.store.addTenant('tiny', 'd');
  const gone = await failed(two, 'd', 3);
  const [kept] = await failed(two, 'd', 1);
  await engine.store.admin.query('DELETE FROM ops.payloads WHERE runs && $1::uuid[]', [gone]);
  const filter = { status: 'failed', job: two.name, tenant: 'd', limit: 3 } as const;
  const { count, runs, more } = await engine.producer.retryMany(filter, 'ada', null);
  expect({ count, more }).toEqual({ count: 1, more: true });
  expect(runs.map((run) => run.id)).toEqual([...gone.slice(0, 2), kept]);
  expect(runs.at(-1)).toMatchObject({ id: kept, refused: null });
});

/** A run that failed, and was something else when it was accepted. */
async function failedAs(job: { name: string }, input: object, columns: string): Promise<string> {
  broken = true;
  await engine.producer.pause('job', job.name, 'test');
  const { id } = await engine.producer.accept({ job: job.name, tenant: 'a', input }, 'test');
  await engine.store.admin.query(`UPDATE ops.open_runs SET ${columns} WHERE id = $1`, [id]);
  await engine.producer.resume('job', job.name, 'test');
  await engine.producer.waitFor([id], { timeoutMs: 30_000 });
  broken = false;
  return id;
}

test('an input that its job has outgrown is upgraded', async () => {
  const id = await failedAs(upgraded, { seconds: 1 }, `input_version = 1, input = '{"minutes": 5}'`);
  const { runs } = await engine.producer.retryMany({ status: 'failed', job: upgraded.name, limit: 5 }, 'ada', null);
  expect(runs).toMatchObject([{ id, refused: null }]);
  const retryId = runs[0]?.retryId ?? '';
  await engine.producer.waitFor([retryId], { timeoutMs: 30_000 });
  expect(await findRun(engine.producer.pools, retryId, null)).toMatchObject({
    status: 'completed',
    input: { seconds: 300 },
  });
});

test('an open run of one date does not answer for another date', async () => {
  const monday = await failedAs(nightly, {}, `tick_date = '2031-03-03'`);
  const tuesday = await failedAs(nightly, {}, `tick_date = '2031-03-04'`);
  const filter = { status: 'failed', job: nightly.name, limit: 5 } as const;
  await engine.producer.pause('job', nightly.name, 'ada');
  const first = await engine.producer.retryMany(filter, 'ada', null);
  expect(first.runs).toMatchObject([
    { id: monday, refused: null },
    { id: tuesday, retryId: null, refused: expect.stringContaining('another date') },
  ]);
  const open = first.runs[0]?.retryId ?? '';
  await expect(engine.producer.retry(tuesday, 'ada', null)).rejects.toThrow('of another date is open');
  expect(await engine.producer.retry(monday, 'ada', null)).toMatchObject({ id: open, joined: true });
  await engine.producer.resume('job', nightly.name, 'ada');
  await engine.producer.waitFor([open], { timeoutMs: 30_000 });
  const second = await engine.producer.retryMany(filter, 'ada', null);
  expect(second.runs).toMatchObject([{ id: tuesday, refused: null }]);
  const retryId = second.runs[0]?.retryId ?? '';
  await engine.producer.waitFor([retryId], { timeoutMs: 30_000 });
  expect(await findRun(engine.producer.pools, retryId, null)).toMatchObject({
    status: 'completed',
    tickDate: '2031-03-04',
  });
});

test('times narrow it; another status finds none of these', async () => {
  await failed(two, 'b', 1);
  const filter = { status: 'failed', job: two.name, tenant: 'b', limit: 10, dryRun: true } as const;
  const hourAgo = new Date(Date.now() - 3_600_000);
  expect((await engine.producer.retryMany({ ...filter, since: hourAgo }, 'ada', null)).count).toBe(1);
  expect((await engine.producer.retryMany({ ...filter, until: hourAgo }, 'ada', null)).count).toBe(0);
  expect((await engine.producer.retryMany({ ...filter, status: 'cancelled' }, 'ada', null)).count).toBe(0);
});
