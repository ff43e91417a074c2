import { inTransaction, type PoolClient } from '@nightshift/db';
import { raiseDifference } from './alerts/raise-difference.ts';
import type { Catalogue } from './catalogue.ts';
import type { LongRun } from './claim.ts';
import { type DefinedJob, longForm, type RunOptions, type SqlClient, type SweepJob } from './define-job.ts';
import { errorClass, LostClaimError, PermanentError } from './errors.ts';
import { lend } from './execute/execution.ts';
import { newId } from './id.ts';
import { dropDispatch } from './in-hand.ts';
import { payloadOf, resultOf } from './payload-of.ts';
import { endRuns } from './record.ts';
import type { RunOutcome } from './run-status.ts';
import { storableJson } from './storable.ts';
import { isPassing, scrubbed } from './store-errors.ts';
import { sweepSummary } from './sweep-summary.ts';
import type { LongAttempt } from './task.ts';

/** Children of one run at most: more would only queue for the same slots. */
export const MAX_SHARDS = 16;

/** The part of a sweep that a child run does: keys up to and including `upTo` (null: to the end), from its first cursor on. */
export interface Shard {
  readonly index: number;
  readonly of: number;
  readonly upTo: string | null;
  /** Its parent's: a shard has no tick date of its own, or it would answer for the parent to who waits for that. */
  readonly tickDate: string | null;
}

/** How many parts a fresh run is to be done in; 1: it is done as it is. A replay, and a child, is never split. */
export function shardCount(job: DefinedJob<SweepJob>, run: LongRun, expected: number | null): number {
  if (job.shards === undefined || job.scope !== 'tenant') return 1;
  if (run.cursor !== null || run.processed > 0 || run.parentId !== null || run.replayOf !== null) return 1;
  const wanted = run.options.shards ?? Math.floor((expected ?? 0) / job.shards.items);
  return Math.max(1, Math.min(wanted, MAX_SHARDS));
}

/**
 * Turns a run into the parent of children, each with its range of keys, in one transaction; the parent waits as `blocked` until the
 * last of them has ended. Resolves to false when there are too few keys to split at.
 * Errors: `LostClaimError`, `StopSignal`.
 */
export async function split(
  attempt: LongAttempt,
  expected: number | null,
  boundsOf: (client: PoolClient) => Promise<readonly string[]>,
): Promise<boolean> {
  const { deps, run } = attempt;
  const bounds = await inTransaction(deps.app, [run.tenantId], (client) => {
    const lent = lend(client);
    return boundsOf(lent.client).finally(lent.takeBack);
  });
  if (bounds.length === 0) return false;
  const shards: Shard[] = [...bounds, null].map((upTo, index) => ({
    index,
    of: bounds.length + 1,
    upTo,
    tickDate: run.tickDate,
  }));
  await inTransaction(deps.app, [run.tenantId], async (client) => {
    await dropDispatch(client, run.dispatchId);
    const { rows } = await client.query<{ cancelRequested: boolean }>(
      `UPDATE ops.open_runs SET state = 'blocked', expected = $3, lease_until = NULL
       WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING cancel_requested_at IS NOT NULL AS "cancelRequested"`,
      [run.id, run.fence, expected],
    );
    if (rows[0] === undefined) throw new LostClaimError(run.id);
    // Whoever asked it to stop did not ask its shards.
    if (rows[0].cancelRequested) attempt.stopper.stop('cancelled');
    attempt.stopper.signal.throwIfAborted();
    await client.query(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, parent_id, actor, started_at, stale_inputs, cursor, options, input)
       SELECT g.id, p.tenant_id, p.job, p.input_version, p.queue, p.priority, 'queued', p.id, p.actor, p.started_at, p.stale_inputs, g.cursor, p.options || jsonb_build_object('shard', g.shard), p.input
       FROM ops.open_runs p, unnest($2::uuid[], $3::text[], $4::jsonb[]) AS g(id, cursor, shard) WHERE p.id = $1`,
      [
        run.id,
        shards.map(() => newId()),
        shards.map((_, i) => JSON.stringify({ tenantsAfter: null, after: i === 0 ? null : bounds[i - 1] })),
        shards.map((shard) => JSON.stringify(shard)),
      ],
    );
    await client.query(
      `INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details) VALUES ($1, $2, 'run.split', $3, $4)`,
      [run.tenantId, `worker:${deps.worker}`, run.id, JSON.stringify({ job: run.job, shards: shards.length })],
    );
  });
  return true;
}

interface Parent {
  readonly id: string;
  readonly job: string;
  readonly tenantId: string;
  readonly slug: string;
  readonly fence: number;
  readonly expected: number | null;
  readonly options: RunOptions;
  readonly cancelRequested: boolean;
  readonly staleInputs: boolean;
  readonly startedAt: Date;
}

interface Family {
  readonly processed: number;
  readonly changed: number;
  readonly failedItems: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly tally: Record<string, number> | null;
}

/**
 * Ends a parent when none of its children is open any more: the last child's end does it, in its own transaction. The parent's row is locked
 * first, so that two last children do not each see the other one open. Resolves to how it ended, or null.
 */
export async function endParent(client: SqlClient, catalogue: Catalogue, parentId: string): Promise<RunOutcome | null> {
  const { rows } = await client.query<Parent>(
    `SELECT id, job, tenant_id AS "tenantId", (SELECT slug FROM ops.tenants t WHERE t.id = tenant_id) AS slug, fence, expected, options, cancel_requested_at IS NOT NULL AS "cancelRequested", stale_inputs AS "staleInputs",
       coalesce(started_at, accepted_at) AS "startedAt" FROM ops.open_runs WHERE id = $1 AND state = 'blocked' FOR UPDATE`,
    [parentId],
  );
  const [parent] = rows;
  const job = parent === undefined ? undefined : longForm(catalogue.find(parent.job));
  if (parent === undefined || job?.kind !== 'sweep') return null;
  const children = await client.query('SELECT 1 FROM ops.open_runs WHERE parent_id = $1 LIMIT 1', [parentId]);
  if (children.rowCount !== 0) return null;
  const family = await familyOf(client, parentId);
  const { processed, changed, failedItems } = family;
  await client.query('UPDATE ops.open_runs SET processed = $2, changed = $3, failed_items = $4 WHERE id = $1', [
    parentId,
    processed,
    changed,
    failedItems,
  ]);
  const verdict = await verdictOf(client, job, parent, family);
  const end = { id: parentId, fence: parent.fence, ...verdict, durationMs: null };
  await endRuns(client, [end], { worker: null, bundleSize: null, as: 'blocked' });
  const { expected, tenantId, slug } = parent;
  if (expected !== null && processed < expected && verdict.outcome.startsWith('completed'))
    await raiseDifference(client, {
      job: parent.job,
      tenant: { id: tenantId, slug },
      runId: parentId,
      expected,
      processed,
    });
  return verdict.outcome;
}

/** Its children's, unless its own summary fails: that would again, and must fail neither the last of its children nor the recovery. */
async function verdictOf(client: SqlClient, job: DefinedJob<SweepJob>, parent: Parent, family: Family) {
  const { processed, changed, failedItems } = family;
  const totals = { processed, changed, failed: failedItems, expected: parent.expected, tally: family.tally ?? {} };
  const outcome = outcomeOf(family, parent.cancelRequested);
  if (outcome === 'cancelled') return { outcome, result: null, errorClass: null, errorMessage: null };
  const failed = `${family.failed} of its shards failed: see the runs whose parent it is.`;
  const known = outcome === 'failed' ? { errorClass: 'ShardFailedError', errorMessage: failed } : null;
  await client.query('SAVEPOINT summary');
  try {
    const result = await storableSummary(job, client, parent, totals);
    await client.query('RELEASE SAVEPOINT summary');
    return { outcome, result, ...(known ?? { errorClass: null, errorMessage: null }) };
  } catch (error) {
    if (isPassing(error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT summary');
    const own = { errorClass: errorClass(error), errorMessage: scrubbed(error) };
    return { outcome: 'failed' as const, result: null, ...(known ?? own) };
  }
}

/** Errors: `PermanentError` for what cannot be stored; whatever the job's code throws. */
async function storableSummary(...args: Parameters<typeof sweepSummary>): Promise<unknown> {
  const summary = await sweepSummary(...args);
  const stored = storableJson(summary);
  if ('problem' in stored) throw new PermanentError(`its result cannot be stored: ${stored.problem}`);
  return summary;
}

/** Parents whose last child ended where nobody looked after them: by a crash loop, or with its worker. */
export async function parentsLeft(client: SqlClient): Promise<{ id: string; queue: string }[]> {
  const { rows } = await client.query<{ id: string; queue: string }>(
    `SELECT id, queue FROM ops.open_runs p WHERE state = 'blocked' AND after_job IS NULL AND NOT EXISTS (SELECT 1 FROM ops.open_runs c WHERE c.parent_id = p.id)`,
  );
  return rows;
}

async function familyOf(client: SqlClient, parentId: string): Promise<Family> {
  const { rows } = await client.query<Family>(
    `SELECT coalesce(sum(r.processed), 0)::integer AS processed, coalesce(sum(r.changed), 0)::integer AS changed,
       coalesce(sum(r.failed_items), 0)::integer AS "failedItems", count(*) FILTER (WHERE r.outcome = 'failed')::integer AS failed,
       count(*) FILTER (WHERE r.outcome = 'cancelled')::integer AS cancelled,
       (SELECT jsonb_object_agg(key, n) FROM (
          SELECT key, sum(value::numeric)::float8 AS n FROM ops.runs c JOIN ${payloadOf('c')}, jsonb_each_text(${resultOf('c')} -> 'tally')
          WHERE c.parent_id = $1 GROUP BY key) t) AS tally
     FROM ops.runs r WHERE r.parent_id = $1`,
    [parentId],
  );
  const [family] = rows;
  if (family === undefined) throw new Error('an aggregate returned no row');
  return family;
}

function outcomeOf(family: Family, cancelRequested: boolean): RunOutcome {
  if (family.failed > 0) return 'failed';
  if (family.cancelled > 0 || cancelRequested) return 'cancelled';
  return family.failedItems > 0 ? 'completed_with_item_errors' : 'completed';
}
