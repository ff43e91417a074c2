import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, type HttpAnswer, startFleet, until } from '../bench/src/fleet/index.ts';

/** Promised to callers: while Postgres is away the answer comes within this time, ms. */
const ANSWER_WITHIN_MS = 3_000;

let fleet: Fleet;
let pids: readonly number[];

const processes = () => [...fleet.apis(), ...fleet.workers()].map((app) => app.pid);

beforeAll(async () => {
  fleet = await startFleet({ workers: 2, gyms: { count: 2, members: 50 } });
  pids = processes();
});

afterAll(() => fleet?.close());

function post(key: string): Promise<HttpAnswer> {
  const headers = { 'idempotency-key': key };
  return fleet.caller.call('/v1/jobs/ops.canary/runs', { method: 'POST', body: { input: { echo: key } }, headers });
}

function scoreOnce(key: string): Promise<HttpAnswer> {
  const headers = { 'idempotency-key': key };
  const body = { tenant: fleet.gyms[0]?.slug };
  return fleet.caller.call('/v1/jobs/gym.commitment-scores/runs', { method: 'POST', body, headers });
}

async function untilCompleted(id: string): Promise<void> {
  await until('the run to complete', async () => {
    const answer = await fleet.caller.call(`/v1/runs/${id}`).catch(() => null);
    return answer?.status === 200 && answer.body.status === 'completed';
  });
}

/** What was committed although its answer was lost has run by itself. */
async function untilNothingIsOpen(): Promise<void> {
  await until('every run to end', async () => (await fleet.admin.rows('SELECT 1 FROM ops.open_runs')).length === 0);
}

/** All runs that carry this key, open or ended. */
async function runsOf(key: string): Promise<string[]> {
  const rows = await fleet.admin.rows<{ id: string }>(
    `SELECT id FROM ops.open_runs WHERE input ->> 'echo' = $1 UNION ALL SELECT run_id FROM ops.run_payloads WHERE input ->> 'echo' = $1`,
    [key],
  );
  return rows.map((row) => row.id);
}

function expectUnavailable(answer: HttpAnswer): void {
  expect(answer.status).toBe(503);
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(answer.ms).toBeLessThan(ANSWER_WITHIN_MS);
}

/** Posts under several keys while Postgres is away, heals, posts them again: one run a key, and all complete. */
async function expectNothingByHalves(heal: () => Promise<void>): Promise<void> {
  const keys = Array.from({ length: 12 }, () => randomUUID());
  for (const answer of await Promise.all(keys.map(post))) expectUnavailable(answer);
  // A hosted cron and a job that joins open runs take other ways to the same store.
  const cron = { method: 'POST', token: fleet.cronSecret } as const;
  expectUnavailable(await fleet.caller.call('/api/cron/commitment-scores', cron));
  expectUnavailable(await scoreOnce(randomUUID()));
  const ready = await fleet.caller.call('/readyz', { token: null });
  expect(ready.status).toBe(503);
  expect(ready.ms).toBeLessThan(ANSWER_WITHIN_MS);
  expect((await fleet.caller.call('/healthz', { token: null })).status).toBe(200);
  await heal();
  await untilNothingIsOpen();
  for (const key of keys) {
    const answer = await until('it to be accepted', async () => {
      const again = await post(key);
      return again.status === 202 ? again : null;
    });
    await untilCompleted(answer.body.id);
    expect(await runsOf(key)).toEqual([answer.body.id]);
  }
}

test('Redis down: still accepted, and dispatched when it is back', async () => {
  await fleet.redis.stop();
  const answers = await Promise.all(Array.from({ length: 20 }, () => post(randomUUID())));
  expect(answers.map((answer) => answer.status)).toEqual(Array(20).fill(202));
  const ready = await fleet.caller.call('/readyz', { token: null });
  expect(ready).toMatchObject({ status: 200, body: { redis: 'down' } });
  const waiting = await fleet.admin.rows('SELECT id FROM ops.open_runs');
  expect(waiting).toHaveLength(20);

  await fleet.redis.start({ keepFile: true });
  for (const answer of answers) await untilCompleted(answer.body.id);
});

test('Redis silent (a network that swallows everything): still accepted', async () => {
  fleet.redis.proxy.set('silent');
  const answer = await post(randomUUID());
  expect(answer.status).toBe(202);
  fleet.redis.proxy.set('pass');
  await untilCompleted(answer.body.id);
});

test('Postgres down: 503 with Retry-After in time, nothing accepted by halves', async () => {
  await fleet.postgres.stop('fast');
  await expectNothingByHalves(() => fleet.postgres.start());
});

test('Postgres silent: 503 in time as well, nothing accepted by halves', async () => {
  fleet.postgres.proxy.set('silent');
  await expectNothingByHalves(async () => fleet.postgres.proxy.set('pass'));
});

test('Postgres hears us and its answers are lost: what it committed is found again under its key', async () => {
  fleet.postgres.proxy.set('drop-replies');
  await expectNothingByHalves(async () => fleet.postgres.proxy.set('pass'));
});

test('nobody of ours was restarted', () => {
  expect(processes()).toEqual(pids);
});
