import type { Pool } from '@nightshift/db';
import { newId } from '../id.ts';

export interface AlertCondition {
  /** The same condition has the same key: while it is open it is counted and not opened again. */
  readonly key: string;
  readonly severity: 'CRITICAL' | 'WARNING' | 'INFO';
  readonly message: string;
  readonly tenantId?: string;
  readonly job?: string;
  readonly runId?: string;
}

/** Opens an alert, or counts another sighting of an open one. */
export async function raiseAlert(ops: Pick<Pool, 'query'>, alert: AlertCondition): Promise<void> {
  await ops.query(
    `INSERT INTO ops.alerts (id, key, severity, tenant_id, job, run_id, message) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (key) WHERE state <> 'resolved' DO UPDATE SET count = alerts.count + 1, last_seen_at = clock_timestamp(),
       message = excluded.message, run_id = excluded.run_id`,
    [newId(), alert.key, alert.severity, alert.tenantId ?? null, alert.job ?? null, alert.runId ?? null, alert.message],
  );
}
