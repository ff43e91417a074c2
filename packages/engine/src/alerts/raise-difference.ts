import type { SqlClient, TenantRef } from '../define-job.ts';
import { raiseAlert } from './raise-alert.ts';

/** A sweep met fewer items than counted, and not because they failed: rows vanished or the paging skips some. */
export function raiseDifference(
  client: Pick<SqlClient, 'query'>,
  of: {
    readonly job: string;
    readonly tenant: Pick<TenantRef, 'id' | 'slug'>;
    readonly runId: string;
    readonly expected: number;
    readonly processed: number;
  },
): Promise<void> {
  const { job, tenant, runId, expected, processed } = of;
  return raiseAlert(client, {
    key: `coverage:${job}:${tenant.id}`,
    severity: 'WARNING',
    job,
    tenantId: tenant.id,
    runId,
    message: `${job} for ${tenant.slug} counted ${expected} items at its start and met ${processed}.`,
  });
}
