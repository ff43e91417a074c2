import { randomUUID } from 'node:crypto';
import type { Pool } from '@nightshift/db';
import { PASS_LOCK } from '../limits/pass-lock.ts';

/** Leaves these runs (of one queue and job) as they stand once they are in Redis, though Redis knows nothing of them. Resolves to their dispatch. */
export async function dispatchByHand(
  admin: Pick<Pool, 'query'>,
  runs: readonly string[],
  id: string = randomUUID(),
): Promise<string> {
  const these = `ARRAY[${runs.map((run) => `'${run}'`)}]::uuid[]`;
  // One transaction, and no pass meanwhile: it would hand them out as well.
  await admin.query(
    `SELECT pg_advisory_xact_lock(${PASS_LOCK}, hashtext(queue)) FROM (SELECT DISTINCT queue FROM ops.open_runs WHERE id = ANY (${these})) q;
     UPDATE ops.open_runs SET state = 'queued' WHERE id = ANY (${these}) AND state <> 'queued';
     UPDATE ops.dispatches SET runs = ARRAY(SELECT unnest(runs) EXCEPT SELECT unnest(${these})) WHERE id <> '${id}' AND runs && ${these};
     INSERT INTO ops.dispatches (id, queue, job, priority, tenant_ids, runs)
     SELECT '${id}', min(queue), min(job), min(priority), array_agg(DISTINCT tenant_id), array_agg(id ORDER BY id) FROM ops.open_runs WHERE id = ANY (${these})
     ON CONFLICT (id) DO UPDATE SET runs = excluded.runs, tenant_ids = excluded.tenant_ids`,
  );
  return id;
}

/** The dispatch that names the run; null: it is not in hand. */
export async function dispatchOf(admin: Pick<Pool, 'query'>, run: string): Promise<string | null> {
  const { rows } = await admin.query<{ id: string }>('SELECT id FROM ops.dispatches WHERE $1 = ANY (runs)', [run]);
  return rows[0]?.id ?? null;
}
