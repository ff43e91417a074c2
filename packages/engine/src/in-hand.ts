import type { SqlClient } from './define-job.ts';

// A run is in hand, in Redis or with a worker, while a row of `ops.dispatches` names it; its own row does not say so. Handing out hundreds of runs
// writes one row, and deleting that gives them back. The row's lock is the claim of those of its runs that are queued.

/** SQL: whether a dispatch names this row of `ops.open_runs`. Of the planner's two ways it takes the one by hash where many rows are asked for. */
export const isInHand = (run: string) =>
  `EXISTS (SELECT 1 FROM ops.dispatches d CROSS JOIN LATERAL unnest(d.runs) AS h(run_id) WHERE h.run_id = ${run}.id)`;

/** SQL: the status of this row of `ops.open_runs`, as `ops.run_view` has it. */
export const statusOf = (run: string) =>
  `CASE WHEN ${run}.state = 'queued' AND ${isInHand(run)} THEN 'dispatched' ELSE ${run}.state END`;

/** Waits for whoever executes the run's dispatch, and keeps others from it until the transaction ends: to be called before a run in hand is changed. */
export async function untilExecuted(client: SqlClient, id: string): Promise<void> {
  await client.query('SELECT 1 FROM ops.dispatches WHERE $1::uuid = ANY (runs) FOR UPDATE', [id]);
}

/** Whatever is left of the dispatch may be handed out again at once. */
export async function dropDispatch(client: SqlClient, id: string): Promise<void> {
  await client.query('DELETE FROM ops.dispatches WHERE id = $1', [id]);
}

/**
 * The end of a dispatch, after whatever was written of its runs. It stays where one of them is executed still, and where one is not due: after a
 * failover to a slower clock that would be handed out over and over, and is looked for with the lost ones instead.
 */
export async function closeDispatch(client: SqlClient, id: string): Promise<void> {
  await client.query(
    `DELETE FROM ops.dispatches d WHERE id = $1 AND NOT EXISTS (
       SELECT 1 FROM ops.open_runs o WHERE o.id = ANY (d.runs) AND (o.state = 'running' OR (o.state = 'queued' AND o.due_at > clock_timestamp())))`,
    [id],
  );
}

/** Takes runs out of a dispatch that others are left in. */
export async function leaveDispatch(client: SqlClient, id: string, runs: readonly string[]): Promise<void> {
  await client.query(
    'UPDATE ops.dispatches SET runs = ARRAY(SELECT unnest(runs) EXCEPT SELECT unnest($2::uuid[])) WHERE id = $1',
    [id, runs],
  );
}
