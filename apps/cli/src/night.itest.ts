import { randomUUID } from 'node:crypto';
import {
  type DefinedJob,
  defineJob,
  PermanentError,
  StoreUnavailableError,
  type SweepContext,
} from '@nightshift/engine';
import { listRuns } from '@nightshift/engine/accept';
import { type TestEngine, testEngine } from '@nightshift/engine/testing';
import { afterEach, expect, test } from 'vitest';
import { z } from 'zod';
import { type NightProgress, NoLiveWorkerError, nightFailed, runNight } from './night.ts';

let engine: TestEngine | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

interface Tiny {
  readonly name: string;
  readonly cron: string;
  readonly after?: string;
  readonly items?: readonly string[];
}

/** A sweep over texts; an item called `broken` fails alone, a job with no good item fails for good. */
function tiny({ name, cron, after, items = ['a', 'b', 'c'] }: Tiny): DefinedJob {
  const job = defineJob({
    kind: 'sweep',
    name,
    title: name,
    description: name,
    scope: 'tenant',
    priority: 'MEDIUM',
    retry: { retries: 0 },
    schedule: { cron, zone: 'UTC', ...(after === undefined ? {} : { after }) },
    typicalMs: 1_000,
    maxMs: 1_000,
    input: z.strictObject({}),
    options: { batchSize: 2, batchDelayMs: 0 },
    count: async () => items.length,
    items: async (_ctx, last, limit) => items.filter((item) => last === null || item > last).slice(0, limit),
    key: (item) => item,
    process: async (_ctx, batch) => {
      if (batch.some((item) => item.startsWith('broken'))) throw new PermanentError('the item is broken');
      return { changed: batch.length };
    },
    summarize: ({ processed }) => ({ processed }),
  });
  return job as unknown as DefinedJob;
}

async function start(jobs: readonly DefinedJob[], workers = 1): Promise<TestEngine> {
  engine = await testEngine({ jobs, workers });
  for (const slug of ['north', 'south']) await engine.store.addTenant('tiny', slug);
  return engine;
}

test('jobs run one after the other for all tenants; counts are summed', async () => {
  const { producer } = await start([
    tiny({ name: 'tiny.last', cron: '0 1 * * *', after: 'tiny.first' }),
    tiny({ name: 'tiny.first', cron: '0 5 * * *', items: ['a', 'b', 'broken-c', 'd'] }),
  ]);
  const seen: NightProgress['kind'][] = [];
  const rows = await runNight({ producer, onProgress: (progress) => seen.push(progress.kind) });
  expect(rows).toMatchObject([
    { job: 'tiny.first', tenants: 2, items: 8, changed: 6, errors: 2, status: 'completed_with_item_errors' },
    { job: 'tiny.last', tenants: 2, items: 6, changed: 6, errors: 0, status: 'completed' },
  ]);
  expect(nightFailed(rows)).toBe(false);
  expect(seen.filter((kind) => kind !== 'progress')).toEqual(['started', 'ended', 'started', 'ended']);
});

test('a store that is too busy for an answer is asked again', async () => {
  const { producer } = await start([tiny({ name: 'tiny.first', cron: '0 1 * * *' })]);
  const busy = new Set<string>();
  const once = <Args extends unknown[], T>(name: string, work: (...args: Args) => Promise<T>) => {
    return async (...args: Args): Promise<T> => {
      if (busy.has(name)) return work(...args);
      busy.add(name);
      throw new StoreUnavailableError(new Error(name));
    };
  };
  const shy = { ...producer, start: once('start', producer.start), tenants: once('tenants', producer.tenants) };
  expect(await runNight({ producer: shy })).toMatchObject([{ job: 'tiny.first', status: 'completed', items: 6 }]);
  expect([...busy]).toEqual(['tenants', 'start']);
  const away = { ...producer, tenants: () => Promise.reject(new StoreUnavailableError(new Error('away'))) };
  await expect(runNight({ producer: away, patienceMs: 0 })).rejects.toThrow(StoreUnavailableError);
});

test('a failed run is named with its tenant and reason, and the night goes on', async () => {
  const { producer } = await start([
    tiny({ name: 'tiny.bad', cron: '0 1 * * *', items: ['broken'] }),
    tiny({ name: 'tiny.good', cron: '0 2 * * *' }),
  ]);
  const rows = await runNight({ producer });
  expect(rows.map((row) => row.status)).toEqual(['failed', 'completed']);
  expect(rows[0]?.failures.map((failure) => failure.tenant).sort()).toEqual(['north', 'south']);
  expect(rows[0]?.failures[0]?.reason).toContain('every item of the first batch');
  expect(nightFailed(rows)).toBe(true);
});

test('without a worker the night says so instead of waiting for ever', async () => {
  const { producer } = await start([tiny({ name: 'tiny.first', cron: '0 1 * * *' })], 0);
  await expect(runNight({ producer, patienceMs: 100 })).rejects.toThrow(NoLiveWorkerError);
});

test('a system without tenants is skipped', async () => {
  engine = await testEngine({ jobs: [tiny({ name: 'tiny.first', cron: '0 1 * * *' })], workers: 0 });
  expect(await runNight({ producer: engine.producer })).toMatchObject([
    { status: 'skipped', note: 'there is no tiny tenant to run it for' },
  ]);
});

test('an aborted night stops waiting', async () => {
  const { producer } = await start([tiny({ name: 'tiny.first', cron: '0 1 * * *' })], 0);
  const stop = new AbortController();
  const night = runNight({ producer, signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) });
  await expect(night).rejects.toThrow('enough');
});

test('without retries a failing job, of whatever kind, does not hold the night', async () => {
  const shared = {
    title: 'x',
    description: 'x',
    scope: 'tenant',
    typicalMs: 1,
    maxMs: 1,
    input: z.strictObject({}),
  } as const;
  const broken = () => Promise.reject(new Error('it is broken today'));
  const failing = [
    defineJob({
      ...shared,
      kind: 'task',
      name: 'tiny.task',
      priority: 'LOW',
      schedule: { cron: '0 1 * * *', zone: 'UTC' },
      run: broken,
    }),
    defineJob({
      ...shared,
      kind: 'request',
      name: 'tiny.request',
      priority: 'CRITICAL',
      schedule: { cron: '0 2 * * *', zone: 'UTC' },
      handle: broken,
    }),
  ] as unknown as DefinedJob[];
  const { producer } = await start([...failing, tiny({ name: 'tiny.last', cron: '0 3 * * *' })]);
  const rows = await runNight({ producer, retries: 0 });
  expect(rows.map((row) => [row.job, row.status, row.failures.length])).toEqual([
    ['tiny.task', 'failed', 2],
    ['tiny.request', 'failed', 2],
    ['tiny.last', 'completed', 0],
  ]);
  const { items } = await listRuns(producer.pools, { limit: 10, tenantId: null, status: 'failed' });
  expect(items.map((run) => run.attempts)).toEqual([1, 1, 1, 1]);
});

test('runs that a run of the night asks for under its trigger are waited for and counted', async () => {
  let following = '';
  const job = {
    ...tiny({ name: 'tiny.first', cron: '0 1 * * *', items: ['a', 'b'] }),
    process: async (ctx: SweepContext<unknown>, items: readonly unknown[]) => {
      if (following === '') {
        following = randomUUID();
        await ctx.client.query(
          `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, trigger_id, tick_date, actor, options, input)
           SELECT $2, tenant_id, job, input_version, queue, priority, 'queued', trigger_id, tick_date, actor, options, input FROM ops.open_runs WHERE id = $1`,
          [ctx.runId, following],
        );
      }
      return { changed: items.length };
    },
  } as unknown as DefinedJob;
  engine = await testEngine({ jobs: [job] });
  await engine.store.addTenant('tiny', 'north');
  const rows = await runNight({ producer: engine.producer });
  expect(rows).toMatchObject([{ tenants: 1, items: 4, changed: 4, status: 'completed' }]);
  expect(following).not.toBe('');
});
