import { escapeLiteral } from '@nightshift/db';
import type { RunOptions, SqlClient } from './define-job.ts';
import { type HandedOut, lookForHandedOut } from './limits/pass-lock.ts';
import { namedQuery } from './named-query.ts';
import type { Held } from './record.ts';
import type { Shard } from './shard.ts';

// Who has a dispatched run: claims, and the leases of long ones. What becomes of it is written by record.ts.

/** A row of `ops.open_runs` as a worker holds it. */
export interface ClaimedRun extends Held {
  readonly tenantId: string;
  readonly job: string;
  readonly inputVersion: number;
  readonly priority: number;
  readonly attempt: number;
  readonly crashes: number;
  readonly options: RunOptions & { readonly shard?: Shard };
  readonly input: unknown;
  readonly triggerId: string | null;
  readonly replayOf: string | null;
  readonly parentId: string | null;
}

export interface LongRun extends ClaimedRun {
  readonly dispatchId: string;
  readonly startedAt: Date;
  readonly cursor: string | null;
  readonly expected: number | null;
  readonly processed: number;
  readonly changed: number;
  readonly failedItems: number;
  readonly tally: Readonly<Record<string, number>>;
  readonly staleInputs: boolean;
  readonly tickDate: string | null;
  /** True: it was asked to stop before this claim, and whoever had it then did not. */
  readonly cancelRequested: boolean;
}

const CLAIMED = `id, fence, tenant_id AS "tenantId", job, input_version AS "inputVersion", priority, attempt, crashes,
  options, input, trigger_id AS "triggerId", replay_of AS "replayOf", parent_id AS "parentId"`;

/** Rows of a dispatch, unlocked: for what happens before the claim. */
export function readDispatch(client: SqlClient, dispatch: HandedOut): Promise<readonly ClaimedRun[]> {
  return lookForHandedOut(client, dispatch.queue, () =>
    namedQuery(
      client,
      'ns-read-dispatch',
      `SELECT ${CLAIMED} FROM ops.open_runs WHERE id = ANY ((SELECT runs FROM ops.dispatches WHERE id = $1)::uuid[]) AND state = 'queued' ORDER BY id`,
      [dispatch.id],
    ),
  );
}

// The value is in a sub-select to be hidden from the planner, which would else plan each claim anew for it.
const HELD_BY_DISPATCH = `FROM (SELECT id, runs FROM ops.dispatches WHERE id = (SELECT $1::uuid) FOR UPDATE) d JOIN ops.open_runs o ON o.id = ANY (d.runs)
  WHERE o.state = 'queued' AND o.due_at <= clock_timestamp()`;
const NOW_MS = '(extract(epoch FROM statement_timestamp()) * 1000)::float8';

/** What of a short run's row its execution needs; `now` is the database's clock at the claim, ms. */
export type ClaimedShort = Pick<
  ClaimedRun,
  'id' | 'fence' | 'tenantId' | 'inputVersion' | 'priority' | 'attempt' | 'input'
> & { readonly now: number };

// One row a tenant: what the runs of a bundle have in common once, the rest in two texts. 200 rows of nine columns cost both sides more than the work.
const CLAIM_SHORT = `
SELECT string_agg(o.id::text, ',' ORDER BY o.id) AS ids, '[' || string_agg(o.input::text, ',' ORDER BY o.id) || ']' AS inputs,
  max(o.fence) AS fence, o.tenant_id AS "tenantId", max(o.input_version) AS "inputVersion", max(o.priority) AS priority, max(o.attempt) AS attempt,
  (min(o.fence), min(o.input_version), min(o.priority), min(o.attempt)) = (max(o.fence), max(o.input_version), max(o.priority), max(o.attempt)) AS alike,
  ${NOW_MS} AS now ${HELD_BY_DISPATCH} GROUP BY o.tenant_id`;

interface ClaimedBundle {
  readonly ids: string;
  readonly inputs: string;
  readonly fence: number;
  readonly tenantId: string;
  readonly inputVersion: number;
  readonly priority: number;
  readonly attempt: number;
  readonly alike: boolean;
  readonly now: number;
}

/** Connections on which the claim is prepared. */
const prepared = new WeakSet<object>();

/** The claim in the message that begins its transaction, on a connection that knows it: `first` of `inTransaction`, whose `begun` is for `claimShort`. */
export const claimFirst = (dispatchId: string) => (client: SqlClient) =>
  prepared.has(client) ? `EXECUTE "ns-claim-short"(${escapeLiteral(dispatchId)})` : '';

/**
 * Short runs: the lock of their dispatch's row is the claim and lasts until the transaction ends. Whoever comes
 * without it may change a run meanwhile: then fewer rows end than were claimed, and the transaction is made again, with `claimLocked`.
 * `begun`: of a transaction that `claimFirst` began.
 */
export async function claimShort(
  client: SqlClient,
  dispatch: HandedOut,
  begun?: Promise<{ readonly rows: unknown[] }>,
): Promise<readonly ClaimedShort[]> {
  let early = prepared.has(client) ? begun : undefined;
  const bundles = await lookForHandedOut(client, dispatch.queue, async () => {
    const first = await early;
    early = undefined;
    if (first !== undefined) return first.rows as ClaimedBundle[];
    const asked = await namedQuery<ClaimedBundle>(client, 'ns-claim-short', CLAIM_SHORT, [dispatch.id]);
    prepared.add(client);
    return asked;
  });
  if (bundles.some(({ alike }) => !alike)) return claimLocked(client, dispatch.id);
  return bundles.flatMap(({ ids, inputs: texts, fence, tenantId, inputVersion, priority, attempt, now }) => {
    const inputs: unknown[] = JSON.parse(texts);
    // Written out: objects that a spread makes are ten times as slow.
    return ids.split(',').map((id, i) => {
      return { id, fence, tenantId, inputVersion, priority, attempt, input: inputs[i], now };
    });
  });
}

/** The same with each run's row locked, but for those that somebody else has locked: they would keep the others waiting. */
export function claimLocked(client: SqlClient, dispatchId: string): Promise<ClaimedShort[]> {
  return namedQuery(
    client,
    'ns-claim-locked',
    `SELECT o.id, o.fence, o.tenant_id AS "tenantId", o.input_version AS "inputVersion", o.priority, o.attempt, o.input,
       ${NOW_MS} AS now ${HELD_BY_DISPATCH} ORDER BY o.id FOR UPDATE OF o SKIP LOCKED`,
    [dispatchId],
  );
}

/** Lease of a long run, s; renewed by a timer and by each batch. */
export const LEASE_SECONDS = 15;

const CLAIM_LONG = `WITH d AS (SELECT id AS dispatch_id FROM ops.dispatches WHERE id = $2 AND $1 = ANY (runs) FOR UPDATE)
  UPDATE ops.open_runs o SET state = 'running', fence = fence + 1, lease_until = clock_timestamp() + interval '${LEASE_SECONDS} seconds', worker = $3,
    started_at = coalesce(started_at, clock_timestamp()), attempt_started_at = clock_timestamp()
  FROM d WHERE id = $1 AND state = 'queued' AND due_at <= clock_timestamp() AND input_version <= $4
  RETURNING ${CLAIMED}, dispatch_id AS "dispatchId", started_at AS "startedAt", cancel_requested_at IS NOT NULL AS "cancelRequested", cursor, expected, processed, changed, failed_items AS "failedItems",
    coalesce(tally, '{}') AS tally, stale_inputs AS "staleInputs",
    coalesce(tick_date::text, options -> 'shard' ->> 'tickDate') AS "tickDate"`;

/** Long runs: the claim is a committed `running` with a fence of its own. Null: somebody else has it, or is to: its input is of a newer version. */
export async function claimLong(
  client: SqlClient,
  dispatch: HandedOut,
  id: string,
  worker: string,
  newestInput = 32_767,
): Promise<LongRun | null> {
  const [run] = await lookForHandedOut(client, dispatch.queue, () =>
    namedQuery<LongRun>(client, 'ns-claim-long', CLAIM_LONG, [id, dispatch.id, worker, newestInput]),
  );
  if (run === undefined) return null;
  await client.query('UPDATE ops.dispatches SET running = true WHERE id = $1', [dispatch.id]);
  return run;
}

/** Renews the lease. Null: the run is somebody else's now. */
export async function renewLease(client: SqlClient, held: Held): Promise<{ cancelRequested: boolean } | null> {
  const rows = await namedQuery<{ cancelRequested: boolean }>(
    client,
    'ns-renew-lease',
    `UPDATE ops.open_runs SET lease_until = clock_timestamp() + interval '${LEASE_SECONDS} seconds'
     WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING cancel_requested_at IS NOT NULL AS "cancelRequested"`,
    [held.id, held.fence],
  );
  return rows[0] ?? null;
}
