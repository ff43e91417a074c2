import { inTransaction, type PoolClient } from '@nightshift/db';
import { claimLong, type LongRun, renewLease } from '../claim.ts';
import { maskedVerdict } from '../crypto/masked-message.ts';
import { openInput, type PersonalValues } from '../crypto/sealed-input.ts';
import { sealResults } from '../crypto/sealed-result.ts';
import { type DefinedJob, longForm, type SweepJob, type TaskJob } from '../define-job.ts';
import { DeadlineExceededError, LostClaimError, PermanentError } from '../errors.ts';
import { closeDispatch, declineDispatch, dropDispatch } from '../in-hand.ts';
import { judge, type Outcome, thrownOutcome, type Verdict } from '../outcome.ts';
import { cancelRequested, endRuns, releaseLong, retryRuns, snoozeRuns, tenantsToMend } from '../record.ts';
import { runInput } from '../run-input.ts';
import type { RunOutcome } from '../run-status.ts';
import { endParent } from '../shard.ts';
import { storableJson } from '../storable.ts';
import { isPassing } from '../store-errors.ts';
import { runSweep } from '../sweep.ts';
import { runTask } from '../task.ts';
import { type Dispatch, type ExecuteDeps, policyOf, untilStored } from './execution.ts';
import { createStopper, type Stopper } from './signals.ts';

/** A third of the lease: two renewals may fail before another worker may claim the run. */
const RENEW_EVERY_MS = 5_000;
const CLAIM_TRIES = 8;

/** Aborts of long runs in this process, by run id: what a cancel that arrives over Redis finds. */
export type LongRunsInHand = Map<string, Stopper>;

/**
 * One run of a sweep or a task, which may last: the claim is committed with a fence and a lease, and every later write names the fence.
 * Resolves to the class of the error that it failed with for good, else null.
 */
export async function executeLong(
  deps: ExecuteDeps,
  dispatch: Dispatch,
  inHand: LongRunsInHand,
): Promise<string | null> {
  const [id] = dispatch.runs;
  const job = longForm(deps.catalogue.find(dispatch.job));
  if (id === undefined) return null;
  if (job === undefined || deps.shutdown.aborted) {
    await untilStored(
      () => inTransaction(deps.app, dispatch.tenantIds, (client) => declineDispatch(client, dispatch)),
      (_error, tries) => tries >= CLAIM_TRIES,
    );
    return null;
  }
  const run = await untilStored(
    () =>
      inTransaction(deps.app, dispatch.tenantIds, async (client) => {
        const claimed = await claimLong(client, dispatch, id, deps.worker, job.inputVersion);
        if (claimed === null) await closeDispatch(client, dispatch.id);
        return claimed;
      }),
    (_error, tries) => tries >= CLAIM_TRIES,
  );
  if (run === null) return null;
  return hold(deps, job, run, inHand);
}

async function hold(
  deps: ExecuteDeps,
  job: DefinedJob<SweepJob> | DefinedJob<TaskJob>,
  run: LongRun,
  inHand: LongRunsInHand,
): Promise<string | null> {
  const stopper = createStopper(run.options.timeoutMs, deps.shutdown);
  if (run.cancelRequested) stopper.stop('cancelled');
  inHand.set(run.id, stopper);
  const stopRenewing = renewWhileHeld(deps, run, stopper);
  const startedAt = performance.now();
  try {
    const personal: PersonalValues = new Map();
    const outcome = await attempt(deps, job, run, stopper, personal);
    const verdict = maskedVerdict(
      run,
      personal,
      judge(outcome, run.attempt, policyOf(job, run.priority, run.options.retries)),
    );
    return await settle(deps, job, run, { outcome, verdict }, Math.round(performance.now() - startedAt));
  } finally {
    stopRenewing();
    stopper.dispose();
    inHand.delete(run.id);
  }
}

/** Renews the lease by a timer, on a connection of its own. A lease that can't be renewed is no reason to stop: the fence decides. */
function renewWhileHeld(deps: ExecuteDeps, run: LongRun, stopper: Stopper): () => void {
  const timer = setInterval(() => {
    deps.ops
      .connect()
      .then(async (client) => {
        try {
          const held = await renewLease(client, run);
          client.release();
          if (held === null) stopper.stop('lost');
          else if (held.cancelRequested) stopper.stop('cancelled');
        } catch (error) {
          client.release(error as Error);
          throw error;
        }
      })
      .catch((error: Error) =>
        deps.log.warn({ runId: run.id, err: { message: error.message } }, 'lease not renewed; trying again'),
      );
  }, RENEW_EVERY_MS);
  return () => clearInterval(timer);
}

async function attempt(
  deps: ExecuteDeps,
  job: DefinedJob<SweepJob> | DefinedJob<TaskJob>,
  run: LongRun,
  stopper: Stopper,
  personal: PersonalValues,
): Promise<Outcome> {
  try {
    stopper.signal.throwIfAborted();
    const tenant = await deps.tenants.byId(run.tenantId);
    const input = runInput(job, await openInput(deps.crypto, run, run.input, personal), run.inputVersion);
    const shared = { deps, run, tenant, input, personal, stopper };
    const done = job.kind === 'sweep' ? await runSweep(job, shared) : await runTask(job, shared);
    if (done === 'split') return { kind: 'split' };
    const stored = storableJson(done.result);
    if ('problem' in stored) throw new PermanentError(`its result cannot be stored: ${stored.problem}`);
    if (job.kind === 'sweep' || job.personalResult !== true) return { kind: 'completed', ...done };
    const [sealed] = await untilStored(
      () => sealResults(deps.crypto, run.tenantId, [{ id: run.id, result: done.result }]),
      (error) => !isPassing(error) || stopper.signal.aborted,
    );
    return { kind: 'completed', ...done, result: sealed?.result };
  } catch (error) {
    return failedOutcome(error, run, stopper);
  }
}

/** A throw after somebody asked the run to stop is the answer to that, whatever it says. */
function failedOutcome(error: unknown, run: LongRun, stopper: Stopper): Outcome {
  if (error instanceof LostClaimError) return { kind: 'lost' };
  switch (stopper.reason) {
    case 'lost':
      return { kind: 'lost' };
    case 'cancelled':
      return { kind: 'cancelled' };
    case 'shutdown':
      return { kind: 'interrupted' };
    case 'timeout':
      return { kind: 'timeout', error: new DeadlineExceededError(run.options.timeoutMs) };
    case null:
      return thrownOutcome(error);
    default:
      return stopper.reason satisfies never;
  }
}

/** Whose rows the end writes: a replay over many tenants marks theirs. */
async function whose(deps: ExecuteDeps, run: LongRun): Promise<string[]> {
  return run.replayOf === null ? [run.tenantId] : [run.tenantId, ...(await tenantsToMend(deps.ops, run.replayOf))];
}

const CANCELLED: Verdict = { write: 'end', outcome: 'cancelled', result: null, errorClass: null, errorMessage: null };

/** Writes what became of the attempt, for as long as it takes: an end that can't be stored is lost only with its lease. */
async function settle(
  deps: ExecuteDeps,
  job: DefinedJob,
  run: LongRun,
  { outcome, verdict: judged }: { outcome: Outcome; verdict: Verdict },
  durationMs: number,
): Promise<string | null> {
  const held = { id: run.id, fence: run.fence };
  let parentEnded: RunOutcome | null = null;
  let verdict = judged;
  const writeOne = async (client: PoolClient): Promise<boolean> => {
    switch (verdict.write) {
      case 'end': {
        const ended = await endRuns(client, [{ ...held, durationMs: null, ...verdict }], {
          worker: deps.worker,
          bundleSize: 1,
          as: 'running',
        });
        if (ended.size > 0 && run.parentId !== null)
          parentEnded = await endParent(client, deps.catalogue, run.parentId);
        return ended.size > 0;
      }
      case 'retry':
        return (
          (await retryRuns(client, [{ ...held, ...verdict }], { worker: deps.worker, durationMs, as: 'running' }))
            .size > 0
        );
      case 'snooze':
        return (await snoozeRuns(client, [{ ...held, ...verdict }], { worker: deps.worker, as: 'running' })) > 0;
      case 'release':
        return releaseLong(client, held, deps.worker);
      case 'nothing':
        return false;
      default:
        return verdict satisfies never;
    }
  };
  const write = async (): Promise<boolean> =>
    inTransaction(deps.app, await whose(deps, run), async (client) => {
      // First: dispatches are locked before runs. Of a run that was lost it names what is another dispatch's now, or nobody's.
      await dropDispatch(client, run.dispatchId);
      // Who asked to stop it must not see it start again: after a failure, a snooze, or with another worker.
      const again = judged.write === 'retry' || judged.write === 'snooze' || judged.write === 'release';
      verdict = again && (await cancelRequested(client, held)) ? CANCELLED : judged;
      return writeOne(client);
    });
  const written = await untilStored(write, (error, tries) => !isPassing(error) || tries >= 30);
  log(deps, job, run, outcome, written, durationMs);
  if (outcome.kind === 'split') deps.wake([job.queue]);
  if (!written) return null;
  deps.wake([job.queue]);
  if (verdict.write !== 'end') return null;
  deps.announce([
    [run.id, verdict.outcome],
    ...(run.parentId !== null && parentEnded !== null ? ([[run.parentId, parentEnded]] as const) : []),
  ]);
  return verdict.outcome === 'failed' ? verdict.errorClass : null;
}

function log(
  deps: ExecuteDeps,
  job: DefinedJob,
  run: LongRun,
  outcome: Outcome,
  written: boolean,
  durationMs: number,
): void {
  const fields = {
    job: job.name,
    runId: run.id,
    tenantId: run.tenantId,
    triggerId: run.triggerId,
    attempt: run.attempt,
    durationMs,
  };
  if (outcome.kind === 'split') {
    deps.log.info(fields, `${job.name}: done by shards from here`);
  } else if (!written || outcome.kind === 'lost') {
    deps.log.warn(fields, `run '${run.id}' belongs to another worker now; what was not committed here is rolled back`);
  } else if (outcome.kind === 'completed') {
    deps.log.info(
      { ...fields, failedItems: outcome.failedItems, result: counts(outcome.result) },
      `[JOB SUCCESS] ${job.name}`,
    );
  } else if (outcome.kind === 'failed' || outcome.kind === 'timeout') {
    deps.log.error(
      { ...fields, err: { type: outcome.error instanceof Error ? outcome.error.name : 'unknown' } },
      `[JOB FAILURE] ${job.name}`,
    );
  } else {
    deps.log.info(fields, `${job.name}: ${outcome.kind}`);
  }
}

/** Numbers of a summary; its texts may be personal. */
function counts(result: unknown): Record<string, number> {
  return Object.fromEntries(
    Object.entries((result ?? {}) as object).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
