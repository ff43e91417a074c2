import type { Pool } from '@nightshift/db';
import { WORKER_SILENCE_SECONDS } from './dispatch-queries.ts';
import { isInHand, statusOf } from './in-hand.ts';
import type { PauseView } from './limits/pauses.ts';
import type { OpenState, RunStatus } from './run-status.ts';

/** Rows counted ahead of a run, of each priority, at most: a backlog of a million needs no exact number. */
const COUNTED = 10_000;

export interface UpstreamRun {
  readonly id: string;
  readonly status: RunStatus;
}

/** What stands in Postgres about an open run, at one moment of the database's clock. */
export interface OpenFacts {
  readonly now: Date;
  readonly id: string;
  readonly tenantId: string;
  readonly job: string;
  readonly queue: string;
  readonly priority: number;
  readonly inputVersion: number;
  readonly state: OpenState;
  readonly attempt: number;
  readonly dueAt: Date;
  readonly exactDueAt: string;
  readonly snoozedUntil: Date | null;
  readonly snoozedBy: string | null;
  readonly worker: string | null;
  readonly attemptStartedAt: Date | null;
  readonly leaseUntil: Date | null;
  readonly expected: number | null;
  readonly processed: number;
  readonly cancelRequestedAt: Date | null;
  readonly cancelActor: string | null;
  readonly afterJob: string | null;
  readonly blockedUntil: Date | null;
  readonly tickDate: string | null;
  readonly shards: number;
  readonly lastError: string | null;
  readonly upstream: UpstreamRun | null;
  /** The earlier run behind which it waits in line. */
  readonly ahead: UpstreamRun | null;
  readonly pause: PauseView | null;
  /** Live workers of its queue, and the highest version of its input that they read; null: none knows the job. */
  readonly workers: { readonly live: number; readonly version: number | null };
  /** True while a worker's transaction holds its dispatch. */
  readonly locked: boolean;
}

const LIVE = `NOT w.stopping AND w.slots ? o.queue AND w.heartbeat_at > clock_timestamp() - interval '${WORKER_SILENCE_SECONDS} seconds'`;

// The audit rows' first condition is that of the index by run.
const FACTS = `
SELECT clock_timestamp() AS now, o.id, o.tenant_id AS "tenantId", o.job, o.queue, o.priority, o.input_version AS "inputVersion", ${statusOf('o')} AS state, o.attempt,
  o.due_at AS "dueAt", o.due_at::text AS "exactDueAt", o.snoozed_until AS "snoozedUntil", o.worker, o.attempt_started_at AS "attemptStartedAt",
  o.lease_until AS "leaseUntil", o.expected, o.processed, o.cancel_requested_at AS "cancelRequestedAt", o.cancel_actor AS "cancelActor",
  o.after_job AS "afterJob", o.blocked_until AS "blockedUntil", o.tick_date::text AS "tickDate",
  (SELECT count(*) FROM ops.open_runs c WHERE c.parent_id = o.id) AS shards,
  (SELECT a.error_class FROM ops.attempts a WHERE a.run_id = o.id AND a.attempt = o.attempt - 1 ORDER BY a.seq DESC LIMIT 1) AS "lastError",
  (SELECT CASE WHEN (l.details ->> 'until')::timestamptz >= coalesce(o.snoozed_until, o.due_at) THEN l.actor END
     FROM ops.audit_log l WHERE l.run_id = o.id AND l.action NOT IN ('run.accepted', 'run.ended') AND l.action IN ('run.snoozed', 'run.retry_scheduled')
     ORDER BY l.seq DESC LIMIT 1) AS "snoozedBy",
  (SELECT jsonb_build_object('id', u.id, 'status', u.status) FROM ops.run_view u
     WHERE u.tenant_id = o.tenant_id AND u.job = o.after_job AND u.tick_date = o.tick_date AND u.options ->> 'dryRun' IS DISTINCT FROM 'true'
     ORDER BY u.id DESC LIMIT 1) AS upstream,
  (SELECT jsonb_build_object('id', x.id, 'status', ${statusOf('x')}) FROM ops.open_runs x JOIN ops.triggers theirs ON theirs.id = x.trigger_id
     JOIN ops.triggers own ON own.id = o.trigger_id
     WHERE o.state = 'blocked' AND o.unique_key IS NULL AND x.tenant_id = o.tenant_id AND x.job = o.job AND x.id < o.id AND x.parent_id IS NULL
       AND theirs.kind = own.kind ORDER BY x.id DESC LIMIT 1) AS ahead,
  (SELECT jsonb_build_object('live', count(*), 'version', max((w.jobs ->> o.job)::integer)) FROM ops.workers w WHERE ${LIVE}) AS workers
FROM ops.open_runs o WHERE o.id = $1`;

/** Null: the run is no longer open. */
export async function readFacts(ops: Pool, id: string): Promise<OpenFacts | null> {
  const { rows } = await ops.query<Omit<OpenFacts, 'pause' | 'locked'>>(FACTS, [id]);
  const [facts] = rows;
  if (facts === undefined) return null;
  const pauses = await ops.query<PauseView>(
    `SELECT kind, key, paused_by AS by, reason, at FROM ops.pauses
     WHERE (kind, key) IN (('queue', $1), ('job', $2), ('tenant', $3)) ORDER BY at LIMIT 1`,
    [facts.queue, facts.job, facts.tenantId],
  );
  const locked = facts.state === 'dispatched' && (await isExecuted(ops, id));
  return { ...facts, pause: pauses.rows[0] ?? null, locked };
}

async function isExecuted(ops: Pool, id: string): Promise<boolean> {
  const dispatch = 'FROM ops.dispatches WHERE $1::uuid = ANY (runs)';
  const { rows } = await ops.query<{ locked: boolean }>(
    `SELECT EXISTS (SELECT 1 ${dispatch}) AND NOT EXISTS (SELECT 1 FROM (SELECT 1 ${dispatch} FOR UPDATE SKIP LOCKED) free) AS locked`,
    [id],
  );
  return rows[0]?.locked === true;
}

/** Queued runs that come before this one if tenants are left aside: more urgent ones, and older ones of its own priority. */
export async function readAhead(
  ops: Pool,
  facts: OpenFacts,
): Promise<{ priority: number; runs: number; more: boolean }[]> {
  const { rows } = await ops.query<{ priority: number; runs: number; more: boolean }>(
    `SELECT p AS priority, least(n, $5) AS runs, n > $5 AS more FROM generate_series(1, $2::integer) p, LATERAL (
       SELECT count(*) AS n FROM (SELECT 1 FROM ops.open_runs o WHERE o.queue = $1 AND o.priority = p AND o.state = 'queued' AND NOT ${isInHand('o')}
         AND (p < $2 OR (o.due_at, o.id) < ($3::timestamptz, $4::uuid)) LIMIT $5 + 1) ahead) counted ORDER BY p`,
    [facts.queue, facts.priority, facts.exactDueAt, facts.id, COUNTED],
  );
  return rows;
}
