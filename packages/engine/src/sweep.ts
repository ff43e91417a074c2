import { setTimeout as wait } from 'node:timers/promises';
import { inTransaction, type PoolClient } from '@nightshift/db';
import { jobAlerts } from './alerts/job-alerts.ts';
import { raiseDifference } from './alerts/raise-difference.ts';
import { jobCrypto } from './crypto/job-crypto.ts';
import { maskedMessage } from './crypto/masked-message.ts';
import type { DefinedJob, SweepContext, SweepJob, TenantRef } from './define-job.ts';
import { errorClass, ItemError, LostClaimError, SnoozeError } from './errors.ts';
import { lazyDb, lend, notifyFor, untilStored } from './execute/execution.ts';
import { orAborted } from './execute/signals.ts';
import { insertFollowUp } from './follow-up.ts';
import { halve } from './halve.ts';
import { NO_ID } from './id.ts';
import { NotificationCapError } from './notifications/notification-errors.ts';
import {
  checkpoint,
  type ItemFailure,
  keysToReplay,
  type Progress,
  readProgress,
  recordItemFailures,
} from './record.ts';
import { shardCount, split } from './shard.ts';
import { isPassing, scrubbed } from './store-errors.ts';
import { sweepSummary } from './sweep-summary.ts';
import type { LongAttempt } from './task.ts';

/** Tenants whose items one page of a system-scope sweep may mix. */
const TENANTS_A_PAGE = 500;

/** Where a sweep stands: the page of tenants (system scope: those after this id) and the key of the last item done in it. */
interface Cursor {
  readonly tenantsAfter: string | null;
  readonly after: string | null;
}

/** Thrown when no item of the first batch could be processed: the fault is not the items'. */
class FirstBatchFailedError extends Error {
  override readonly name = 'FirstBatchFailedError';
}

/**
 * One attempt of a sweep: batch by batch from its checkpoint, each batch one transaction with its effects, item errors and checkpoint.
 * Errors: `LostClaimError`, `StopSignal`, or the error that no single item is to blame for.
 */
export async function runSweep(
  job: DefinedJob<SweepJob>,
  attempt: LongAttempt,
): Promise<{ result: unknown; failedItems: number } | 'split'> {
  const { run, stopper } = attempt;
  let progress: Progress = { ...run };
  let cursor: Cursor | null =
    run.cursor === null ? { tenantsAfter: null, after: null } : (JSON.parse(run.cursor) as Cursor);
  // What Postgres' absence interrupts is done again, here as in a batch: no item and no code of the job's is to blame for it.
  const patiently = <T>(work: () => Promise<T>) => untilStored(work, () => stopper.signal.aborted);
  const { replayOf } = run;
  const replayed = replayOf === null ? null : await patiently(() => keysToReplay(attempt.deps.ops, replayOf));
  if (progress.expected === null)
    progress = {
      ...progress,
      expected: replayed?.size ?? (run.parentId === null ? await countItems(job, attempt) : null),
    };
  stopper.signal.throwIfAborted();
  const parts = shardCount(job, run, progress.expected);
  const { expected: counted } = progress;
  if (parts > 1 && (await patiently(() => splitSweep(job, attempt, parts, counted)))) return 'split';
  while (cursor !== null) {
    stopper.signal.throwIfAborted();
    const at: Cursor = cursor;
    const before = progress;
    let again = false;
    const step = await patiently(async () => {
      // Its commit may have been done and only the answer lost: then the batch is not to be done twice.
      const known = again ? await committed(attempt, before) : null;
      again = true;
      return known ?? batch(job, attempt, at, before, replayed);
    });
    progress = step.progress;
    cursor = step.next;
    if (step.cancelRequested) {
      stopper.stop('cancelled');
      stopper.signal.throwIfAborted();
    }
    if (cursor !== null && step.items > 0 && run.options.batchDelayMs > 0)
      await wait(run.options.batchDelayMs, undefined, { signal: stopper.signal });
  }
  await patiently(() => warnOfDifference(job, attempt, progress));
  const { processed, changed, failedItems, expected, tally } = progress;
  const totals = { processed, changed, failed: failedItems, expected, tally };
  // A shard's counts are added up by its parent; its item errors stand there.
  const result =
    run.parentId === null ? await patiently(() => sweepSummary(job, attempt.deps.ops, run, totals)) : { tally };
  return { result, failedItems };
}

/** The step that was committed after `before`, if one was. Errors: `LostClaimError`. */
async function committed({ deps, run }: LongAttempt, before: Progress): Promise<Step | null> {
  const stored = await readProgress(deps.ops, run);
  if (stored === null) throw new LostClaimError(run.id);
  const { cancelRequested, ...progress } = stored;
  if (progress.cursor === null || progress.cursor === before.cursor) return null;
  // Past the last item as well, where one more page, empty, ends the sweep.
  const next = JSON.parse(progress.cursor) as Cursor;
  return { progress, next, items: progress.processed - before.processed, cancelRequested };
}

function splitSweep(
  job: DefinedJob<SweepJob>,
  attempt: LongAttempt,
  parts: number,
  expected: number | null,
): Promise<boolean> {
  return split(
    attempt,
    expected,
    async (client) => (await job.shards?.bounds(context(job, attempt, client, [attempt.tenant]), parts)) ?? [],
  );
}

async function warnOfDifference(
  job: DefinedJob<SweepJob>,
  { deps, run, tenant }: LongAttempt,
  { expected, processed }: Progress,
): Promise<void> {
  if (expected === null || processed >= expected) return;
  deps.log.warn(
    { job: job.name, runId: run.id, expected, processed },
    'sweep met fewer items than it counted at its start',
  );
  await raiseDifference(deps.ops, { job: job.name, tenant, runId: run.id, expected, processed });
}

async function countItems(job: DefinedJob<SweepJob>, attempt: LongAttempt): Promise<number | null> {
  if (job.count === undefined) return null;
  const { deps, run, tenant, stopper } = attempt;
  return untilStored(
    async () => {
      if (job.scope === 'tenant') return countFor(job, attempt, [tenant]);
      let total = 0;
      for (let after: string | null = null; ; ) {
        const page = await tenantPage(attempt, job.system, after);
        const last = page.at(-1);
        if (last === undefined) return total;
        total += await countFor(job, attempt, page);
        after = last.id;
      }
    },
    () => stopper.signal.aborted,
  ).catch((error) => {
    deps.log.warn({ job: job.name, runId: run.id }, 'items could not be counted');
    throw error;
  });
}

function countFor(job: DefinedJob<SweepJob>, attempt: LongAttempt, tenants: readonly TenantRef[]): Promise<number> {
  const count = job.count;
  if (count === undefined) return Promise.resolve(0);
  return untilDeadline(attempt, ids(tenants), (client) => count(context(job, attempt, client, tenants)));
}

/** A transaction that ends with the attempt's time, even when the job's code never answers: its connection is then no longer its own. */
function untilDeadline<T>(
  { deps, stopper }: LongAttempt,
  tenantIds: readonly string[],
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  return inTransaction(deps.app, tenantIds, (client) => {
    const lent = lend(client);
    return orAborted(work(lent.client), stopper.deadline).finally(lent.takeBack);
  });
}

/** As bytes, which is Postgres' order in "C": JavaScript's own differs from it where a character lies beyond U+FFFF. */
function isAfter(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

interface Step {
  readonly progress: Progress;
  /** Null: nothing is left. */
  readonly next: Cursor | null;
  readonly items: number;
  readonly cancelRequested: boolean;
}

/** One batch in one transaction. Errors: `LostClaimError` when the run is somebody else's; then nothing of the batch is kept. */
async function batch(
  job: DefinedJob<SweepJob>,
  attempt: LongAttempt,
  at: Cursor,
  progress: Progress,
  replayed: ReadonlySet<string> | null,
): Promise<Step> {
  const { run, tenant } = attempt;
  const tenants = job.scope === 'tenant' ? [tenant] : await tenantPage(attempt, job.system, at.tenantsAfter);
  const lastTenant = tenants.at(-1);
  if (lastTenant === undefined) return { progress, next: null, items: 0, cancelRequested: false };
  // The run itself belongs to the system's own tenant; its row must be visible for the checkpoint.
  const visible = job.scope === 'tenant' ? ids(tenants) : [run.tenantId, ...ids(tenants)];
  return untilDeadline(attempt, visible, async (client) => {
    const ctx = context(job, attempt, client, tenants);
    const limit = run.options.batchSize;
    const page = await job.items(ctx, at.after, limit);
    const upTo = run.options.shard?.upTo ?? null;
    const items = upTo === null ? page : page.filter((item) => !isAfter(job.key(item), upTo));
    const last = items.at(-1);
    const pageDone = last === undefined || (items.length < limit && job.untilEmpty !== true);
    const nextTenants: Cursor | null = job.scope === 'tenant' ? null : { tenantsAfter: lastTenant.id, after: null };
    const next = pageDone ? nextTenants : { tenantsAfter: at.tenantsAfter, after: job.key(last) };
    const chosen = replayed === null ? items : items.filter((item) => replayed.has(job.key(item)));
    const grown = chosen.length === 0 ? progress : await processItems(job, attempt, client, ctx, chosen, progress);
    const stored = {
      ...grown,
      cursor: JSON.stringify(
        next ?? { tenantsAfter: at.tenantsAfter, after: last === undefined ? at.after : job.key(last) },
      ),
    };
    const held = await checkpoint(client, run, progress.cursor, stored);
    if (held === null) throw new LostClaimError(run.id);
    return { progress: stored, next, items: items.length, cancelRequested: held.cancelRequested };
  });
}

async function processItems(
  job: DefinedJob<SweepJob>,
  attempt: LongAttempt,
  client: PoolClient,
  ctx: SweepContext<unknown>,
  items: readonly unknown[],
  progress: Progress,
): Promise<Progress> {
  const { run, tenant } = attempt;
  if (run.options.dryRun) await client.query('SAVEPOINT dry_run');
  const halved = await halve(
    client,
    items,
    (part) => job.process(ctx, part),
    (error) => isPassing(error) || isTheRuns(error) || attempt.stopper.signal.aborted,
  );
  if (run.options.dryRun) await client.query('ROLLBACK TO SAVEPOINT dry_run');
  // A replay has only items that failed before: that they fail again says nothing about the rest.
  const allFailed = progress.processed === 0 && halved.failed.length === items.length && run.replayOf === null;
  if (allFailed && !halved.failed.every(({ error }) => error instanceof ItemError)) {
    const cause = halved.failed[0]?.error;
    throw new FirstBatchFailedError(
      `every item of the first batch (${items.length}) failed, the first with ${errorClass(cause)}: ${scrubbed(cause)}`,
      { cause },
    );
  }
  const failures: ItemFailure[] = halved.failed.map(({ item, error }) => ({
    key: job.key(item),
    tenantId: job.tenantOf?.(item) ?? tenant.id,
    errorClass: errorClass(error),
    errorMessage: maskedMessage(run, attempt.personal, scrubbed(error)),
  }));
  await recordItemFailures(client, run, failures);
  const tally: Record<string, number> = { ...progress.tally };
  let changed = progress.changed;
  for (const { result } of halved.done) {
    changed += result.changed;
    for (const [name, count] of Object.entries(result.tally ?? {})) tally[name] = (tally[name] ?? 0) + count;
  }
  return {
    ...progress,
    processed: progress.processed + items.length,
    changed,
    failedItems: progress.failedItems + failures.length,
    tally,
  };
}

/** No single item is to blame for it. */
function isTheRuns(error: unknown): boolean {
  return error instanceof SnoozeError || error instanceof NotificationCapError;
}

function context(
  job: DefinedJob<SweepJob>,
  attempt: LongAttempt,
  client: PoolClient,
  tenants: readonly TenantRef[],
): SweepContext<unknown> {
  const { deps, run, input, stopper, tenant } = attempt;
  const lazy = lazyDb(client);
  return {
    runId: run.id,
    tickDate: run.tickDate,
    input,
    now: run.startedAt,
    dryRun: run.options.dryRun,
    signal: stopper.signal,
    log: deps.log.child({ job: run.job, runId: run.id, tenant: tenant.slug }),
    worker: deps.worker,
    crypto: jobCrypto(deps.crypto, job),
    client,
    notify: notifyFor(deps, job, client, run, run.options.dryRun),
    tenantIds: ids(tenants),
    tenants,
    ...jobAlerts(client, { job: run.job, tenantId: run.tenantId, runId: run.id, dryRun: run.options.dryRun }),
    followUp: (request) => insertFollowUp(client, deps.crypto, job, run, request),
    get db() {
      return lazy.db;
    },
  };
}

async function tenantPage(attempt: LongAttempt, system: string, after: string | null): Promise<TenantRef[]> {
  const { rows } = await attempt.deps.ops.query<TenantRef>(
    `SELECT id, slug, name, zone FROM ops.tenants WHERE system = $1 AND kind = 'tenant' AND id > $2 ORDER BY id LIMIT $3`,
    // An id always: a plan made for `$2 IS NULL OR …` reads all tenants for each page.
    [system, after ?? NO_ID, TENANTS_A_PAGE],
  );
  return rows;
}

function ids(tenants: readonly TenantRef[]): string[] {
  return tenants.map((tenant) => tenant.id);
}
