import { setTimeout as wait } from 'node:timers/promises';
import { type DefinedJob, type JobKind, jobForInput, NightshiftError, type TenantRef } from '@nightshift/engine';
import { type Cause, isStoreUnavailable, type Producer, type Started } from '@nightshift/engine/accept';
import { type NightSchedule, type NightStep, planNight } from './night-plan.ts';

export { nightFailed, nightTable } from './night-table.ts';

/** A worker whose heartbeat is older is taken for dead. */
const HEARTBEAT_MS = 15_000;
const LOOK_EVERY_MS = 500;
/** How long a worker may be missing, or Postgres too busy to answer. */
const PATIENCE_MS = 20_000;

/** What one job did for all its tenants. */
export interface NightRow {
  readonly job: string;
  readonly title: string;
  readonly kind: JobKind;
  /** Cron of its schedule. */
  readonly schedule: string;
  readonly status: 'completed' | 'completed_with_item_errors' | 'failed' | 'skipped';
  readonly tenants: number;
  /** Of sweeps; other jobs have no items. */
  readonly items: number;
  readonly changed: number;
  /** Item errors. */
  readonly errors: number;
  readonly durationMs: number;
  /** Runs that failed or were cancelled, each with its reason. */
  readonly failures: readonly { readonly tenant: string; readonly runId: string; readonly reason: string }[];
  /** Why it was skipped. */
  readonly note: string | null;
}

export type NightProgress =
  | { readonly kind: 'started'; readonly job: string; readonly tenants: number }
  | {
      readonly kind: 'progress';
      readonly job: string;
      readonly processed: number;
      /** Null until every run has counted its items. */
      readonly expected: number | null;
      readonly openRuns: number;
      readonly retrying: readonly { readonly tenant: string; readonly at: Date }[];
    }
  | { readonly kind: 'ended'; readonly row: NightRow };

export interface NightOptions {
  readonly producer: Producer;
  /** Principal written into the audit log. */
  readonly actor?: string;
  readonly onProgress?: (progress: NightProgress) => void;
  readonly signal?: AbortSignal;
  /** Of each run, instead of what its job says. With 0 a failing job does not hold the night for the delays of its retries. */
  readonly retries?: number;
  /** How long a worker may be missing before the night is given up, ms. Default 20,000. */
  readonly patienceMs?: number;
}

/** No worker that knows the job gives a sign of life: waiting would have no end. */
export class NoLiveWorkerError extends NightshiftError {
  constructor(job: string) {
    super('no-live-worker', `No live worker can run '${job}'. Start one with 'npm start' and try again.`);
  }
}

/**
 * Runs tonight's schedules now, one job after the other, for all the tenants they serve. It consumes no tick and ignores the
 * deadlines of `after:`. Runs that are open already are joined.
 * Errors: `NoLiveWorkerError`, `StoreUnavailableError`, the signal's reason.
 */
export async function runNight(options: NightOptions): Promise<NightRow[]> {
  const { producer } = options;
  const patient = patience(options);
  await patient(() => producer.syncSchedules());
  const rows: NightRow[] = [];
  for (const step of planNight(producer.catalogue, await patient(() => readSchedules(producer)))) {
    options.signal?.throwIfAborted();
    const row = await runStep(step, options);
    rows.push(row);
    options.onProgress?.({ kind: 'ended', row });
  }
  return rows;
}

async function runStep(step: NightStep, options: NightOptions): Promise<NightRow> {
  const { producer } = options;
  if (step.skipped !== null) return skippedRow(step, step.skipped);
  const patient = patience(options);
  const tenants = step.job.scope === 'system' ? [] : await patient(() => producer.tenants(step.job.system));
  const served = tenants.filter(step.serves);
  if (step.job.scope === 'tenant' && served.length === 0) {
    return skippedRow(step, `there is no ${step.job.system} tenant to run it for`);
  }
  const startedAt = performance.now();
  const cause: Cause = {
    kind: 'night',
    job: step.job.name,
    scheduleId: step.scheduleId,
    ...(options.retries === undefined ? {} : { options: { retries: options.retries } }),
    ...(served.length === tenants.length ? {} : { tenants: served.map((tenant: TenantRef) => tenant.id) }),
  };
  // Started twice, when an answer was lost, it joins the runs that are open; a job is safe to run twice.
  const started = await patient(() => producer.start(cause, options.actor ?? 'night'));
  options.onProgress?.({ kind: 'started', job: step.job.name, tenants: started.runs.length });
  const runs = await waitForRuns(step.job, started, options);
  return endedRow(step, started, runs, performance.now() - startedAt);
}

/** Waits until every run has ended, those among them that runs of the night ask for themselves, and tells how far they are meanwhile. */
async function waitForRuns(job: DefinedJob, started: Started, options: NightOptions): Promise<RunCounts[]> {
  const { producer, signal } = options;
  const patient = patience(options);
  let ids = started.runs.map((run) => run.runId);
  const tenantOf = new Map(started.runs.map((run) => [run.runId, run.tenant]));
  let seenAlive = performance.now();
  for (;;) {
    const ended = await producer.waitFor(ids, {
      timeoutMs: LOOK_EVERY_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    signal?.throwIfAborted();
    const runs = await patient(() => readRuns(producer, ids, started.triggerId));
    if (runs.every((run) => run.ended)) return runs;
    ids = runs.map((run) => run.id);
    options.onProgress?.(progressOf(job.name, runs, tenantOf));
    if (await patient(() => hasLiveWorker(producer, job.name))) seenAlive = performance.now();
    else if (performance.now() - seenAlive > (options.patienceMs ?? PATIENCE_MS)) throw new NoLiveWorkerError(job.name);
    // waitFor answers at once when it has nothing to wait for, as when a run's end is known but its row not yet seen.
    if (ended.size === ids.length) await wait(20);
  }
}

/**
 * A statement's time limit is for callers who wait at the other end of a request: a night on a busy machine asks again instead.
 * Errors of the work: what is no news of a store that was busy or away, or still is after the patience.
 */
function patience({ patienceMs = PATIENCE_MS, signal }: NightOptions) {
  return async <T>(work: () => Promise<T>): Promise<T> => {
    const end = performance.now() + patienceMs;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isStoreUnavailable(error) || performance.now() > end) throw error;
        await wait(LOOK_EVERY_MS, undefined, signal === undefined ? {} : { signal });
      }
    }
  };
}

function progressOf(job: string, runs: readonly RunCounts[], tenantOf: ReadonlyMap<string, string>): NightProgress {
  const counted = runs.every((run) => run.expected !== null);
  return {
    kind: 'progress',
    job,
    processed: sum(runs, (run) => run.processed),
    expected: counted ? sum(runs, (run) => run.expected ?? 0) : null,
    openRuns: runs.filter((run) => !run.ended).length,
    retrying: runs
      .filter((run) => run.status === 'scheduled' && run.attempts > 1)
      .map((run) => ({ tenant: tenantOf.get(run.id) ?? run.id, at: run.dueAt })),
  };
}

function endedRow(step: NightStep, started: Started, runs: readonly RunCounts[], durationMs: number): NightRow {
  const tenantOf = new Map(started.runs.map((run) => [run.runId, run.tenant]));
  const failures = runs
    .filter((run) => run.status === 'failed' || run.status === 'cancelled')
    .map((run) => ({
      tenant: tenantOf.get(run.id) ?? run.id,
      runId: run.id,
      reason: run.errorMessage ?? run.errorClass ?? run.status,
    }));
  const errors = sum(runs, (run) => run.failedItems);
  return {
    job: step.job.name,
    title: step.job.title,
    kind: jobForInput(step.job, {}).kind,
    schedule: step.cron,
    status: failures.length > 0 ? 'failed' : errors > 0 ? 'completed_with_item_errors' : 'completed',
    tenants: started.runs.length,
    items: sum(runs, (run) => run.processed),
    changed: sum(runs, (run) => run.changed),
    errors,
    durationMs: Math.round(durationMs),
    failures,
    note: null,
  };
}

function skippedRow(step: NightStep, note: string): NightRow {
  const none = { tenants: 0, items: 0, changed: 0, errors: 0, durationMs: 0, failures: [] };
  const { name: job, title } = step.job;
  const { kind } = jobForInput(step.job, {});
  return { job, title, kind, schedule: step.cron, status: 'skipped', ...none, note };
}

interface RunCounts {
  id: string;
  status: string;
  ended: boolean;
  attempts: number;
  dueAt: Date;
  processed: number;
  expected: number | null;
  changed: number;
  failedItems: number;
  errorClass: string | null;
  errorMessage: string | null;
}

/** The runs that were started or joined, and what they have started under the same trigger since. */
async function readRuns(producer: Producer, ids: readonly string[], triggerId: string): Promise<RunCounts[]> {
  const { rows } = await producer.pools.ops.query<RunCounts>(
    `SELECT id, status, ended_at IS NOT NULL AS ended, attempts, due_at AS "dueAt", processed, expected, changed,
            failed_items AS "failedItems", error_class AS "errorClass", error_message AS "errorMessage"
     FROM ops.run_view WHERE id = ANY ($1::uuid[]) OR (trigger_id = $2 AND parent_id IS NULL) ORDER BY id`,
    [ids, triggerId],
  );
  return rows;
}

async function readSchedules(producer: Producer): Promise<NightSchedule[]> {
  const { rows } = await producer.pools.ops.query<NightSchedule>(
    `SELECT id, job, cron, zone, tenant_zone AS "tenantZone", tenant_selector AS selector, enabled, paused_by AS "pausedBy"
     FROM ops.schedules ORDER BY job, id`,
  );
  return rows;
}

async function hasLiveWorker(producer: Producer, job: string): Promise<boolean> {
  const { rowCount } = await producer.pools.ops.query(
    `SELECT 1 FROM ops.workers
     WHERE NOT stopping AND heartbeat_at > clock_timestamp() - make_interval(secs => $1 / 1000.0) AND jobs ? $2 LIMIT 1`,
    [HEARTBEAT_MS, job],
  );
  return rowCount === 1;
}

function sum<T>(rows: readonly T[], value: (row: T) => number): number {
  return rows.reduce((total, row) => total + value(row), 0);
}
