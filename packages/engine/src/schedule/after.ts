import { inTransaction, type Pool } from '@nightshift/db';
import { raiseAlert } from '../alerts/raise-alert.ts';

// A blocked run may start when its upstream's run of the same tenant and date has ended. When there is none at the deadline, it starts with
// stale inputs; a dry run of it is none; one that is still open then is waited for, up to its own timeout after the deadline. A run without a unique key waits in line
// as well: until no earlier run of its tenant and job from the same kind of trigger is open; when its upstream is its own job, for that alone.
const UNBLOCK = `
WITH blocked AS (
  SELECT id, tenant_id, job, queue, after_job, tick_date, blocked_until, trigger_id, unique_key, snoozed_until FROM ops.open_runs WHERE state = 'blocked' AND after_job IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED
), ready AS (
  SELECT b.*, b.after_job <> b.job AND e.ended IS NULL AS stale FROM blocked b
  LEFT JOIN LATERAL (SELECT true AS ended FROM ops.runs r WHERE r.tenant_id = b.tenant_id AND r.job = b.after_job AND r.tick_date = b.tick_date
    AND r.options ->> 'dryRun' IS DISTINCT FROM 'true' LIMIT 1) e ON true
  LEFT JOIN LATERAL (
    SELECT coalesce(o.attempt_started_at, o.due_at) + make_interval(secs => (o.options ->> 'timeoutMs')::numeric::double precision / 1000) AS gives_up_at
    FROM ops.open_runs o WHERE o.tenant_id = b.tenant_id AND o.job = b.after_job AND o.tick_date = b.tick_date
      AND o.options ->> 'dryRun' IS DISTINCT FROM 'true' ORDER BY 1 DESC LIMIT 1
  ) o ON true
  WHERE (b.after_job = b.job OR (e.ended AND o.gives_up_at IS NULL)
     OR (b.blocked_until < $1::timestamptz AND (o.gives_up_at IS NULL OR o.gives_up_at < $1::timestamptz)))
    AND (b.snoozed_until IS NULL OR b.snoozed_until <= $1::timestamptz)
    AND NOT (b.unique_key IS NULL AND EXISTS (
      SELECT 1 FROM ops.open_runs x JOIN ops.triggers theirs ON theirs.id = x.trigger_id JOIN ops.triggers own ON own.id = b.trigger_id
      WHERE x.tenant_id = b.tenant_id AND x.job = b.job AND (x.id < b.id OR x.state <> 'blocked') AND x.trigger_id IS NOT NULL AND x.parent_id IS NULL AND theirs.kind = own.kind))
)
UPDATE ops.open_runs r SET state = 'queued', due_at = clock_timestamp(), snoozed_until = NULL, stale_inputs = ready.stale
FROM ready WHERE r.id = ready.id
RETURNING r.id, r.queue, r.job, r.tenant_id AS "tenantId", ready.after_job AS "afterJob", ready.stale`;

/** Queues every blocked run that may start. Looked at as a whole each second: an end and an insert can miss each other. */
export async function unblock(ops: Pool, now: Date): Promise<Set<string>> {
  const rows = await inTransaction(ops, [], async (client) => {
    const result = await client.query<{
      id: string;
      queue: string;
      job: string;
      tenantId: string;
      afterJob: string;
      stale: boolean;
    }>({
      name: 'ns-unblock',
      text: UNBLOCK,
      values: [now],
    });
    return result.rows;
  });
  for (const row of rows) {
    if (!row.stale) continue;
    await raiseAlert(ops, {
      key: `stale-inputs:${row.job}:${row.tenantId}`,
      severity: 'WARNING',
      job: row.job,
      tenantId: row.tenantId,
      runId: row.id,
      message: `${row.job} started without a finished run of ${row.afterJob} for its date.`,
    });
  }
  return new Set(rows.map((row) => row.queue));
}
