import { randomUUID } from 'node:crypto';
import type { Pool } from '@nightshift/db';

/** Leaves these runs (of one queue and job) as they stand once they are in Redis, though Redis knows nothing of them. Resolves to their dispatch. */
export async function dispatchByHand(
  admin: Pick<Pool, 'query'>,
  runs: readonly string[],
  id: string = randomUUID(),
): Promise<string> {
  await admin.query(
    `WITH due AS (
       UPDATE ops.open_runs SET state = 'queued' WHERE id = ANY ($1) AND state <> 'queued'
     ), elsewhere AS (
       UPDATE ops.dispatches SET runs = ARRAY(SELECT unnest(runs) EXCEPT SELECT unnest($1::uuid[])) WHERE id <> $2 AND runs && $1
     )
     INSERT INTO ops.dispatches (id, queue, job, priority, tenant_ids, runs)
     SELECT $2, min(queue), min(job), min(priority), array_agg(DISTINCT tenant_id), array_agg(id ORDER BY id) FROM ops.open_runs WHERE id = ANY ($1)
     ON CONFLICT (id) DO UPDATE SET runs = excluded.runs, tenant_ids = excluded.tenant_ids`,
    [runs, id],
  );
  return id;
}

/** The dispatch that names the run; null: it is not in hand. */
export async function dispatchOf(admin: Pick<Pool, 'query'>, run: string): Promise<string | null> {
  const { rows } = await admin.query<{ id: string }>('SELECT id FROM ops.dispatches WHERE $1 = ANY (runs)', [run]);
  return rows[0]?.id ?? null;
}
