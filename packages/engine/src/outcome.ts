import {
  CrashLoopError,
  type DeadlineExceededError,
  errorClass,
  InvalidInputError,
  PermanentError,
  SnoozeError,
} from './errors.ts';
import { type RetryPolicy, retryDelayMs } from './policy.ts';
import type { RunOutcome } from './run-status.ts';
import { scrubbed } from './store-errors.ts';

/** What became of one attempt: a closed set, told apart by `kind`. */
export type Outcome =
  | { readonly kind: 'completed'; readonly result: unknown; readonly failedItems: number }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'timeout'; readonly error: DeadlineExceededError }
  | { readonly kind: 'cancelled' }
  /** The handler wants to be asked again later: no attempt counted. */
  | { readonly kind: 'snoozed'; readonly delayMs: number }
  /** The worker is stopping: the run goes back, no attempt counted. */
  | { readonly kind: 'interrupted' }
  /** Another worker owns the run: nothing is to be written. */
  | { readonly kind: 'lost' }
  /** Its shards do it now, and the last of them ends it. */
  | { readonly kind: 'split' };

/** What is to be written for an outcome. */
export type Verdict =
  | {
      readonly write: 'end';
      readonly outcome: RunOutcome;
      readonly result: unknown;
      readonly errorClass: string | null;
      readonly errorMessage: string | null;
    }
  | {
      readonly write: 'retry';
      readonly outcome: 'failed' | 'timeout';
      readonly delayMs: number;
      readonly errorClass: string;
      readonly errorMessage: string;
    }
  | { readonly write: 'snooze'; readonly delayMs: number }
  | { readonly write: 'release' }
  | { readonly write: 'nothing' };

/** What a throw of a handler means. */
export function thrownOutcome(error: unknown): Outcome {
  return error instanceof SnoozeError ? { kind: 'snoozed', delayMs: error.ms } : { kind: 'failed', error };
}

/** No retry can mend these: bad input, a missing entity, a run that kills its workers. */
function isPermanent(error: unknown): boolean {
  return error instanceof PermanentError || error instanceof InvalidInputError || error instanceof CrashLoopError;
}

/** The verdict on an attempt (1-based) that ended so, under this policy. */
export function judge(outcome: Outcome, attempt: number, policy: RetryPolicy): Verdict {
  switch (outcome.kind) {
    case 'completed':
      return {
        write: 'end',
        outcome: outcome.failedItems > 0 ? 'completed_with_item_errors' : 'completed',
        result: outcome.result,
        errorClass: null,
        errorMessage: null,
      };
    case 'cancelled':
      return { write: 'end', outcome: 'cancelled', result: null, errorClass: null, errorMessage: null };
    case 'failed':
    case 'timeout': {
      const failure = { errorClass: errorClass(outcome.error), errorMessage: scrubbed(outcome.error) };
      const delayMs = isPermanent(outcome.error) ? null : retryDelayMs(policy, attempt);
      if (delayMs === null) return { write: 'end', outcome: 'failed', result: null, ...failure };
      return { write: 'retry', outcome: outcome.kind, delayMs, ...failure };
    }
    case 'snoozed':
      return { write: 'snooze', delayMs: outcome.delayMs };
    case 'interrupted':
      return { write: 'release' };
    case 'lost':
    case 'split':
      return { write: 'nothing' };
    default:
      return unknownOutcome(outcome);
  }
}

/** An outcome that nobody knows is a failure, never a success. */
function unknownOutcome(outcome: never): Verdict {
  return {
    write: 'end',
    outcome: 'failed',
    result: null,
    errorClass: 'UnknownOutcomeError',
    errorMessage: `The attempt ended in a way that is not known: ${JSON.stringify(outcome)?.slice(0, 200)}`,
  };
}
