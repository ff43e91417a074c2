import type { SqlClient } from './define-job.ts';

const WHICH = {
  dispatches: { of: 'd.id = ANY ($1::uuid[])', runs: '' },
  queue: { of: 'd.queue = $1', runs: '' },
  job: { of: 'd.job = $1', runs: '' },
  // What its dispatches hold of other tenants stays.
  tenant: { of: '$1::uuid = ANY (d.tenant_ids)', runs: 'AND o.tenant_id = $1::uuid' },
} as const;

const BACK = `UPDATE ops.open_runs o SET state = 'queued', dispatch_id = NULL, dispatched_at = NULL`;

/**
 * Puts runs that wait in Redis back to `queued`, no attempt counted. Their BullMQ jobs then name a dispatch that no row has, and do nothing. What is
 * being executed (its dispatch is locked) stays. Resolves to how many went back, by queue.
 */
export async function giveBack(
  client: SqlClient,
  which: keyof typeof WHICH,
  values: readonly unknown[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ queue: string; n: number }>(
    `WITH d AS (
       SELECT id, runs FROM ops.dispatches d WHERE ${WHICH[which].of} ORDER BY id FOR UPDATE SKIP LOCKED
     ), back AS (
       ${BACK} FROM d
       WHERE o.id = ANY (d.runs) AND o.dispatch_id = d.id AND o.state = 'dispatched' ${WHICH[which].runs} RETURNING o.queue
     )
     SELECT queue, count(*) AS n FROM back GROUP BY queue`,
    [...values],
  );
  return new Map(rows.map((row) => [row.queue, row.n]));
}

/** The same for all that Redis held, whatever `ops.dispatches` says of it: it reads every open run, and is for a Redis that knows none of them. */
export async function giveAllBack(client: SqlClient): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query<{ queue: string; n: number }>(
    `WITH executed AS (
       SELECT array_agg(id) AS ids FROM ops.dispatches WHERE id NOT IN (SELECT id FROM ops.dispatches FOR UPDATE SKIP LOCKED)
     ), back AS (
       ${BACK} WHERE o.id IN (
         SELECT r.id FROM ops.open_runs r, executed WHERE r.state = 'dispatched' AND r.dispatch_id <> ALL (coalesce(executed.ids, '{}')) ORDER BY r.id FOR UPDATE OF r SKIP LOCKED)
       RETURNING o.queue
     )
     SELECT queue, count(*) AS n FROM back GROUP BY queue`,
  );
  return new Map(rows.map((row) => [row.queue, row.n]));
}
