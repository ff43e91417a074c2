import type { PoolClient } from '@nightshift/db';
import { jobAlerts } from '../alerts/job-alerts.ts';
import type { ClaimedShort } from '../claim.ts';
import { jobCrypto } from '../crypto/job-crypto.ts';
import { isSealed, openInput, type PersonalValues } from '../crypto/sealed-input.ts';
import type { DefinedJob, RequestContext, RequestJob, RequestResult, RequestRun } from '../define-job.ts';
import { DeadlineExceededError, PermanentError, SnoozeError } from '../errors.ts';
import { halve, halves, UNDO_PART } from '../halve.ts';
import { type Outcome, thrownOutcome } from '../outcome.ts';
import { runInput } from '../run-input.ts';
import { storableJson } from '../storable.ts';
import { isPassing } from '../store-errors.ts';
import { type ExecuteDeps, lazyDb, lend, notifyFor } from './execution.ts';
import { orAborted, type Stopper } from './signals.ts';

/** A run of the bundle with what became of this try at it. */
export interface Attempt {
  readonly run: ClaimedShort;
  readonly outcome: Outcome;
}

/** What a call of the handler has shown; its transaction is to be rolled back and made again with this. */
export class TriedError extends Error {
  override readonly name = 'TriedError';
  /** Outcomes that are known, by run. */
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** True when the call threw, and any of the runs may be the one. */
  readonly threw: boolean;
  constructor(outcomes: ReadonlyMap<string, Outcome>, threw: boolean) {
    super('the bundle is to be handled again');
    this.outcomes = outcomes;
    this.threw = threw;
  }
}

/** A bundle in hand: its job, connection, limits in time. */
export interface InHand {
  readonly job: DefinedJob<RequestJob>;
  readonly client: PoolClient;
  readonly stopper: Stopper;
  readonly timeoutMs: number;
  readonly personal: PersonalValues;
  /** Called before the handler's first statement. */
  readonly first?: () => void;
}

/**
 * Each run's outcome. Without `tried` all runs are handled in one call, with no savepoint: the usual case. With it, inside savepoints: a run
 * whose handler throws is found by halving and fails alone.
 * Errors: `TriedError` when the call without savepoints left something to undo.
 */
export async function handleBundle(
  deps: ExecuteDeps,
  hand: InHand,
  rows: readonly ClaimedShort[],
  tried: TriedError | null,
): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  const runs: Readable[] = [];
  for (const row of rows) {
    const known = tried?.outcomes.get(row.id);
    if (known !== undefined) {
      attempts.push({ run: row, outcome: known });
      continue;
    }
    try {
      const stored = isSealed(row.input) ? await openInput(deps.crypto, row, row.input, hand.personal) : row.input;
      const input = runInput(hand.job, stored, row.inputVersion);
      runs.push({ row, run: { runId: row.id, tenantId: row.tenantId, input, attempt: row.attempt } });
    } catch (error) {
      if (isPassing(error)) throw error;
      attempts.push({ run: row, outcome: { kind: 'failed', error } });
    }
  }
  const [first] = rows;
  if (runs.length === 0 || first === undefined) return attempts;
  const lent = lend(hand.client, { first: hand.first });
  try {
    const context = await requestContext(deps, hand.job, lent.client, first, hand.stopper);
    const handled = tried === null ? handleWhole(hand, context, runs) : handleParts(hand, context, runs, tried.threw);
    attempts.push(...(await handled));
    return attempts;
  } finally {
    lent.takeBack();
  }
}

async function handleWhole(hand: InHand, context: RequestContext, runs: readonly Readable[]): Promise<Attempt[]> {
  try {
    const attempts = await callOnce(hand, context, runs);
    const bad = attempts.filter((attempt) => attempt.outcome.kind !== 'completed');
    if (bad.length === 0) return attempts;
    throw new TriedError(new Map(bad.map(({ run, outcome }) => [run.id, outcome])), false);
  } catch (error) {
    if (error instanceof TriedError || isPassing(error)) throw error;
    // Of one run, or of a call that was stopped, it is known whose error it is.
    const shared = runs.length === 1 || hand.stopper.deadline.aborted || hand.stopper.reason === 'shutdown';
    const outcome = outcomeOf(error, hand);
    throw new TriedError(new Map(shared ? runs.map(({ row }) => [row.id, outcome]) : []), true);
  }
}

async function handleParts(
  hand: InHand,
  context: RequestContext,
  runs: readonly Readable[],
  threw: boolean,
): Promise<Attempt[]> {
  const work = (part: readonly Readable[]) => handlePart(hand, context, part);
  const halved = threw ? await halves(hand.client, runs, work) : await halve(hand.client, runs, work);
  return [
    ...halved.done.flatMap(({ result }) => result),
    ...halved.failed.map(({ item, error }) => ({ run: item.row, outcome: outcomeOf(error, hand) })),
  ];
}

function outcomeOf(error: unknown, { stopper, timeoutMs }: InHand): Outcome {
  if (stopper.reason === 'shutdown') return { kind: 'interrupted' };
  if (stopper.reason === 'timeout') return { kind: 'timeout', error: new DeadlineExceededError(timeoutMs) };
  return thrownOutcome(error);
}

async function requestContext(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  client: PoolClient,
  first: ClaimedShort,
  stopper: Stopper,
): Promise<RequestContext> {
  const tenant = await deps.tenants.byId(first.tenantId);
  const lazy = lazyDb(client);
  return {
    now: new Date(first.now),
    dryRun: false,
    // Own getters, unlike a class's, are in a handler's copy of its context too.
    get signal() {
      return stopper.signal;
    },
    log: deps.log.child({ job: job.name, tenant: tenant.slug }),
    worker: deps.worker,
    crypto: jobCrypto(deps.crypto, job),
    tenant,
    client,
    notify: notifyFor(deps, job, client, first, false),
    ...jobAlerts(client, { job: job.name, tenantId: tenant.id, dryRun: false }),
    get db() {
      return lazy.db;
    },
  };
}

interface Readable {
  readonly row: ClaimedShort;
  readonly run: RequestRun<unknown>;
}

/** One call of the handler: an outcome a run. */
async function callOnce(
  { job, stopper }: InHand,
  context: RequestContext,
  part: readonly Readable[],
): Promise<Attempt[]> {
  if (stopper.deadline.aborted) throw stopper.deadline.reason;
  const call = job.handle(
    context,
    part.map((readable) => readable.run),
  );
  const results = checkedResults(part.length, await orAborted(call, stopper.deadline));
  return part.map(({ row }, i) => ({ run: row, outcome: resultOutcome(results[i]) }));
}

/** Runs that the handler calls failed or puts off leave nothing behind: the call is undone and made again for the others. */
async function handlePart(hand: InHand, context: RequestContext, part: readonly Readable[]): Promise<Attempt[]> {
  const failed: Attempt[] = [];
  for (let left = part; left.length > 0; ) {
    const attempts = await callOnce(hand, context, left);
    const bad = attempts.filter((attempt) => attempt.outcome.kind !== 'completed');
    if (bad.length === 0) return [...attempts, ...failed];
    await hand.client.query(UNDO_PART);
    failed.push(...bad);
    left = left.filter((_, i) => attempts[i]?.outcome.kind === 'completed');
  }
  return failed;
}

function checkedResults(
  expected: number,
  results: readonly RequestResult<unknown>[],
): readonly RequestResult<unknown>[] {
  if (!Array.isArray(results) || results.length !== expected) {
    throw new Error(
      `handle must return one result a run: expected ${expected}, got ${Array.isArray(results) ? results.length : typeof results}`,
    );
  }
  return results;
}

/** None of `ok`, `error` and `snooze`: nobody knows what happened, so it failed. */
function resultOutcome(result: RequestResult<unknown> | undefined): Outcome {
  if (result !== undefined && 'error' in result) return thrownOutcome(result.error);
  if (result !== undefined && 'snooze' in result) return snoozedOutcome(result.snooze);
  if (result === undefined || !('ok' in result))
    return { kind: 'failed', error: new Error(`handle returned none of 'ok', 'error' and 'snooze' for the run`) };
  const stored = storableJson(result.ok);
  if ('problem' in stored)
    return { kind: 'failed', error: new PermanentError(`its result cannot be stored: ${stored.problem}`) };
  return { kind: 'completed', result: result.ok, failedItems: 0 };
}

function snoozedOutcome(ms: number): Outcome {
  try {
    return thrownOutcome(new SnoozeError(ms));
  } catch (error) {
    return { kind: 'failed', error };
  }
}
