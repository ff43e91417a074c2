import { LEASE_SECONDS } from './claim.ts';
import type { SqlClient } from './define-job.ts';
import { namedQuery } from './named-query.ts';
import type { Held } from './record.ts';

/** A worker that dies with the same run in hand this often was killed by it. */
export const MAX_CRASHES = 3;

// While Postgres was away nobody could renew: its start gives every lease its length again.
const isExpired = `state = 'running' AND lease_until < clock_timestamp() AND pg_postmaster_start_time() < clock_timestamp() - interval '${LEASE_SECONDS} seconds'`;

// Whose dispatch somebody has locked waits for the next round: dispatches are locked before runs.
const EXPIRED = `claimed AS (
  SELECT id, runs FROM ops.dispatches WHERE running AND runs && ARRAY(SELECT id FROM ops.open_runs WHERE ${isExpired}) ORDER BY id FOR UPDATE SKIP LOCKED
), lost AS (
  SELECT id, worker AS lost_worker FROM ops.open_runs o WHERE ${isExpired}
    AND NOT EXISTS (SELECT 1 FROM ops.dispatches d WHERE o.id = ANY (d.runs) AND d.id NOT IN (SELECT id FROM claimed))
  ORDER BY id FOR UPDATE SKIP LOCKED
), over AS (
  DELETE FROM ops.dispatches d USING claimed WHERE d.id = claimed.id AND claimed.runs && ARRAY(SELECT id FROM lost)
)`;

// Whoever still executes them is waited for: what ends by then was no crash.
const STALLED = `claimed AS (
  SELECT id, runs, running FROM ops.dispatches WHERE id = $1 FOR UPDATE
), lost AS (
  SELECT o.id, o.worker AS lost_worker FROM claimed, ops.open_runs o WHERE o.id = ANY (claimed.runs) AND o.state = 'queued' ORDER BY o.id FOR UPDATE OF o
), over AS (
  DELETE FROM ops.dispatches d USING claimed WHERE d.id = claimed.id AND NOT claimed.running
)`;

/**
 * Counts a crash for the queued runs of a dispatch whose worker died, or for long runs whose leases expired, and puts them back as lone runs.
 * Resolves to the rows with their new count; the caller ends those at `MAX_CRASHES`, and those to be cancelled, in the same transaction.
 */
export async function countCrashes(
  client: SqlClient,
  where: { dispatchId: string } | 'expired-leases',
): Promise<(Held & { crashes: number; job: string; tenantId: string; queue: string; cancelRequested: boolean })[]> {
  const expired = where === 'expired-leases';
  return namedQuery(
    client,
    expired ? 'ns-crash-expired' : 'ns-crash-stalled',
    `WITH ${expired ? EXPIRED : STALLED}, put AS (
       UPDATE ops.open_runs o SET state = 'queued', crashes = crashes + 1, fence = fence + 1, lease_until = NULL, worker = NULL
       FROM lost WHERE o.id = lost.id RETURNING o.*, lost.lost_worker
     ), tried AS (
       INSERT INTO ops.attempts (run_id, attempt, tenant_id, outcome, error_class, error_message, worker, started_at)
       SELECT id, attempt, tenant_id, 'crashed', 'WorkerDiedError', 'The worker died with the run in hand.', lost_worker, attempt_started_at FROM put
     ), audited AS (
       INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details)
       SELECT tenant_id, 'platform', 'run.crashed', id, jsonb_build_object('job', job, 'crashes', crashes, 'worker', lost_worker) FROM put
     )
     SELECT id, fence, crashes, job, tenant_id AS "tenantId", queue, cancel_requested_at IS NOT NULL AS "cancelRequested" FROM put`,
    expired ? [] : [where.dispatchId],
  );
}
