import { findRuns, firstFailures, type Producer, type RunDetail, type Started } from '@nightshift/engine/accept';
import type { Idempotency } from '../http/idempotency.ts';
import { runUrl, SHOWN_ERRORS } from '../routes/run-answer.ts';

/** A path of a seed that starts a job for all its tenants and answers with what they did together. */
export interface DropIn {
  readonly job: string;
  /** Fields of the answer, summed over the runs' summaries; of a run without a summary (it failed), over the counter named. */
  readonly sums: Readonly<Record<string, 'processed' | 'changed'>>;
  /** Lists of the runs' results that the answer shows, one behind the other. */
  readonly lists?: readonly string[];
}

export interface DropInAnswer {
  readonly status: 200 | 202 | 500;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Starts the job for every tenant, joining runs that are open, and waits for their ends. A caller that hangs up ends the wait alone.
 * Errors: those of `Producer.start`, `StoreUnavailableError`.
 */
export async function startAndSum(
  producer: Producer,
  dropIn: DropIn,
  call: {
    readonly actor: string;
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly idempotency?: Idempotency | undefined;
  },
): Promise<DropInAnswer> {
  const started = await producer.start({ kind: 'drop-in', job: dropIn.job, idempotency: call.idempotency }, call.actor);
  const ids = started.runs.map((run) => run.runId);
  const ended = await producer.waitFor(ids, { timeoutMs: call.timeoutMs, signal: call.signal });
  const runs = await findRuns(producer.pools, ids, null);
  if (ended.size < new Set(ids).size) return pending(dropIn, started, runs);
  const failures = await firstFailures(producer.pools, ids, SHOWN_ERRORS);
  return summed(dropIn, started, runs, failures);
}

function pending(dropIn: DropIn, started: Started, runs: readonly RunDetail[]): DropInAnswer {
  const byId = new Map(runs.map((run) => [run.id, run]));
  const tenants = started.runs.map(({ tenant, runId }) => ({
    tenant,
    runId,
    status: byId.get(runId)?.status ?? 'queued',
    url: runUrl(runId),
  }));
  return { status: 202, body: { success: true, job: dropIn.job, triggerId: started.triggerId, tenants } };
}

/** The answer when all have ended. Failed items leave `success` true; a failed or cancelled run does not. */
export function summed(
  dropIn: DropIn,
  started: Started,
  runs: readonly RunDetail[],
  failures: readonly { readonly runId: string; readonly item: string; readonly errorMessage: string }[],
): DropInAnswer {
  const byId = new Map(runs.map((run) => [run.id, run]));
  const tenantOf = new Map(started.runs.map(({ runId, tenant }) => [runId, tenant]));
  const broken = runs.filter((run) => run.status === 'failed' || run.status === 'cancelled');
  const errors = [
    ...broken.map((run) => ({
      tenant: tenantOf.get(run.id),
      item: null,
      error: run.errorMessage ?? `The run was ${run.status}.`,
    })),
    ...failures.map(({ runId, item, errorMessage }) => ({ tenant: tenantOf.get(runId), item, error: errorMessage })),
  ];
  const body = {
    success: broken.length === 0,
    job: dropIn.job,
    ...Object.fromEntries(
      Object.entries(dropIn.sums).map(([field, counter]) => [
        field,
        sum(runs.map((run) => amount(run, field, counter))),
      ]),
    ),
    ...Object.fromEntries((dropIn.lists ?? []).map((field) => [field, runs.flatMap((run) => list(run, field))])),
    errors: errors.slice(0, SHOWN_ERRORS),
    totalErrors: broken.length + sum(runs.map((run) => run.failedItems)),
    duration: durationMs(runs),
    tenants: started.runs.map(({ tenant, runId }) => ({ tenant, runId, status: byId.get(runId)?.status ?? 'unknown' })),
  };
  return { status: broken.length === 0 ? 200 : 500, body };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function amount(run: RunDetail, field: string, counter: 'processed' | 'changed'): number {
  const value = (run.result as Readonly<Record<string, unknown>> | null)?.[field];
  return typeof value === 'number' ? value : run[counter];
}

function list(run: RunDetail, field: string): unknown[] {
  const value = (run.result as Readonly<Record<string, unknown>> | null)?.[field];
  return Array.isArray(value) ? value : [];
}

/** From the first start to the last end, ms. */
function durationMs(runs: readonly RunDetail[]): number {
  const starts = runs.map((run) => (run.startedAt ?? run.acceptedAt).getTime());
  const ends = runs.map((run) => (run.endedAt ?? run.acceptedAt).getTime());
  return runs.length === 0 ? 0 : Math.max(0, Math.max(...ends) - Math.min(...starts));
}
