import { expect, it } from 'vitest';
import { CrashLoopError, DeadlineExceededError, InvalidInputError, PermanentError } from './errors.ts';
import { judge, type Outcome } from './outcome.ts';
import { retryDelayMs, retryPolicy } from './policy.ts';
import { PRIORITIES, priorityName, priorityNumber } from './priority.ts';

const policy = retryPolicy('MEDIUM');

it('follows the table of the specification', () => {
  const table = PRIORITIES.map((priority) => {
    const { retries, delayMs } = retryPolicy(priority);
    return [priority, retries, delayMs / 1_000];
  });
  expect(table).toEqual([
    ['CRITICAL', 5, 60],
    ['HIGH', 3, 300],
    ['MEDIUM', 3, 600],
    ['LOW', 2, 1_800],
  ]);
});

it('keeps priorities and their numbers apart and together', () => {
  expect(PRIORITIES.map(priorityNumber)).toEqual([1, 2, 3, 4]);
  expect([1, 2, 3, 4].map(priorityName)).toEqual(PRIORITIES);
  for (const wrong of [0, 5, 1.5, Number.NaN]) expect(() => priorityName(wrong)).toThrow(RangeError);
});

it('gives as many retries as the policy says, then none', () => {
  const delays = [1, 2, 3, 4].map((attempt) => retryDelayMs(policy, attempt));
  expect(delays).toEqual([600_000, 600_000, 600_000, null]);
});

it('lets a job refine its policy and never drops the rest', () => {
  const refined = retryPolicy('HIGH', { backoff: 'exponential', delayMs: 1_000 });
  expect([1, 2, 3, 4].map((attempt) => retryDelayMs(refined, attempt))).toEqual([1_000, 2_000, 4_000, null]);
});

it('lengthens by jitter, never shortens', () => {
  const refined = retryPolicy('HIGH', { delayMs: 1_000, jitter: 0.5 });
  expect(retryDelayMs(refined, 1, () => 0)).toBe(1_000);
  expect(retryDelayMs(refined, 1, () => 1)).toBe(1_500);
});

it('waits no longer than Postgres can count, however often the delay was doubled', () => {
  const doubled = retryPolicy('LOW', { retries: 2_000, delayMs: 3_600_000, backoff: 'exponential', jitter: 1 });
  expect([10, 11, 20, 2_000].map((attempt) => retryDelayMs(doubled, attempt, () => 0))).toEqual([
    1_843_200_000, 2_147_483_647, 2_147_483_647, 2_147_483_647,
  ]);
  expect(retryDelayMs(doubled, 10, () => 1)).toBe(2_147_483_647);
});

it('ends a completed attempt, and says when items failed', () => {
  expect(judge({ kind: 'completed', result: 1, failedItems: 0 }, 1, policy)).toMatchObject({
    write: 'end',
    outcome: 'completed',
    result: 1,
  });
  expect(judge({ kind: 'completed', result: 1, failedItems: 2 }, 1, policy)).toMatchObject({
    outcome: 'completed_with_item_errors',
  });
});

it('retries a failure and a timeout until no retry is left', () => {
  const timeout: Outcome = { kind: 'timeout', error: new DeadlineExceededError(5) };
  expect(judge({ kind: 'failed', error: new Error('x') }, 3, policy)).toMatchObject({
    write: 'retry',
    outcome: 'failed',
    delayMs: 600_000,
    errorClass: 'Error',
  });
  expect(judge(timeout, 1, policy)).toMatchObject({ write: 'retry', outcome: 'timeout' });
  expect(judge(timeout, 4, policy)).toMatchObject({
    write: 'end',
    outcome: 'failed',
    errorClass: 'DeadlineExceededError',
  });
});

it.each([new PermanentError('x'), new InvalidInputError('x', []), new CrashLoopError(3)])('retries no %s', (error) => {
  expect(judge({ kind: 'failed', error }, 1, policy)).toMatchObject({ write: 'end', outcome: 'failed' });
});

it('writes nothing for a run that is another worker’s, and counts no attempt for an interrupted one', () => {
  expect(judge({ kind: 'lost' }, 1, policy)).toEqual({ write: 'nothing' });
  expect(judge({ kind: 'interrupted' }, 1, policy)).toEqual({ write: 'release' });
  expect(judge({ kind: 'cancelled' }, 1, policy)).toMatchObject({ write: 'end', outcome: 'cancelled' });
});

it('takes an outcome that nobody knows for a failure', () => {
  const strange = { kind: 'great success' } as unknown as Outcome;
  expect(judge(strange, 1, policy)).toMatchObject({
    write: 'end',
    outcome: 'failed',
    errorClass: 'UnknownOutcomeError',
  });
});

it('records what was thrown even when it is no error', () => {
  expect(judge({ kind: 'failed', error: 'text' }, 9, policy)).toMatchObject({
    errorClass: 'string',
    errorMessage: 'text',
  });
  expect(judge({ kind: 'failed', error: undefined }, 9, policy)).toMatchObject({ errorClass: 'undefined' });
});
