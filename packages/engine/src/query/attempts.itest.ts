import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runJob, type TestEngine, testEngine } from '../testing/index.ts';
import { createGate, makeTinyTables, tinyRequest, tinySweep, tinyTask } from '../testing/tiny.ts';
import { type AttemptView, listAttempts } from './index.ts';

const TIMEOUT_MS = 200;
const slow = { retry: { retries: 1, delayMs: 1 }, options: { batchDelayMs: 0, batchSize: 10, timeoutMs: TIMEOUT_MS } };
let calls = 0;
/** The call that is answered; all others are met with silence. */
let answered = 0;

async function silence(): Promise<void> {
  calls += 1;
  if (calls !== answered) await createGate().pass();
}

const request = tinyRequest('silent-request', {
  ...slow,
  async handle(_ctx, runs) {
    await silence();
    return runs.map(() => ({ ok: null }));
  },
});
const sweep = tinySweep('silent-sweep', {
  ...slow,
  async items() {
    await silence();
    return [];
  },
});
const task = tinyTask('silent-task', { ...slow, run: silence });
const throwing = tinyRequest('throwing', {
  retry: { retries: 1, delayMs: 1 },
  async handle() {
    throw new Error('at once');
  },
});

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [request, sweep, task, throwing] });
  await makeTinyTables(engine.store);
  await engine.store.addTenant('tiny', 'one');
});
afterAll(() => engine.close());

async function attemptsOf(job: string, answer = 0): Promise<{ status: string; attempts: AttemptView[] }> {
  [calls, answered] = [0, answer];
  const { id, status } = await runJob(engine, { job, tenant: 'one', input: {} });
  return { status, attempts: await listAttempts(engine.producer.pools, id, null) };
}
const outcomes = (attempts: readonly AttemptView[]) => attempts.map(({ attempt, outcome }) => [attempt, outcome]);

describe.each([request.name, sweep.name, task.name])('of %s', (job) => {
  it('each attempt that took too long is a timeout, the last one of the failed run as well', async () => {
    const { status, attempts } = await attemptsOf(job);
    expect(status).toBe('failed');
    expect(outcomes(attempts)).toEqual([
      [1, 'timeout'],
      [2, 'timeout'],
    ]);
    expect(attempts.map(({ errorClass }) => errorClass)).toEqual(['DeadlineExceededError', 'DeadlineExceededError']);
  });

  it('the attempt after a timeout is told by how it ended', async () => {
    const { status, attempts } = await attemptsOf(job, 2);
    expect(status).toBe('completed');
    expect(outcomes(attempts)).toEqual([
      [1, 'timeout'],
      [2, 'completed'],
    ]);
  });
});

it('an error that is no timeout is a failure', async () => {
  const { attempts } = await attemptsOf(throwing.name);
  expect(outcomes(attempts)).toEqual([
    [1, 'failed'],
    [2, 'failed'],
  ]);
});

it.each([
  ['answers', request.name, 2],
  ['fails', throwing.name, 0],
])('the last attempt of a request run that %s has the time it started at', async (_how, job, answer) => {
  const { attempts } = await attemptsOf(job, answer);
  const [first, last] = attempts;
  expect(first?.startedAt).toBeInstanceOf(Date);
  expect(last?.startedAt).toBeInstanceOf(Date);
  expect(Number(last?.startedAt)).toBeGreaterThanOrEqual(Number(first?.endedAt));
  expect(Number(last?.startedAt)).toBeLessThanOrEqual(Number(last?.endedAt));
});

it('a first and only attempt has the time that its run started at', async () => {
  const { attempts } = await attemptsOf(request.name, 1);
  expect(attempts).toMatchObject([{ attempt: 1, outcome: 'completed', startedAt: expect.any(Date) }]);
});
