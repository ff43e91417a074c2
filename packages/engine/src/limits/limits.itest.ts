import { createPool, type Pool } from '@nightshift/db';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createCatalogue } from '../catalogue.ts';
import { createPass } from '../dispatch.ts';
import { type TestStore, testStore } from '../testing/index.ts';
import { countAsDone, tinyRequest, tinyTask } from '../testing/tiny.ts';
import { type QueueLimits, readLimits } from './limits.ts';
import { createSettings } from './settings.ts';

// Passes alone, without BullMQ: what limits let through.

const a = tinyRequest('a', { handle: async () => [] });
const b = tinyRequest('b', { handle: async () => [] });
const long = tinyTask('long', { run: async () => null });
/** Runs of it are in the short queue where an item is named, and in the long one where it goes over all. */
const both = tinyRequest('both', {
  input: z.strictObject({ item: z.string() }),
  handle: async () => [],
  sweep: { items: async () => [], key: () => '', process: countAsDone, summarize: () => ({}) },
});
const catalogue = createCatalogue([a, b, long, both]);

const QUEUES = ['tiny', 'tiny-long'];

let store: TestStore;
let ops: Pool;
let one: string;
let two: string;
beforeAll(async () => {
  store = await testStore();
  ops = createPool({ url: store.databaseUrl, role: 'ns_ops', max: 6, name: 'test' });
  one = await store.addTenant('tiny', 'one');
  two = await store.addTenant('tiny', 'two');
  await store.admin.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs) VALUES ('w', 'h', 1, 'v', $1, $2)`,
    [
      JSON.stringify({ tiny: 8, 'tiny-long': 8 }),
      JSON.stringify({ [a.name]: 1, [b.name]: 1, [long.name]: 1, [both.name]: 1 }),
    ],
  );
});
afterAll(async () => {
  await ops.end();
  await store.close();
});
afterEach(() =>
  store.admin.query(
    `DELETE FROM ops.dispatches; DELETE FROM ops.open_runs; DELETE FROM ops.job_settings; DELETE FROM ops.limit_starts; UPDATE ops.tenants SET limits = '{}'; DELETE FROM ops.queues`,
  ),
);

async function add(job: { name: string; queue: string }, tenant: string, n: number, priority = 2): Promise<void> {
  await store.admin.query(
    `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, due_at, actor, options, input)
     SELECT gen_random_uuid(), $1, $2, 1, $3, $4, 'queued', clock_timestamp() + make_interval(secs => n / 1e6), 'test', '{"timeoutMs": 1000}', '{}'
     FROM generate_series(1, $5) n`,
    [tenant, job.name, job.queue, priority, n],
  );
}

const limitTenant = (id: string, limits: object) =>
  store.admin.query('UPDATE ops.tenants SET limits = $2 WHERE id = $1', [id, JSON.stringify(limits)]);
const limitJob = (job: { name: string }, limits: object, tenant: string | null = null) =>
  store.admin.query(`INSERT INTO ops.job_settings (job, tenant_id, limits, updated_by) VALUES ($1, $2, $3, 'test')`, [
    job.name,
    tenant,
    JSON.stringify(limits),
  ]);

const limitsNow = (queue: string): Promise<QueueLimits | null> => readLimits(ops, catalogue, queue);

/** Passes of a process of its own, until nothing more is taken. Resolves to how many runs of each `job tenant` are in hand. */
async function fill(queue = 'tiny', pass = process()): Promise<Record<string, number>> {
  for (let i = 0; i < 50; i++) {
    const made = await pass(queue);
    if (made !== null && made.dispatches.length === 0) break;
  }
  return inHand();
}

function process() {
  return createPass({
    ops,
    kindOf: (queue) => (queue.endsWith('-long') ? 'long' : 'short'),
    msPerRun: () => undefined,
    limits: limitsNow,
  });
}

async function inHand(): Promise<Record<string, number>> {
  const { rows } = await store.admin.query<{ job: string; slug: string; n: number }>(
    `SELECT job, slug, count(*)::integer AS n FROM ops.run_view o JOIN ops.tenants t ON t.id = o.tenant_id WHERE status = 'dispatched' GROUP BY 1, 2`,
  );
  return Object.fromEntries(rows.map((row) => [`${row.job} ${row.slug}`, row.n]));
}

async function end(job: { name: string }, tenant: string, n: number): Promise<void> {
  await store.admin.query(
    `WITH ended AS (DELETE FROM ops.open_runs WHERE id IN (SELECT id FROM ops.run_view WHERE status = 'dispatched' AND job = $1 AND tenant_id = $2 LIMIT $3) RETURNING id)
     UPDATE ops.dispatches SET runs = ARRAY(SELECT unnest(runs) EXCEPT SELECT id FROM ended)`,
    [job.name, tenant, n],
  );
}

describe('runs in hand', () => {
  it('of a tenant: no more than its limit, and the others go on', async () => {
    await limitTenant(one, { concurrency: 3 });
    await add(a, one, 500);
    await add(a, two, 20);
    expect(await fill()).toEqual({ 'tiny.a one': 3, 'tiny.a two': 20 });
    await end(a, one, 2);
    expect((await fill())['tiny.a one']).toBe(3);
  });

  it('of a tenant, over both queues of its system, whoever passes first', async () => {
    await limitTenant(one, { concurrency: 5 });
    await add(a, one, 50);
    await add(long, one, 50);
    const passes = Array.from({ length: 6 }, (_, i) => fill(i % 2 === 0 ? 'tiny' : 'tiny-long'));
    await Promise.all(passes);
    const sum = Object.values(await inHand()).reduce((total, n) => total + n, 0);
    expect(sum).toBe(5);
  });

  it('of a job: counted over all tenants, and holds up no other job of the same tenant', async () => {
    await limitJob(a, { concurrency: 4 });
    await add(a, one, 300);
    await add(a, two, 300);
    await add(b, one, 7);
    const found = await fill();
    expect((found['tiny.a one'] ?? 0) + (found['tiny.a two'] ?? 0)).toBe(4);
    expect(found['tiny.b one']).toBe(7);
  });

  it('of a job for each tenant, and of a tenant that has its own', async () => {
    await limitJob(a, { perTenantConcurrency: 2 });
    await limitJob(a, { concurrency: 6 }, two);
    await add(a, one, 300);
    await add(a, two, 300);
    await add(b, one, 5);
    expect(await fill()).toEqual({ 'tiny.a one': 2, 'tiny.a two': 6, 'tiny.b one': 5 });
    await end(a, one, 1);
    expect((await fill())['tiny.a one']).toBe(2);
  });

  it('less urgent runs are not held up by more urgent ones that are at their limit', async () => {
    await limitJob(a, { concurrency: 1 });
    await add(a, one, 300, 1);
    await add(b, one, 3, 4);
    expect(await fill()).toEqual({ 'tiny.a one': 1, 'tiny.b one': 3 });
  });

  it('the limit that the job declares, which a setting replaces', async () => {
    const own = createCatalogue([tinyRequest('a', { handle: async () => [], limits: { concurrency: 2 } }), b]);
    const pass = createPass({
      ops,
      kindOf: () => 'short',
      msPerRun: () => undefined,
      limits: (queue) => readLimits(ops, own, queue),
    });
    await add(a, one, 50);
    expect(await fill('tiny', pass)).toEqual({ 'tiny.a one': 2 });
    await limitJob(a, { concurrency: 9 });
    expect(await fill('tiny', pass)).toEqual({ 'tiny.a one': 9 });
  });

  it('hold for those that waited too long as well', async () => {
    await limitJob(a, { concurrency: 1 });
    await add(a, one, 50, 4);
    await store.admin.query(`UPDATE ops.open_runs SET due_at = due_at - interval '1 h'`);
    await add(b, two, 200, 1);
    const found = await fill();
    expect(found['tiny.a one'] ?? 0).toBeLessThanOrEqual(1);
  });
});

describe('a job that has runs in both queues of its system', () => {
  it.each([
    ['runs in hand', { concurrency: 3 }],
    ['runs in hand for each tenant', { perTenantConcurrency: 3 }],
    ['starts a minute', { perMinute: 3 }],
  ])('counts them together: %s', async (_what, limits) => {
    await limitJob(both, limits);
    for (const queue of QUEUES) await add({ ...both, queue }, one, 10);
    const passes = Array.from({ length: 6 }, (_, i) => fill(QUEUES[i % 2]));
    await Promise.all(passes);
    expect(await inHand()).toEqual({ 'tiny.both one': 3 });
  });

  it('is looked at in both when its limits are changed', async () => {
    const woken: string[] = [];
    const settings = createSettings({ ops, catalogue, wake: (queues) => void woken.push(...queues) });
    await settings.setJobSettings(both.name, null, { limits: { concurrency: 2 } }, 'ada');
    expect(woken.sort()).toEqual(QUEUES);
  });
});

describe('starts a minute', () => {
  const age = (seconds: number) =>
    store.admin.query('UPDATE ops.limit_starts SET second = second - make_interval(secs => $1)', [seconds]);

  it.each([
    ['tenant', (limits: object) => limitTenant(one, limits)],
    ['job', (limits: object) => limitJob(a, limits)],
    ['job and tenant', (limits: object) => limitJob(a, limits, one)],
  ])('of a %s: as many as allowed, ended or not, until a minute is over', async (_of, set) => {
    await set({ perMinute: 5 });
    await add(a, one, 100);
    expect(await fill()).toEqual({ 'tiny.a one': 5 });
    await end(a, one, 5);
    expect(await fill()).toEqual({});
    await age(55);
    expect(await fill()).toEqual({});
    await age(7);
    expect(await fill()).toEqual({ 'tiny.a one': 5 });
  });

  it('nothing is counted for who has no rate limit', async () => {
    await limitTenant(two, { perMinute: 1 });
    await add(a, one, 10);
    await fill();
    expect((await store.admin.query('SELECT 1 FROM ops.limit_starts')).rowCount).toBe(0);
  });
});

it('a queue that no limit concerns reads nothing more', async () => {
  await limitTenant(one, { concurrency: 1 });
  expect(await limitsNow('ops')).toBeNull();
  expect(await limitsNow('tiny')).not.toBeNull();
});
