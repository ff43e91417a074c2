import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { AcceptRequest } from './accept.ts';
import type { BrokerState } from './explain.ts';
import { explainRun } from './explain.ts';
import { dispatchByHand, type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest, tinyTask } from './testing/tiny.ts';

const job = tinyRequest('idle', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const task = tinyTask('long', { run: async () => null });

let engine: TestEngine;
let tenant: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [job, task], workers: 0 });
  tenant = await engine.store.addTenant('tiny', 'one');
});
afterAll(() => engine.close());
afterEach(() => engine.store.admin.query('DELETE FROM ops.open_runs; DELETE FROM ops.pauses; DELETE FROM ops.workers'));

const sql = (text: string, values: unknown[] = []) => engine.store.admin.query(text, values);

async function accept(more: Partial<AcceptRequest> = {}): Promise<string> {
  return (await engine.producer.accept({ job: job.name, tenant: 'one', input: {}, ...more }, 'test')).id;
}

/** A live worker as the passes see one. */
async function worker(jobs: Record<string, number> = { [job.name]: 1, [task.name]: 1 }): Promise<void> {
  await sql(`INSERT INTO ops.workers (id, host, pid, version, slots, jobs) VALUES ($1, 'h', 1, 'v', $2, $3)`, [
    randomUUID(),
    JSON.stringify({ tiny: 2, 'tiny-long': 2 }),
    JSON.stringify(jobs),
  ]);
}

async function set(id: string, columns: string, values: unknown[] = []): Promise<void> {
  await sql(`UPDATE ops.open_runs SET ${columns} WHERE id = $1`, [id, ...values]);
}

async function explain(id: string, broker: BrokerState = 'ok'): Promise<[string, string]> {
  const { producer } = engine;
  const { reason, sentence } = await explainRun(producer.pools, producer.catalogue, id, tenant, async () => broker);
  return [reason, sentence];
}

const TIME = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`;
const like = (text: string) => expect.stringMatching(new RegExp(`^${text.replaceAll('TIME', TIME)}$`));

test('due later', async () => {
  const id = await accept();
  await set(id, `state = 'scheduled', due_at = '2099-01-02 03:04:05Z'`);
  expect(await explain(id)).toEqual(['due-later', 'It is due at 2099-01-02 03:04:05Z.']);
});

test('a retry that waits', async () => {
  const id = await accept();
  await set(id, `state = 'scheduled', attempt = 2, due_at = clock_timestamp() + interval '1 h'`);
  await sql(
    `INSERT INTO ops.attempts (run_id, attempt, tenant_id, outcome, error_class) VALUES ($1, 1, $2, 'failed', 'NoNetworkError')`,
    [id, tenant],
  );
  expect(await explain(id)).toEqual([
    'retry-later',
    like(String.raw`Attempt 1 failed with NoNetworkError; attempt 2 is due at TIME\.`),
  ]);
});

test.each([
  ['queue', (): string => 'tiny'],
  ['job', (): string => job.name],
  ['tenant', (): string => tenant],
] as const)('paused: its %s, by whom, since when and why', async (kind, key) => {
  await worker();
  const id = await accept();
  await engine.producer.pause(kind, key(), 'ada', 'bad data');
  const said = like(String.raw`Its ${kind} is paused by ada since TIME \(bad data\)\.`);
  expect(await explain(id)).toEqual([`paused-${kind}`, said]);
});

test('no live worker for its queue', async () => {
  expect(await explain(await accept())).toEqual(['no-worker', "No live worker serves its queue 'tiny'."]);
});

test('no live worker knows the job, or the version of the input', async () => {
  const id = await accept();
  await worker({ other: 1 });
  expect(await explain(id)).toEqual([
    'unknown-to-workers',
    'No live worker knows the job tiny.idle: an older build runs.',
  ]);
  await worker();
  await set(id, 'input_version = 3');
  expect(await explain(id)).toEqual([
    'unknown-to-workers',
    'Live workers read inputs of tiny.idle up to version 1, and this one has version 3.',
  ]);
});

test('Redis down or emptied', async () => {
  await worker();
  const id = await accept();
  expect((await explain(id, 'down'))[0]).toBe('redis-down');
  expect((await explain(id, 'emptied'))[0]).toBe('redis-emptied');
});

test('the producer knows which of the two', async () => {
  await worker();
  const id = await accept();
  // No worker ever wrote the incarnation: for Postgres this Redis is a stranger.
  expect((await engine.producer.explain(id, null)).reason).toBe('redis-emptied');
});

test('behind more urgent and older runs', async () => {
  await worker();
  await accept({ priority: 'CRITICAL' });
  await accept({ priority: 'CRITICAL' });
  await accept();
  await accept({ priority: 'LOW' });
  const id = await accept();
  expect(await explain(id)).toEqual([
    'behind-others',
    'It waits for its turn behind 2 runs of priority CRITICAL and 1 run of priority HIGH.',
  ]);
});

test('at a limit: of its tenant, its job, its tenant’s runs of the job, or of starts a minute', async () => {
  await worker();
  const { producer } = engine;
  const id = await accept();
  await dispatchByHand(engine.store.admin, [await accept()]);
  await producer.setTenantLimits(tenant, { concurrency: 1 }, 'ada');
  expect(await explain(id)).toEqual(['tenant-limit', 'Its tenant is at its limit: 1 of 1 runs are in hand.']);
  await producer.setTenantLimits(tenant, { concurrency: null }, 'ada');
  await producer.setJobSettings(job.name, null, { limits: { concurrency: 1 } }, 'ada');
  expect(await explain(id)).toEqual(['job-limit', 'Its job is at its limit: 1 of 1 runs are in hand.']);
  await producer.setJobSettings(job.name, null, { limits: { concurrency: null, perTenantConcurrency: 1 } }, 'ada');
  expect((await explain(id))[0]).toBe('tenant-limit');
  await producer.setJobSettings(job.name, null, { limits: { perTenantConcurrency: null, perMinute: 3 } }, 'ada');
  await sql(
    `INSERT INTO ops.limit_starts VALUES ($1, date_trunc('second', clock_timestamp()) - interval '20 s', 1), ($1, date_trunc('second', clock_timestamp()), 2)`,
    [`job:${job.name}`],
  );
  const [reason, sentence] = await explain(id);
  expect([reason, sentence]).toEqual([
    'rate-limit',
    like(String.raw`Its job is at its rate limit of 3 starts a minute until TIME\.`),
  ]);
  const until = Date.parse(/until (.*)\./.exec(sentence)?.[1] ?? '') - Date.now();
  expect(until).toBeGreaterThan(30_000);
  expect(until).toBeLessThan(45_000);
  await producer.setJobSettings(job.name, null, { limits: { perMinute: null } }, 'ada');
  expect((await explain(id))[0]).toBe('about-to-start');
});

test('about to start: nobody is before it, or Redis has it', async () => {
  await worker();
  const id = await accept();
  expect((await explain(id))[0]).toBe('about-to-start');
  await dispatchByHand(engine.store.admin, [id]);
  expect((await explain(id))[0]).toBe('about-to-start');
});

test('a request run in the hands of a worker', async () => {
  const id = await accept();
  await dispatchByHand(engine.store.admin, [id]);
  const holder = new pg.Client({ connectionString: engine.store.adminUrl });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT 1 FROM ops.dispatches WHERE $1 = ANY (runs) FOR UPDATE', [id]);
  expect(await explain(id)).toEqual(['running', 'A worker is executing it at this moment.']);
  await holder.end();
});

test('waiting for another job’s run of its date', async () => {
  const id = await accept();
  await set(
    id,
    `state = 'blocked', after_job = 'tiny.long', tick_date = '2026-11-21', blocked_until = clock_timestamp() + interval '1 h'`,
  );
  expect(await explain(id)).toEqual([
    'waiting-for-job',
    like(
      String.raw`It waits for the run of tiny\.long of 2026-11-21, which nobody has started, until TIME at the latest\.`,
    ),
  ]);
  const upstream = await accept({ job: task.name });
  await set(upstream, `tick_date = '2026-11-21'`);
  expect((await explain(id))[1]).toContain(`which is queued (${upstream})`);
});

test('not waiting for a dry run of that job', async () => {
  const id = await accept();
  await set(id, `state = 'blocked', after_job = 'tiny.long', tick_date = '2026-11-22', blocked_until = now()`);
  const dry = await accept({ job: task.name, options: { dryRun: true } });
  await set(dry, `tick_date = '2026-11-22'`);
  expect((await explain(id))[1]).toContain('which nobody has started');
});

test('in line behind an earlier run of its own job', async () => {
  await worker();
  const [first, second] = [await accept(), await accept()];
  for (const id of [first, second])
    await sql(
      `WITH t AS (INSERT INTO ops.triggers (id, kind, job, actor, expected_runs) VALUES (gen_random_uuid(), 'tick', $2, 'clock', 1) RETURNING id)
       UPDATE ops.open_runs o SET trigger_id = t.id FROM t WHERE o.id = $1`,
      [id, job.name],
    );
  await set(second, `state = 'blocked', after_job = job`);
  expect(await explain(second)).toEqual([
    'waiting-for-job',
    `It waits in line behind an earlier run of its job, which is queued (${first}).`,
  ]);
  await engine.producer.cancel(first, 'ada', null);
  expect((await explain(second))[0]).toBe('about-to-start');
});

test('waiting for its shards', async () => {
  const id = await accept({ job: task.name });
  await set(id, `state = 'blocked'`);
  await set(await accept(), 'parent_id = $2', [id]);
  expect(await explain(id)).toEqual(['waiting-for-shards', 'Its work is done by shards; not ended yet: 1 shard.']);
});

test('running, being stopped, and left by a worker that died', async () => {
  const id = await accept({ job: task.name });
  await set(
    id,
    `state = 'running', worker = 'w1', attempt_started_at = clock_timestamp(), lease_until = clock_timestamp() + interval '15 s', expected = 90, processed = 30`,
  );
  expect(await explain(id)).toEqual([
    'running',
    like(String.raw`It runs on worker w1 since TIME, at 30 of 90 items, with a lease until TIME\.`),
  ]);
  await set(id, `cancel_requested_at = clock_timestamp(), cancel_actor = 'eve'`);
  expect((await explain(id))[0]).toBe('stopping');
  await set(id, `lease_until = clock_timestamp() - interval '1 s'`);
  expect((await explain(id))[0]).toBe('lease-expired');
});

test('ended, and how', async () => {
  const id = await accept();
  await engine.producer.cancel(id, 'ada', null);
  expect(await explain(id)).toEqual(['ended', like(String.raw`It was cancelled at TIME\.`)]);
});

test('another tenant’s run is no run', async () => {
  const other = await engine.store.addTenant('tiny', 'two');
  const id = await accept();
  const { pools, catalogue } = engine.producer;
  await expect(explainRun(pools, catalogue, id, other, async () => 'ok')).rejects.toThrow('There is no run');
});
