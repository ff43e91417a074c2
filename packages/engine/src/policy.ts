import type { Priority } from './priority.ts';

/** What happens after a failed attempt. `delayMs` is the wait before the first retry. */
export interface RetryPolicy {
  readonly retries: number;
  readonly delayMs: number;
  readonly backoff: 'fixed' | 'exponential';
  /** Share of the delay, 0 to 1, by which it is lengthened at random, so that runs that failed together do not return together. */
  readonly jitter: number;
}

/** Longest wait before a retry, ms: Postgres' integer, nearly 25 days. */
export const MAX_DELAY_MS = 2_147_483_647;

/** SPEC 2, after the medication system's priority table. */
const BY_PRIORITY: Readonly<Record<Priority, RetryPolicy>> = {
  CRITICAL: { retries: 5, delayMs: 60_000, backoff: 'fixed', jitter: 0 },
  HIGH: { retries: 3, delayMs: 300_000, backoff: 'fixed', jitter: 0 },
  MEDIUM: { retries: 3, delayMs: 600_000, backoff: 'fixed', jitter: 0 },
  LOW: { retries: 2, delayMs: 1_800_000, backoff: 'fixed', jitter: 0 },
};

/** The policy of a run: its priority's, with what its job refines. */
export function retryPolicy(priority: Priority, refined: Partial<RetryPolicy> = {}): RetryPolicy {
  return { ...BY_PRIORITY[priority], ...refined };
}

/** Wait before the attempt after `failedAttempt` (1-based), ms; null when no retry is left. */
export function retryDelayMs(policy: RetryPolicy, failedAttempt: number, random = Math.random): number | null {
  if (failedAttempt > policy.retries) return null;
  const base = policy.backoff === 'exponential' ? policy.delayMs * 2 ** (failedAttempt - 1) : policy.delayMs;
  return Math.min(Math.round(base * (1 + policy.jitter * random())), MAX_DELAY_MS);
}
