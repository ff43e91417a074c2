import type { PoolClient } from '@nightshift/db';
import type { DefinedJob, RequestContext, RequestJob, RequestResult, RequestRun } from '../define-job.ts';
import { DeadlineExceededError, PermanentError, SnoozeError } from '../errors.ts';
import { halve, UNDO_PART } from '../halve.ts';
import { type Outcome, thrownOutcome } from '../outcome.ts';
import type { ClaimedRun } from '../record.ts';
import { runInput } from '../run-input.ts';
import { storableJson } from '../storable.ts';
import { type ExecuteDeps, lazyDb, lend } from './execution.ts';
import { orAborted, type Stopper } from './signals.ts';

export type Claimed = ClaimedRun & { now: Date };

/** A run of the bundle with what became of this try at it. */
export interface Attempt {
  readonly run: ClaimedRun;
  readonly outcome: Outcome;
}

/** Each run's outcome; a run whose handler throws is found by halving and fails alone. */
export async function handleBundle(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  client: PoolClient,
  rows: readonly Claimed[],
  stopper: Stopper,
  timeoutMs: number,
): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  const runs: Readable[] = [];
  for (const row of rows) {
    try {
      const input = runInput(job, row.input, row.inputVersion);
      runs.push({ row, run: { runId: row.id, tenantId: row.tenantId, input, attempt: row.attempt } });
    } catch (error) {
      attempts.push({ run: row, outcome: { kind: 'failed', error } });
    }
  }
  const [first] = rows;
  if (runs.length === 0 || first === undefined) return attempts;
  const lent = lend(client);
  const context = await requestContext(deps, job, lent.client, first, stopper);
  const halved = await halve(client, runs, (part) => handlePart(job, client, context, stopper, part)).finally(
    lent.takeBack,
  );
  for (const { result } of halved.done) attempts.push(...result);
  for (const { item, error } of halved.failed) {
    const timedOut = stopper.reason === 'timeout';
    const outcome: Outcome = timedOut
      ? { kind: 'timeout', error: new DeadlineExceededError(timeoutMs) }
      : thrownOutcome(error);
    attempts.push({ run: item.row, outcome: stopper.reason === 'shutdown' ? { kind: 'interrupted' } : outcome });
  }
  return attempts;
}

async function requestContext(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  client: PoolClient,
  first: Claimed,
  stopper: Stopper,
): Promise<RequestContext> {
  const tenant = await deps.tenants.byId(first.tenantId);
  const lazy = lazyDb(client);
  return {
    now: first.now,
    dryRun: false,
    signal: stopper.signal,
    log: deps.log.child({ job: job.name, tenant: tenant.slug }),
    worker: deps.worker,
    tenant,
    client,
    get db() {
      return lazy.db;
    },
  };
}

interface Readable {
  readonly row: Claimed;
  readonly run: RequestRun<unknown>;
}

/** One call of the handler. Runs that it calls failed or puts off leave nothing behind: the call is undone and made again for the others. */
async function handlePart(
  job: DefinedJob<RequestJob>,
  client: PoolClient,
  context: RequestContext,
  stopper: Stopper,
  part: readonly Readable[],
): Promise<Attempt[]> {
  const failed: Attempt[] = [];
  for (let left = part; left.length > 0; ) {
    stopper.deadline.throwIfAborted();
    const call = job.handle(
      context,
      left.map((readable) => readable.run),
    );
    const results = checkedResults(left.length, await orAborted(call, stopper.deadline));
    const attempts = left.map(({ row }, i) => ({ run: row, outcome: resultOutcome(results[i]) }));
    const bad = attempts.filter((attempt) => attempt.outcome.kind !== 'completed');
    if (bad.length === 0) return [...attempts, ...failed];
    await client.query(UNDO_PART);
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
