import type { Pool } from '@nightshift/db';

/** Who or what did what; appended, never changed. `details` must hold no personal data. */
export interface AuditEvent {
  readonly tenantId: string | null;
  /** Such as `admin:ada`, `clock`, `worker:<id>`. */
  readonly actor: string;
  /** Such as `schedule.paused`. */
  readonly action: string;
  readonly runId?: string;
  readonly details?: object;
}

export async function appendAudit(ops: Pick<Pool, 'query'>, event: AuditEvent): Promise<void> {
  await ops.query('INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details) VALUES ($1, $2, $3, $4, $5)', [
    event.tenantId,
    event.actor,
    event.action,
    event.runId ?? null,
    event.details === undefined ? null : JSON.stringify(event.details),
  ]);
}

/** A request that was refused before anybody knew who sent it. */
export interface Refusal {
  readonly address: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly code: string;
}

/** A row an address and minute, counted; the first of them also stands in the audit log. */
export async function recordRefusal(ops: Pick<Pool, 'query'>, refusal: Refusal): Promise<void> {
  await ops.query(
    `WITH counted AS (
       INSERT INTO ops.refusals AS r (address, minute, last_method, last_path, last_status, last_code)
       VALUES ($1, date_trunc('minute', clock_timestamp()), $2, left($3, 200), $4, $5)
       ON CONFLICT (address, minute) DO UPDATE SET count = r.count + 1, last_method = excluded.last_method, last_path = excluded.last_path,
         last_status = excluded.last_status, last_code = excluded.last_code
       RETURNING address, minute, count
     )
     INSERT INTO ops.audit_log (actor, action, details)
     SELECT 'unknown:' || address, 'request.refused', jsonb_build_object('method', $2::text, 'path', left($3, 200), 'status', $4::int, 'code', $5::text, 'minute', minute)
     FROM counted WHERE count = 1`,
    [refusal.address, refusal.method, refusal.path, refusal.status, refusal.code],
  );
}
