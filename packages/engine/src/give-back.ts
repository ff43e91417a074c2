import type { SqlClient } from './define-job.ts';

const WHICH = {
  all: 'true',
  dispatches: 'd.id = ANY ($1::uuid[])',
  queue: 'd.queue = $1',
  job: 'd.job = $1',
  tenant: '$1::uuid = ANY (d.tenant_ids)',
} as const;

const ofTenant = 'AND o.tenant_id = $1::uuid';

/** What a dispatch holds of other tenants stays. */
const FEWER = `fewer AS (
  UPDATE ops.dispatches d SET tenant_ids = array_remove(d.tenant_ids, $1::uuid),
    runs = ARRAY(SELECT unnest(d.runs) EXCEPT SELECT o.id FROM ops.open_runs o WHERE o.id = ANY (d.runs) ${ofTenant})
  FROM found WHERE d.id = found.id AND cardinality(d.tenant_ids) > 1
), `;

/**
 * Takes back runs that wait in Redis, no attempt counted. Their BullMQ jobs then name a dispatch that is not there, and do nothing. What is
 * being executed (its dispatch is locked, or its long run was claimed) stays. Resolves to how many went back, by queue.
 */
export async function giveBack(
  client: SqlClient,
  which: keyof typeof WHICH,
  values: readonly unknown[],
): Promise<ReadonlyMap<string, number>> {
  const tenant = which === 'tenant';
  const { rows } = await client.query<{ queue: string; n: number }>(
    `WITH found AS (
       SELECT id, runs FROM ops.dispatches d WHERE ${WHICH[which]} AND NOT running ORDER BY id FOR UPDATE SKIP LOCKED
     ), ${tenant ? FEWER : ''}gone AS (
       DELETE FROM ops.dispatches d USING found WHERE d.id = found.id ${tenant ? 'AND cardinality(d.tenant_ids) = 1' : ''}
     )
     SELECT o.queue, count(*) AS n FROM found JOIN ops.open_runs o ON o.id = ANY (found.runs) AND o.state = 'queued' ${tenant ? ofTenant : ''}
     GROUP BY o.queue`,
    [...values],
  );
  return new Map(rows.map((row) => [row.queue, row.n]));
}
