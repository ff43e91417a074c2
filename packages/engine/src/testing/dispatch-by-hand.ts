import { randomUUID } from 'node:crypto';
import type { Pool } from '@nightshift/db';

/** Leaves these runs (of one queue and job) as they stand once they are in Redis, though Redis knows nothing of them. Resolves to their dispatch. */
export async function dispatchByHand(
  admin: Pick<Pool, 'query'>,
  runs: readonly string[],
  id: string = randomUUID(),
): Promise<string> {
  await admin.query(
    `INSERT INTO ops.dispatches (id, queue, job, tenant_ids, runs)
     SELECT $2, min(queue), min(job), array_agg(DISTINCT tenant_id), array_agg(id ORDER BY id) FROM ops.open_runs WHERE id = ANY ($1)
     ON CONFLICT (id) DO UPDATE SET runs = excluded.runs`,
    [runs, id],
  );
  await admin.query(
    `UPDATE ops.open_runs SET state = 'dispatched', dispatch_id = $2, dispatched_at = clock_timestamp() WHERE id = ANY ($1)`,
    [runs, id],
  );
  return id;
}
