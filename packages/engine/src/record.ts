import { type ClaimedRun, LEASE_SECONDS } from './claim.ts';
import type { SqlClient } from './define-job.ts';
import { newId } from './id.ts';
import { namedQuery } from './named-query.ts';
import type { RunOutcome } from './run-status.ts';

// What becomes of a run after accept, but for its claim (claim.ts) and what goes back unexecuted (give-back.ts). Every statement names what it
// leaves: its state and its fence. A row that no longer has them belongs to somebody else; it is left out of the answer, and the caller stops.

/** Names the run as this worker holds it. */
export interface Held {
  readonly id: string;
  readonly fence: number;
}

/** State that a holder left its row in: a short run is executed as `queued`, under the lock of its dispatch; a parent is `blocked`. */
export type HeldAs = 'queued' | 'running' | 'blocked';

export interface End extends Held {
  readonly outcome: RunOutcome;
  readonly result: unknown;
  readonly errorClass: string | null;
  readonly errorMessage: string | null;
  /** Length of the last attempt, ms; null takes it from the row's own start. */
  readonly durationMs: number | null;
}

// The audit row bears the run's `ended_at`: by it and the tenant it is found, in no index by run.
const END = `
WITH given AS (
  SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::jsonb[], $5::text[], $6::text[], $7::integer[], $11::uuid[])
    AS g(id, fence, outcome, result, error_class, error_message, duration_ms, payload_id)
), ended AS (
  DELETE FROM ops.open_runs o USING given g
  WHERE o.id = ANY ($1::uuid[]) AND o.id = g.id AND o.fence = g.fence AND o.state = coalesce($10, o.state)
  RETURNING o.*, g.outcome, g.result, g.error_class, g.error_message, g.payload_id, statement_timestamp() AS ended_at,
    least(coalesce(g.duration_ms, extract(epoch FROM statement_timestamp() - o.started_at) * 1000), 2147483647)::integer AS duration_ms
), history AS (
  INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, crashes, due_at, accepted_at, started_at,
    ended_at, duration_ms, bundle_size, worker, expected, processed, changed, failed_items, error_class, error_message, trigger_id,
    parent_id, retry_of, replay_of, stale_inputs, tick_date, actor, options, payload_id)
  SELECT id, tenant_id, job, input_version, queue, priority, outcome, attempt, crashes, due_at, accepted_at,
    coalesce(started_at, ended_at - make_interval(secs => duration_ms / 1000.0)), ended_at, duration_ms, $9, coalesce($8, worker),
    expected, processed, changed, failed_items, error_class, error_message, trigger_id, parent_id, retry_of, replay_of, stale_inputs,
    tick_date, actor, options, CASE WHEN input <> '{}' OR result IS NOT NULL THEN payload_id END
  FROM ended
), payload AS (
  INSERT INTO ops.payloads (id, tenant_id, runs, inputs, results)
  SELECT payload_id, tenant_id, ARRAY[id], ARRAY[input], CASE WHEN result IS NOT NULL THEN ARRAY[result] END
  FROM ended WHERE input <> '{}' OR result IS NOT NULL
), audited AS (
  INSERT INTO ops.audit_log (at, tenant_id, actor, action, run_id, details)
  SELECT ended_at, tenant_id, coalesce(CASE WHEN outcome = 'cancelled' THEN cancel_actor END, 'worker:' || coalesce($8, worker), 'platform'),
    'run.ended', id, jsonb_build_object('job', job, 'outcome', outcome) FROM ended
)
SELECT id, outcome, CASE WHEN options ->> 'dryRun' = 'true' THEN NULL ELSE replay_of END AS replay_of,
  CASE WHEN options ->> 'dryRun' = 'true' THEN NULL ELSE tally END AS tally FROM ended`;

/** What a replay met again and did not fail on is mended, in the run that it replays and in those that this one replayed; what failed once more has a failure of its own under the replay's id. */
const MENDED = `
WITH RECURSIVE g AS (
  SELECT id, replay_of, replay_of AS mended FROM unnest($1::uuid[], $2::uuid[]) AS u(id, replay_of)
  UNION ALL SELECT g.id, g.replay_of, r.replay_of FROM g JOIN ops.runs r ON r.id = g.mended WHERE r.replay_of IS NOT NULL
)
UPDATE ops.item_failures f SET replayed_by = g.id FROM g
WHERE f.run_id = g.mended AND f.replayed_by IS NULL AND f.notification_id IS NULL
  AND EXISTS (SELECT 1 FROM ops.item_failures same WHERE same.run_id = g.replay_of AND same.item_key = f.item_key)
  AND NOT EXISTS (SELECT 1 FROM ops.item_failures again WHERE again.run_id = g.id AND again.item_key = f.item_key)`;

/** What a run's tally calls `task:<TYPE>` are tasks that it generated. A parent has no tally of its own: its shards' ends count theirs. */
const COUNT_TASKS = `
INSERT INTO ops.task_counts AS t (tenant_id, job, type, total)
SELECT r.tenant_id, r.job, substr(n.key, 6), sum(n.value::bigint)
FROM ops.runs r JOIN unnest($1::uuid[], $2::jsonb[]) AS g(id, tally) ON g.id = r.id, jsonb_each_text(g.tally) AS n
WHERE n.key LIKE 'task:_%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (tenant_id, job, type) DO UPDATE SET total = t.total + excluded.total`;

/**
 * Ends runs: history, payload and audit row in the statement that deletes them. `as` null: whatever their state, for who has locked their rows.
 * Resolves to the ids that were still held.
 */
export async function endRuns(
  client: SqlClient,
  ends: readonly End[],
  by: { worker: string | null; bundleSize: number | null; as: HeldAs | null },
): Promise<Set<string>> {
  const column = <T>(pick: (end: End) => T): T[] => ends.map(pick);
  type Tally = Readonly<Record<string, number>>;
  type Ended = { id: string; outcome: RunOutcome; replay_of: string | null; tally: Tally | null };
  const rows = await namedQuery<Ended>(client, 'ns-end-runs', END, [
    column((e) => e.id),
    column((e) => e.fence),
    column((e) => e.outcome),
    column((e) => (e.result === null || e.result === undefined ? null : JSON.stringify(e.result))),
    column((e) => e.errorClass),
    column((e) => e.errorMessage),
    column((e) => e.durationMs),
    by.worker,
    by.bundleSize,
    by.as,
    // Of now, and not the run's: what was accepted long ago is kept as long as the rest, and dropped with it.
    column(() => newId()),
  ]);
  const mended = rows.filter((row) => row.replay_of !== null && row.outcome.startsWith('completed'));
  if (mended.length > 0) await client.query(MENDED, [mended.map((row) => row.id), mended.map((row) => row.replay_of)]);
  const generating = rows.filter(({ tally }) => Object.keys(tally ?? {}).some((name) => name.startsWith('task:')));
  if (generating.length > 0)
    await client.query(COUNT_TASKS, [
      generating.map((row) => row.id),
      generating.map((row) => JSON.stringify(row.tally)),
    ]);
  return new Set(rows.map((row) => row.id));
}

// What the runs were given and answered is one row, one a tenant: the arrays are made in one pass, so that their elements have the same order.
const END_CLEAN = `
WITH over AS (
  DELETE FROM ops.dispatches WHERE id = $1 RETURNING id, runs
), ended AS (
  DELETE FROM ops.open_runs o USING over WHERE o.id = ANY (over.runs) AND o.state = 'queued'
  RETURNING o.id, o.tenant_id, o.job, o.input_version, o.queue, o.priority, o.attempt, o.crashes, o.due_at, o.accepted_at, o.started_at, o.trigger_id,
    o.parent_id, o.retry_of, o.replay_of, o.stale_inputs, o.tick_date, o.actor, o.options, o.input, statement_timestamp() AS ended_at,
    CASE WHEN o.input <> '{}' OR $6::jsonb ? o.id::text THEN over.id END AS payload_id
), history AS (
  INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, crashes, due_at, accepted_at, started_at,
    ended_at, duration_ms, bundle_size, worker, trigger_id, parent_id, retry_of, replay_of, stale_inputs, tick_date, actor, options, payload_id)
  SELECT id, tenant_id, job, input_version, queue, priority, 'completed', attempt, crashes, due_at, accepted_at,
    coalesce(started_at, ended_at - make_interval(secs => b.ms / 1000.0)), ended_at, b.ms, b.size, $3, trigger_id, parent_id, retry_of, replay_of,
    stale_inputs, tick_date, actor, options, payload_id
  FROM ended JOIN unnest($8::uuid[], $2::integer[], $4::smallint[]) AS b(tenant, ms, size) ON b.tenant = tenant_id
), payload AS (
  INSERT INTO ops.payloads (id, tenant_id, runs, inputs, results)
  SELECT payload_id, tenant_id, array_agg(id), array_agg(input), CASE WHEN count(result) > 0 THEN array_agg(result) END
  FROM (SELECT payload_id, tenant_id, id, input, CASE WHEN $6::jsonb IS NOT NULL THEN $6::jsonb -> id::text END AS result FROM ended WHERE payload_id IS NOT NULL) AS kept
  GROUP BY payload_id, tenant_id
), audited AS (
  INSERT INTO ops.audit_log (at, tenant_id, actor, action, run_id, details)
  SELECT ended_at, tenant_id, 'worker:' || $3, 'run.ended', id, $5::jsonb FROM ended
)
SELECT 1 / (count(*) = $7::integer)::integer FROM ended`;

/** A dispatch whose runs all completed, in the transaction that claimed them. */
export interface CleanEnd {
  readonly dispatchId: string;
  readonly job: string;
  /** Of each tenant one. */
  readonly bundles: readonly { readonly tenantId: string; readonly runs: number; readonly durationMs: number }[];
  /** By run id; those without are left out. */
  readonly results: Readonly<Record<string, unknown>>;
}

/**
 * `endRuns` for the usual case, in a third of the time: what the runs have in common is sent once, and they are found by their dispatch.
 * Errors: `division_by_zero`, from Postgres so that a commit may follow at once: not as many rows would have ended as were claimed.
 */
export async function endClean(client: SqlClient, end: CleanEnd, worker: string): Promise<void> {
  const { bundles } = end;
  await namedQuery(client, 'ns-end-clean', END_CLEAN, [
    end.dispatchId,
    bundles.map(({ durationMs }) => durationMs),
    worker,
    bundles.map(({ runs }) => runs),
    JSON.stringify({ job: end.job, outcome: 'completed' }),
    Object.keys(end.results).length === 0 ? null : JSON.stringify(end.results),
    bundles.reduce((sum, { runs }) => sum + runs, 0),
    bundles.map(({ tenantId }) => tenantId),
  ]);
}

export interface Retry extends Held {
  readonly outcome: 'failed' | 'timeout';
  readonly delayMs: number;
  readonly errorClass: string;
  readonly errorMessage: string;
}

const RETRY = `
WITH given AS (
  SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::text[], $6::text[])
    AS g(id, fence, outcome, delay_ms, error_class, error_message)
), put AS (
  UPDATE ops.open_runs o SET state = 'scheduled', attempt = o.attempt + 1, due_at = clock_timestamp() + make_interval(secs => g.delay_ms / 1000.0),
    lease_until = NULL, worker = NULL, attempt_started_at = NULL
  FROM given g
  WHERE o.id = ANY ($1::uuid[]) AND o.id = g.id AND o.fence = g.fence AND o.state = $9
  RETURNING o.id, o.tenant_id, o.job, o.attempt - 1 AS attempt, o.due_at, g.outcome, g.error_class, g.error_message
), tried AS (
  INSERT INTO ops.attempts (run_id, attempt, tenant_id, outcome, error_class, error_message, worker, started_at, retry_at)
  SELECT id, attempt, tenant_id, outcome, error_class, error_message, $7, clock_timestamp() - make_interval(secs => $8::integer / 1000.0), due_at FROM put
), audited AS (
  INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details)
  SELECT tenant_id, 'worker:' || $7, 'run.retry_scheduled', id, jsonb_build_object('job', job, 'attempt', attempt, 'error', error_class, 'retryAt', due_at) FROM put
)
SELECT id FROM put`;

/** Puts failed attempts back as `scheduled`, with their record. Resolves to the ids that were still held. */
export async function retryRuns(
  client: SqlClient,
  retries: readonly Retry[],
  by: { worker: string; durationMs: number; as: HeldAs },
): Promise<Set<string>> {
  const column = <T>(pick: (retry: Retry) => T): T[] => retries.map(pick);
  const rows = await namedQuery<{ id: string }>(client, 'ns-retry-runs', RETRY, [
    column((r) => r.id),
    column((r) => r.fence),
    column((r) => r.outcome),
    column((r) => r.delayMs),
    column((r) => r.errorClass),
    column((r) => r.errorMessage),
    by.worker,
    by.durationMs,
    by.as,
  ]);
  return new Set(rows.map((row) => row.id));
}

export interface Snoozed extends Held {
  readonly delayMs: number;
}

/** Puts off runs whose handlers asked for it, no attempt counted. Resolves to the number that were still held. */
export async function snoozeRuns(
  client: SqlClient,
  snoozed: readonly Snoozed[],
  by: { worker: string; as: HeldAs },
): Promise<number> {
  const rows = await namedQuery(
    client,
    'ns-snooze-runs',
    `WITH given AS (
       SELECT * FROM unnest($1::uuid[], $2::integer[], $3::float8[]) AS g(id, fence, delay_ms)
     ), put AS (
       UPDATE ops.open_runs o SET state = 'scheduled', due_at = clock_timestamp() + make_interval(secs => g.delay_ms / 1000.0),
         lease_until = NULL, worker = NULL, attempt_started_at = NULL
       FROM given g
       WHERE o.id = ANY ($1::uuid[]) AND o.id = g.id AND o.fence = g.fence AND o.state = $5
       RETURNING o.id, o.tenant_id, o.job, o.due_at
     ), audited AS (
       INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details)
       SELECT tenant_id, 'worker:' || $4::text, 'run.snoozed', id, jsonb_build_object('job', job, 'until', due_at) FROM put
     )
     SELECT id FROM put`,
    [snoozed.map((s) => s.id), snoozed.map((s) => s.fence), snoozed.map((s) => s.delayMs), by.worker, by.as],
  );
  return rows.length;
}

export interface Progress {
  readonly cursor: string | null;
  readonly expected: number | null;
  readonly processed: number;
  readonly changed: number;
  readonly failedItems: number;
  readonly tally: Readonly<Record<string, number>>;
}

/**
 * The checkpoint: the last statement of a batch's transaction. `from`: the cursor that the batch began at. Null: the run is lost, or somebody has done
 * this batch, and it must be rolled back.
 */
export async function checkpoint(
  client: SqlClient,
  held: Held,
  from: string | null,
  progress: Progress,
): Promise<{ cancelRequested: boolean } | null> {
  const rows = await namedQuery<{ cancelRequested: boolean }>(
    client,
    'ns-checkpoint',
    `UPDATE ops.open_runs SET cursor = $3, expected = $4, processed = $5, changed = $6, failed_items = $7, tally = $8,
       lease_until = clock_timestamp() + interval '${LEASE_SECONDS} seconds'
     WHERE id = $1 AND fence = $2 AND state = 'running' AND cursor IS NOT DISTINCT FROM $9
     RETURNING cancel_requested_at IS NOT NULL AS "cancelRequested"`,
    [
      held.id,
      held.fence,
      progress.cursor,
      progress.expected,
      progress.processed,
      progress.changed,
      progress.failedItems,
      JSON.stringify(progress.tally),
      from,
    ],
  );
  return rows[0] ?? null;
}

/** What the last checkpoint stored. Null: the run is lost. */
export async function readProgress(
  client: SqlClient,
  held: Held,
): Promise<(Progress & { cancelRequested: boolean }) | null> {
  const { rows } = await client.query<Progress & { cancelRequested: boolean }>(
    `SELECT cursor, expected, processed, changed, failed_items AS "failedItems", coalesce(tally, '{}') AS tally,
       cancel_requested_at IS NOT NULL AS "cancelRequested" FROM ops.open_runs WHERE id = $1 AND fence = $2 AND state = 'running'`,
    [held.id, held.fence],
  );
  return rows[0] ?? null;
}

/** Keys of the items that a replay is to do again, and have not been replayed since. */
export async function keysToReplay(client: SqlClient, replayOf: string): Promise<Set<string>> {
  const { rows } = await client.query<{ item_key: string }>(
    'SELECT item_key FROM ops.item_failures WHERE run_id = $1 AND replayed_by IS NULL AND notification_id IS NULL',
    [replayOf],
  );
  return new Set(rows.map((row) => row.item_key));
}

/** Tenants of the items that a replay is to mend. */
export async function tenantsToMend(client: SqlClient, replayOf: string): Promise<string[]> {
  const { rows } = await client.query<{ tenant_id: string }>(
    'SELECT DISTINCT tenant_id FROM ops.item_failures WHERE run_id = $1 AND replayed_by IS NULL AND notification_id IS NULL',
    [replayOf],
  );
  return rows.map((row) => row.tenant_id);
}

export interface ItemFailure {
  readonly key: string;
  readonly tenantId: string;
  readonly errorClass: string;
  readonly errorMessage: string;
}

/** Item errors, in the transaction of their batch; a shard's are its parent's. An item that fails again in a later attempt keeps its latest error. */
export async function recordItemFailures(
  client: SqlClient,
  run: ClaimedRun,
  failures: readonly ItemFailure[],
): Promise<void> {
  if (failures.length === 0) return;
  await client.query(
    `INSERT INTO ops.item_failures (run_id, item_key, tenant_id, error_class, error_message, attempt)
     SELECT $1, k, t, c, m, $6 FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[]) AS f(k, t, c, m)
     ON CONFLICT (run_id, item_key) DO UPDATE SET error_class = excluded.error_class, error_message = excluded.error_message,
       attempt = excluded.attempt, at = clock_timestamp()`,
    [
      run.parentId ?? run.id,
      failures.map((f) => f.key),
      failures.map((f) => f.tenantId),
      failures.map((f) => f.errorClass),
      failures.map((f) => f.errorMessage),
      run.attempt,
    ],
  );
}

/** A stopping worker gives its long run back at the checkpoint: no attempt counted, the interruption on record. False: it was lost. */
export async function releaseLong(client: SqlClient, held: Held, worker: string): Promise<boolean> {
  const rows = await namedQuery(
    client,
    'ns-release-long',
    `WITH put AS (
       UPDATE ops.open_runs SET state = 'queued', lease_until = NULL, worker = NULL
       WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING id, tenant_id, attempt, attempt_started_at
     ), tried AS (
       INSERT INTO ops.attempts (run_id, attempt, tenant_id, outcome, worker, started_at)
       SELECT id, attempt, tenant_id, 'interrupted', $3, attempt_started_at FROM put
     )
     SELECT id FROM put`,
    [held.id, held.fence, worker],
  );
  return rows.length > 0;
}

/** Locks the held row. True: somebody asked for the run's end since it was claimed. */
export async function cancelRequested(client: SqlClient, held: Held): Promise<boolean> {
  const { rows } = await client.query<{ asked: boolean }>(
    `SELECT cancel_requested_at IS NOT NULL AS asked FROM ops.open_runs WHERE id = $1 AND fence = $2 AND state = 'running' FOR UPDATE`,
    [held.id, held.fence],
  );
  return rows[0]?.asked === true;
}
