import { type BeforeCommit, inTransaction, type PoolClient } from '@nightshift/db';
import { type ClaimedRun, type ClaimedShort, claimFirst, claimLocked, claimShort, readDispatch } from '../claim.ts';
import { jobCrypto } from '../crypto/job-crypto.ts';
import { maskedVerdict } from '../crypto/masked-message.ts';
import { openInput, type PersonalValues } from '../crypto/sealed-input.ts';
import { sealResults } from '../crypto/sealed-result.ts';
import type { DefinedJob, RequestJob, RequestRun } from '../define-job.ts';
import { DeadlineExceededError } from '../errors.ts';
import { closeDispatch, declineDispatch, leaveDispatch } from '../in-hand.ts';
import { judge, type Outcome, thrownOutcome, type Verdict } from '../outcome.ts';
import { type End, endClean, endRuns, type Retry, retryRuns, type Snoozed, snoozeRuns } from '../record.ts';
import { runInput } from '../run-input.ts';
import type { RunStatus } from '../run-status.ts';
import { isLocked, isOutage, isPassing, isTooLong, outlasted } from '../store-errors.ts';
import { type Dispatch, type ExecuteDeps, logSuccess, policyOf, untilStored } from './execution.ts';
import { type Attempt, handleBundle, TriedError } from './handle-bundle.ts';
import { createStopper, orAborted, type Stopper } from './signals.ts';
import { executeTogether, mayShare } from './together.ts';

/** Class of the error a lone run failed with for good, for Bull Board's failed tab; null otherwise. */
export type ShortReport = { readonly failedWith: string | null };

const NOTHING: ShortReport = { failedWith: null };
/** Tries of a bundle's transaction before its runs are left to recovery. */
const STORE_TRIES = 8;

/**
 * Runs of a request job, one dispatch: claim, effects and end in one transaction; the lock of the dispatch is the claim.
 * Whatever is not committed here (a crash, Postgres away) leaves the dispatch as it is, and recovery finds it.
 */
export async function executeShort(deps: ExecuteDeps, dispatch: Dispatch): Promise<ShortReport> {
  const job = deps.catalogue.find(dispatch.job);
  if (job === undefined || job.kind !== 'request') {
    await giveBack(deps, dispatch);
    return NOTHING;
  }
  if (dispatch.tenantIds.length === 1) return executeBundle(deps, job, dispatch);
  if (mayShare(job) && (await executeTogether(deps, job, dispatch))) return NOTHING;
  // As each tenant the transaction sees its own runs of the dispatch alone.
  for (const tenantId of dispatch.tenantIds)
    await executeBundle(deps, job, { ...dispatch, tenantIds: [tenantId], others: true });
  await stored(() => inTransaction(deps.app, dispatch.tenantIds, (client) => closeDispatch(client, dispatch.id)));
  return NOTHING;
}

/** A tenant's runs of a dispatch; `others`: those of other tenants are left in it. */
interface OneTenant extends Dispatch {
  readonly others?: boolean;
}

const stored = <T>(work: () => Promise<T>): Promise<T> => untilStored(work, (_error, tries) => tries >= STORE_TRIES);

async function executeBundle(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  dispatch: OneTenant,
): Promise<ShortReport> {
  const startedAt = performance.now();
  const stopper = createStopper(dispatch.timeoutMs, deps.shutdown);
  const personal: PersonalValues = new Map();
  try {
    const early = await beforeClaim(deps, job, dispatch, stopper, personal);
    if (early === 'give-back') {
      await giveBack(deps, dispatch);
      return NOTHING;
    }
    const waitedMs = performance.now() - startedAt;
    const lone = dispatch.runs.length === 1;
    const transact = (known: TriedError | Outcome | null) =>
      untilStored(
        () => inOneTransaction(deps, job, dispatch, { stopper, personal }, known, { startedAt, waitedMs }),
        (error, tries) =>
          tries >= STORE_TRIES ||
          (known === null && isLocked(error)) ||
          (outlasted(error) !== null && (tries > 1 || !lone || isTooLong(error))),
      );
    // What cannot be done or committed, however often it is tried (it lasts longer than a transaction may, a deferred constraint): without a
    // verdict the runs would be handed out for ever. A Postgres that is away is no word on them.
    const fail = async (error: unknown) => {
      const limit = outlasted(error);
      if (limit === null && isOutage(error)) throw error;
      if (limit === null) return transact({ kind: 'failed', error });
      const tookMs = performance.now() - startedAt;
      if (lone)
        return transact(
          isTooLong(limit)
            ? { kind: 'timeout', error: new DeadlineExceededError(Math.round(tookMs)) }
            : { kind: 'failed', error: limit },
        );
      // All of them together, or one of them: in smaller bundles it shows, now that it is known how long they take.
      deps.log.warn(
        { job: job.name, runs: dispatch.runs.length, tookMs },
        'a bundle lasts too long: smaller ones follow',
      );
      deps.measured(job.name, tookMs / dispatch.runs.length);
      await giveBack(deps, dispatch);
      return NOTHING;
    };
    if (early !== null) return await transact(early);
    try {
      return await transact(null);
    } catch (error) {
      if (isPassing(error) && !isLocked(error)) return await fail(error);
      const tried = error instanceof TriedError ? error : new TriedError(new Map(), !isLocked(error));
      try {
        return await transact(tried);
      } catch (again) {
        return await fail(again);
      }
    }
  } finally {
    stopper.dispose();
  }
}

/** The job's waiting, with no connection held. Resolves to the outcome that it ended all runs with, if it did. */
async function beforeClaim(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  dispatch: OneTenant,
  stopper: Stopper,
  personal: PersonalValues,
): Promise<Outcome | 'give-back' | null> {
  if (job.before === undefined) return null;
  const rows = await stored(() =>
    inTransaction(deps.app, dispatch.tenantIds, (client) => readDispatch(client, dispatch)),
  );
  const known = rows.filter((row) => row.inputVersion <= job.inputVersion);
  const readable = (await Promise.all(known.map((row) => readRun(deps, job, row, personal)))).flat();
  if (readable.length === 0) return null;
  try {
    const context = {
      now: new Date(),
      dryRun: false,
      signal: stopper.signal,
      log: deps.log.child({ job: job.name }),
      worker: deps.worker,
      crypto: jobCrypto(deps.crypto, job),
    };
    await orAborted(job.before(context, readable), stopper.signal);
    return null;
  } catch (error) {
    if (stopper.reason === 'shutdown') return 'give-back';
    if (stopper.reason === 'timeout') return { kind: 'timeout', error: new DeadlineExceededError(dispatch.timeoutMs) };
    return thrownOutcome(error);
  }
}

/** The run as its handler sees it; none when its stored input can't be read (that outcome is found again at the claim). */
async function readRun(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  row: ClaimedRun,
  personal: PersonalValues,
): Promise<RequestRun<unknown>[]> {
  try {
    return [
      {
        runId: row.id,
        tenantId: row.tenantId,
        input: runInput(job, await openInput(deps.crypto, row, row.input, personal), row.inputVersion),
        attempt: row.attempt,
      },
    ];
  } catch {
    return [];
  }
}

async function inOneTransaction(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  dispatch: OneTenant,
  held: { readonly stopper: Stopper; readonly personal: PersonalValues },
  known: TriedError | Outcome | null,
  { startedAt, waitedMs }: { startedAt: number; waitedMs: number },
): Promise<ShortReport> {
  let ownMs = waitedMs;
  const written = await inTransaction(
    deps.app,
    dispatch.tenantIds,
    async (client, beforeCommit, begun) => {
      const claimed =
        known === null ? await claimShort(client, dispatch, begun) : await claimLocked(client, dispatch.id);
      const ours = claimed.filter((row) => row.inputVersion <= job.inputVersion);
      if (ours.length === 0) {
        await leave(client, dispatch, claimed);
        return null;
      }
      const hand = { job, client, ...held, timeoutMs: dispatch.timeoutMs };
      const handedAt = performance.now();
      const attempts =
        known === null || known instanceof TriedError
          ? await handleBundle(deps, hand, ours, known)
          : ours.map((run) => ({ run, outcome: known }));
      ownMs = waitedMs + performance.now() - handedAt;
      const durationMs = Math.round(performance.now() - startedAt);
      const { personal } = held;
      return writeVerdicts(deps, job, client, attempts, beforeCommit, { dispatch, claimed, personal, durationMs });
    },
    known === null ? { first: claimFirst(dispatch.id) } : {},
  );
  if (written === null) return NOTHING;
  deps.measured(job.name, ownMs / written.length);
  return report(deps, job, dispatch, written);
}

type Written = { readonly run: ClaimedShort; readonly verdict: Verdict };

async function writeVerdicts(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  client: PoolClient,
  attempts: readonly Attempt[],
  beforeCommit: BeforeCommit,
  {
    dispatch,
    claimed,
    personal,
    durationMs,
  }: { dispatch: OneTenant; claimed: readonly ClaimedShort[]; personal: PersonalValues; durationMs: number },
): Promise<Written[]> {
  const own = await ownRetries(client, attempts);
  const written = attempts.map(({ run, outcome }) => ({
    run,
    verdict: maskedVerdict(run, personal, judge(outcome, run.attempt, policyOf(job, run.priority, own.get(run.id)))),
  }));
  let ends: End[] = [];
  const retries: Retry[] = [];
  const snoozed: Snoozed[] = [];
  for (const { run, verdict } of written) {
    const { id, fence } = run;
    // What is spread comes last: with keys behind it V8 makes each object a hidden class of its own (decision 0022).
    if (verdict.write === 'end') ends.push({ id, fence, durationMs, ...verdict });
    else if (verdict.write === 'retry') retries.push({ id, fence, ...verdict });
    else if (verdict.write === 'snooze') snoozed.push({ id, fence, ...verdict });
  }
  const [tenantId = ''] = dispatch.tenantIds;
  if (job.personalResult === true) ends = await sealResults(deps.crypto, tenantId, ends);
  // A part of the dispatch may not have been claimed: it is another tenant's, or after a failover to a slower clock its due times are still to come.
  const whole = ends.length === claimed.length && claimed.length === dispatch.runs.length;
  if (whole && ends.every((end) => end.outcome === 'completed')) {
    const results = Object.fromEntries(
      ends.filter((end) => (end.result ?? null) !== null).map((end) => [end.id, end.result]),
    );
    const bundles = [{ tenantId, runs: claimed.length, durationMs }];
    beforeCommit(endClean(client, { dispatchId: dispatch.id, job: job.name, bundles, results }, deps.worker));
    return written;
  }
  const by = { worker: deps.worker, as: 'queued' } as const;
  if (ends.length > 0) {
    const ended = await endRuns(client, ends, { ...by, bundleSize: claimed.length });
    // Somebody had a run while it was executed unlocked: what it did must not stay.
    if (ended.size < ends.length) throw new TriedError(new Map(), false);
  }
  if (retries.length > 0) await retryRuns(client, retries, { ...by, durationMs });
  if (snoozed.length > 0) await snoozeRuns(client, snoozed, by);
  await leave(client, dispatch, claimed);
  return written;
}

/** After whatever was written: what was not is queued still, and to be had again. */
function leave(client: PoolClient, dispatch: OneTenant, claimed: readonly ClaimedShort[]): Promise<void> {
  if (!dispatch.others) return closeDispatch(client, dispatch.id);
  return leaveDispatch(
    client,
    dispatch.id,
    claimed.map((run) => run.id),
  );
}

/** Runs that name their retries themselves. Asked when something failed: the claim, which all runs pay for, reads no options. */
async function ownRetries(client: PoolClient, attempts: readonly Attempt[]): Promise<ReadonlyMap<string, number>> {
  const failed = attempts.filter(({ outcome }) => outcome.kind === 'failed' || outcome.kind === 'timeout');
  if (failed.length === 0) return new Map();
  const { rows } = await client.query<{ id: string; retries: number }>(
    `SELECT id, (options ->> 'retries')::integer AS retries FROM ops.open_runs WHERE id = ANY ($1) AND options ? 'retries'`,
    [failed.map(({ run }) => run.id)],
  );
  return new Map(rows.map((row) => [row.id, row.retries]));
}

function report(deps: ExecuteDeps, job: DefinedJob, dispatch: Dispatch, written: readonly Written[]): ShortReport {
  const ended: [string, RunStatus][] = [];
  let failedWith: string | null = null;
  for (const { run, verdict } of written) {
    if (verdict.write !== 'end') continue;
    ended.push([run.id, verdict.outcome]);
    if (verdict.outcome === 'failed') failedWith = verdict.errorClass;
  }
  deps.announce(ended);
  const failures = written.filter(
    ({ verdict }) => verdict.write === 'retry' || (verdict.write === 'end' && verdict.outcome === 'failed'),
  );
  if (failures.length > 0) {
    deps.log.warn(
      {
        job: job.name,
        dispatch: dispatch.id,
        runs: failures.slice(0, 20).map(({ run }) => run.id),
        failed: failures.length,
      },
      '[JOB FAILURE] runs failed',
    );
  }
  const succeeded = ended.filter(([, outcome]) => outcome === 'completed' || outcome === 'completed_with_item_errors');
  if (succeeded.length > 0)
    logSuccess(
      deps,
      job,
      dispatch,
      succeeded.map(([id]) => id),
    );
  return { failedWith: dispatch.runs.length === 1 ? failedWith : null };
}

/** Back to `queued`: what this worker does not know or has no time for is another's. */
async function giveBack(deps: ExecuteDeps, dispatch: Dispatch): Promise<void> {
  const job = deps.catalogue.find(dispatch.job);
  await stored(() => inTransaction(deps.app, dispatch.tenantIds, (client) => declineDispatch(client, dispatch)));
  if (job !== undefined) deps.wake([job.queue]);
}
