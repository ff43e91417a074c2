import type { SqlClient } from '../define-job.ts';
import { newId } from '../id.ts';

/** The gravest first. */
export const SEVERITIES = ['CRITICAL', 'WARNING', 'INFO'] as const;
export type AlertSeverity = (typeof SEVERITIES)[number];

export interface AlertCondition {
  /** The same condition has the same key: while it is open it is counted and not opened again. What stands before the first `:` is its kind. */
  readonly key: string;
  readonly severity: AlertSeverity;
  /** For people, and for mail: no personal data. */
  readonly message: string;
  /** Whose alert it is; absent: the platform's. */
  readonly tenantId?: string;
  readonly job?: string;
  readonly runId?: string;
  /** How often it was seen since it was told last; default 1. */
  readonly sightings?: number;
  /** When it was seen. Given, a sighting that is not newer than the last one is not counted again. */
  readonly seenAt?: Date;
}

/** Opens an alert, or counts more sightings of an open or acknowledged one. */
export async function raiseAlert(client: Pick<SqlClient, 'query'>, alert: AlertCondition): Promise<void> {
  await client.query(
    `INSERT INTO ops.alerts (id, key, severity, tenant_id, job, run_id, message, count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
     ON CONFLICT (key) WHERE state <> 'resolved' DO UPDATE SET count = alerts.count + excluded.count, last_seen_at = clock_timestamp(),
       severity = excluded.severity, message = excluded.message, run_id = excluded.run_id
     WHERE $9::timestamptz IS NULL OR alerts.last_seen_at < $9`,
    [
      newId(),
      alert.key,
      alert.severity,
      alert.tenantId ?? null,
      alert.job ?? null,
      alert.runId ?? null,
      alert.message,
      alert.sightings ?? 1,
      alert.seenAt ?? null,
    ],
  );
}
