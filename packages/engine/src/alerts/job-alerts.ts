import type { SqlClient } from '../define-job.ts';
import { type AlertSeverity, raiseAlert } from './raise-alert.ts';

/** A condition that a job has seen. */
export interface JobAlert {
  /** Names the condition among those of this job and tenant, such as `rule-failing:<rule>`. */
  readonly key: string;
  readonly severity: AlertSeverity;
  /** For people, and for mail: no personal data. */
  readonly message: string;
  /** Whose it is, one of the batch in hand; default the run's tenant. */
  readonly tenantId?: string;
}

/** In the transaction in hand: what is rolled back was neither raised nor resolved. A dry run does neither. */
export interface JobAlerts {
  /** Opens an alert, or counts another sighting of one of the same key that is open. */
  alert(alert: JobAlert): Promise<void>;
  /** The condition is gone. Resolves to false when no alert of this key was open. */
  resolveAlert(key: string, tenantId?: string): Promise<boolean>;
}

/** Alerts of one job: their keys are its own, apart from other jobs' and tenants'. */
export function jobAlerts(
  client: SqlClient,
  run: { readonly job: string; readonly tenantId: string; readonly dryRun: boolean; readonly runId?: string },
): JobAlerts {
  const keyOf = (key: string, tenantId: string) => `job:${run.job}:${tenantId}:${key}`;
  return {
    async alert({ key, severity, message, tenantId = run.tenantId }) {
      if (run.dryRun) return;
      await raiseAlert(client, {
        key: keyOf(key, tenantId),
        severity,
        message,
        tenantId,
        job: run.job,
        ...(run.runId === undefined ? {} : { runId: run.runId }),
      });
    },
    async resolveAlert(key, tenantId = run.tenantId) {
      if (run.dryRun) return false;
      const { rowCount } = await client.query(
        `UPDATE ops.alerts SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = $2 WHERE key = $1 AND state <> 'resolved'`,
        [keyOf(key, tenantId), `job:${run.job}`],
      );
      return rowCount === 1;
    },
  };
}
