import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { findRun } from './query/index.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

let broken = true;
const handle = async (_ctx: unknown, runs: readonly unknown[]) =>
  runs.map(() => (broken ? { error: new TypeError('broken') } : { ok: 1 }));
const one = tinyRequest('one', { retry: { retries: 0 }, handle, input: z.strictObject({ n: z.int() }) });
const two = tinyRequest('two', { retry: { retries: 0 }, handle });

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [one, two] });
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
  await engine.store.admin.query(`UPDATE ops.payloads SET inputs = ARRAY['{"n": "x"}'::jsonb] WHERE id = $1`, [bad]);
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
  await engine.store.admin.query('DELETE FROM ops.payloads WHERE id = $1', [gone]);
  const filter = { status: 'failed', job: one.name, tenant: 'c', limit: 20 } as const;
  const { runs } = await engine.producer.retryMany(filter, 'ada', null);
  expect(runs.filter(({ id }) => id === gone || id === kept)).toMatchObject([
    { id: gone, retryId: null, refused: expect.stringContaining('past its retention') },
    { id: kept, refused: null },
  ]);
});

test('times narrow it; another status finds none of these', async () => {
  await failed(two, 'b', 1);
  const filter = { status: 'failed', job: two.name, tenant: 'b', limit: 10, dryRun: true } as const;
  const hourAgo = new Date(Date.now() - 3_600_000);
  expect((await engine.producer.retryMany({ ...filter, since: hourAgo }, 'ada', null)).count).toBe(1);
  expect((await engine.producer.retryMany({ ...filter, until: hourAgo }, 'ada', null)).count).toBe(0);
  expect((await engine.producer.retryMany({ ...filter, status: 'cancelled' }, 'ada', null)).count).toBe(0);
});
