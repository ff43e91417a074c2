import { createPool, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError } from '../errors.ts';
import { executeDeps } from '../testing/execute-deps.ts';
import { dispatchByHand, type TestEngine, testEngine } from '../testing/index.ts';
import { tinyRequest } from '../testing/tiny.ts';
import { executeShort } from './short.ts';

// What a log at info says last about short runs.

const job = tinyRequest('logged', {
  input: z.strictObject({ how: z.enum(['well', 'fails', 'snoozes', 'once']) }),
  retry: { retries: 1, delayMs: 1 },
  handle: async (_ctx, runs) =>
    runs.map((run) => {
      if (run.input.how === 'fails') return { error: new PermanentError('it cannot be done') };
      if (run.input.how === 'once' && run.attempt === 1) return { error: new Error('not the first time') };
      return run.input.how === 'snoozes' ? { snooze: 60_000 } : { ok: null };
    }),
});
type How = z.output<typeof job.input>['how'];

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly job?: string;
  readonly runs?: readonly string[];
  readonly ended?: number;
}

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let lines: Line[];
const tenants: Record<string, string> = {};
const log = pino({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) });

beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  for (const slug of ['a', 'b', 'c']) tenants[slug] = await engine.store.addTenant('tiny', slug);
  app = createPool({ url: engine.store.databaseUrl, role: 'ns_app', max: 4, name: 'test-app' });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 4, name: 'test-ops' });
});
beforeEach(() => {
  lines = [];
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

/** Executes runs of these tenants in one dispatch. Resolves to their ids, in order. */
async function execute(runs: Readonly<Record<string, readonly How[]>>): Promise<string[]> {
  const requests = Object.entries(runs).flatMap(([tenant, hows]) =>
    hows.map((how) => ({ job: job.name, tenant, input: { how } })),
  );
  const ids = (await engine.producer.acceptMany(requests, 'test')).map(({ id }) => id);
  const deps = { ...executeDeps(engine, { app, ops }, [job]), log };
  const tenantIds = Object.keys(runs).map((slug) => tenants[slug] ?? '');
  const id = await dispatchByHand(engine.store.admin, ids);
  await executeShort(deps, { id, queue: job.queue, runs: ids, job: job.name, tenantIds, timeoutMs: 30_000 });
  return ids;
}

const told = (prefix: string) => lines.filter(({ msg }) => msg.startsWith(prefix));
const named = (prefix: string) =>
  told(prefix)
    .flatMap(({ runs }) => runs ?? [])
    .sort();

it('ends with the success of the job and the ids of its runs', async () => {
  const ids = await execute({ a: ['well', 'well'] });
  expect(lines.at(-1)).toMatchObject({
    level: pino.levels.values.info,
    msg: `[JOB SUCCESS] ${job.name}`,
    job: job.name,
    runs: ids,
    ended: 2,
  });
});

it('ends with one success for bundles of several tenants', async () => {
  const ids = await execute({ a: ['well', 'well'], b: ['well'], c: ['well'] });
  expect(told('[JOB ')).toHaveLength(1);
  expect(lines.at(-1)).toMatchObject({ msg: `[JOB SUCCESS] ${job.name}`, ended: 4 });
  expect(named('[JOB SUCCESS]')).toEqual(ids.toSorted());
});

it('names twenty runs at most, and says how many there were', async () => {
  const ids = await execute({ a: Array.from({ length: 25 }, () => 'well' as const) });
  expect(lines.at(-1)).toMatchObject({ ended: 25 });
  expect(named('[JOB SUCCESS]')).toHaveLength(20);
  expect(ids).toEqual(expect.arrayContaining(named('[JOB SUCCESS]')));
});

it.each<[string, Readonly<Record<string, readonly How[]>>]>([
  ['a run', { a: ['fails'] }],
  ['all runs of a bundle', { a: ['fails', 'fails'] }],
  ['the runs of several tenants', { a: ['fails'], b: ['fails'] }],
  ['an attempt', { a: ['once'] }],
])('ends with a failure, which no success follows, when %s failed', async (_what, runs) => {
  const ids = await execute(runs);
  expect(told('[JOB SUCCESS]')).toEqual([]);
  expect(lines.at(-1)?.msg).toMatch(/^\[JOB FAILURE\]/);
  expect(named('[JOB FAILURE]')).toEqual(ids.toSorted());
});

it.each<[string, Readonly<Record<string, readonly How[]>>]>([
  ['a bundle', { a: ['well', 'fails', 'well'] }],
  ['bundles of several tenants', { a: ['well'], b: ['fails'], c: ['well'] }],
])('of %s names each run on the line of how it ended', async (_what, runs) => {
  const ids = await execute(runs);
  const hows = Object.values(runs).flat();
  const which = (how: How) => ids.filter((_id, i) => hows[i] === how).sort();
  expect(named('[JOB SUCCESS]')).toEqual(which('well'));
  expect(named('[JOB FAILURE]')).toEqual(which('fails'));
});

it('says neither of a run that is put off', async () => {
  await execute({ a: ['snoozes'] });
  expect(told('[JOB ')).toEqual([]);
});

it('of a whole worker says it too, after the failure of an attempt as well', async () => {
  const worker = await engine.addWorker({ log });
  const { id } = await engine.producer.accept({ job: job.name, tenant: 'a', input: { how: 'once' } }, 'test');
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  await worker.stop(2_000);
  // The first worker of a new Redis may also say how many runs it put back: a number.
  const own = lines.filter(({ runs }) => Array.isArray(runs) && runs.includes(id));
  expect(own.map(({ msg }) => msg)).toEqual(['[JOB FAILURE] runs failed', `[JOB SUCCESS] ${job.name}`]);
});
