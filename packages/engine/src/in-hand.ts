import type { SqlClient } from './define-job.ts';
import { RunStateError, StoreUnavailableError } from './errors.ts';
import { type HandedOut, lookForHandedOut } from './limits/pass-lock.ts';
import { isLocked } from './store-errors.ts';

// A run is in hand, in Redis or with a worker, while a row of `ops.dispatches` names it; its own row does not say so. Handing out hundreds of runs
// writes one row, and deleting that gives them back. The row's lock is the claim of those of its runs that are queued.

/** SQL: whether a dispatch names this row of `ops.open_runs`, of many. Of the planner's two ways it takes the one by hash. */
export const isInHand = (run: string) =>
  `EXISTS (SELECT 1 FROM ops.dispatches d CROSS JOIN LATERAL unnest(d.runs) AS h(run_id) WHERE h.run_id = ${run}.id)`;

/** SQL: the status of this one row of `ops.open_runs`, as `ops.run_view` has it. */
export const statusOf = (run: string) =>
  `CASE WHEN ${run}.state = 'queued' AND EXISTS (SELECT 1 FROM ops.dispatches d WHERE ${run}.id = ANY (d.runs)) THEN 'dispatched' ELSE ${run}.state END`;

/**
 * Waits for whoever executes the runs' dispatches, and keeps others from them until the transaction ends: to be called before runs in hand are changed.
 * Everybody locks dispatches before runs: the other way round two would wait for each other.
 */
export async function untilExecuted(client: SqlClient, runs: readonly string[]): Promise<void> {
  await client.query('SELECT 1 FROM ops.dispatches WHERE runs && $1::uuid[] ORDER BY id FOR UPDATE', [runs]);
}

/** The same for somebody who wants an answer: a short run is executed under that lock to its end. Errors: `lock_timeout` (see `whileExecuted`). */
export async function untilExecutedSoon(client: SqlClient, runs: readonly string[]): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = ${ANSWER_MS}`);
  await untilExecuted(client, runs);
}

/** Less than a statement of whoever must answer may take, ms. */
const ANSWER_MS = 2_000;

/** For errors of `storeErrors`. Errors: `RunStateError` for a run that was executed all the while; others as they are. */
export const whileExecuted = (id: string) => (error: unknown) => {
  throw isLocked(error instanceof StoreUnavailableError ? error.cause : error)
    ? new RunStateError(
        id,
        'dispatched',
        'a worker executes it at this moment, which cannot be interrupted: wait for its end.',
      )
    : error;
};

/** The run is no longer its dispatch's, which others may be left in, or none. Its row was locked by `untilExecuted`. */
export async function takeOut(client: SqlClient, run: string): Promise<void> {
  await client.query('UPDATE ops.dispatches SET runs = array_remove(runs, $1::uuid) WHERE $1 = ANY (runs)', [run]);
}

/** Whatever is left of the dispatch may be handed out again at once. */
export async function dropDispatch(client: SqlClient, id: string): Promise<void> {
  await client.query('DELETE FROM ops.dispatches WHERE id = $1', [id]);
}

/** The same of a dispatch that has only just come, and that this worker is not to execute. */
export async function declineDispatch(client: SqlClient, { id, queue }: HandedOut): Promise<void> {
  await lookForHandedOut(client, queue, async () => {
    const { rows } = await client.query('DELETE FROM ops.dispatches WHERE id = $1 RETURNING id', [id]);
    return rows;
  });
}

/**
 * The end of a dispatch, after whatever was written of its runs. It stays where its long run was claimed, and where a run is not due: after a
 * failover to a slower clock that would be handed out over and over, and is looked for with the lost ones instead.
 */
export async function closeDispatch(client: SqlClient, id: string): Promise<void> {
  await client.query(
    `DELETE FROM ops.dispatches d WHERE id = $1 AND NOT running
       AND NOT EXISTS (SELECT 1 FROM ops.open_runs o WHERE o.id = ANY (d.runs) AND o.state = 'queued' AND o.due_at > clock_timestamp())`,
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
