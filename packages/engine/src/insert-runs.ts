import type { SqlClient } from './define-job.ts';
import { namedQuery } from './named-query.ts';
import type { NewRun } from './new-run.ts';
import { uuidArray } from './uuid-array.ts';

const COLUMNS = `id, tenant_id, job, input_version, queue, priority, state, due_at, unique_key, trigger_id, retry_of, replay_of, after_job,
  blocked_until, tick_date, actor, options, input`;

// The audit row bears the run's `accepted_at`: by it and the tenant it is found, in no index by run.
// A run whose idempotency key is taken, or whose tenant has an open run of the same unique key, is left out: the caller looks up which.
// In one order everywhere: of two statements that name the same keys one waits for the other, and never both.
const INSERT = `
WITH given AS (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::smallint[], $7::text[], $8::timestamptz[],
    $9::text[], $10::uuid[], $11::uuid[], $12::uuid[], $13::text[], $14::timestamptz[], $15::date[], $16::text[], $17::jsonb[], $18::jsonb[],
    $19::text[], $20::text[], $21::bytea[])
    AS g(${COLUMNS}, principal, key, body_sha256)
), keys AS (
  INSERT INTO ops.idempotency_keys (principal, tenant_id, key, body_sha256, run_id)
  SELECT principal, tenant_id, key, body_sha256, id FROM given WHERE key IS NOT NULL ORDER BY tenant_id, key COLLATE "C", id
  ON CONFLICT DO NOTHING RETURNING run_id
), made AS (
  INSERT INTO ops.open_runs (${COLUMNS}, accepted_at)
  SELECT id, tenant_id, job, input_version, queue, priority,
    CASE WHEN state = 'queued' AND due_at > clock_timestamp() THEN 'scheduled' ELSE state END, coalesce(due_at, statement_timestamp()), unique_key, trigger_id, retry_of,
    replay_of, after_job, blocked_until, tick_date, actor, options, input, statement_timestamp()
  FROM given WHERE key IS NULL OR id IN (SELECT run_id FROM keys) ORDER BY tenant_id, unique_key COLLATE "C", id
  ON CONFLICT (tenant_id, unique_key) WHERE unique_key IS NOT NULL DO NOTHING
  RETURNING id, tenant_id, actor, job, state, accepted_at
), audited AS (
  INSERT INTO ops.audit_log (at, tenant_id, actor, action, run_id, details)
  SELECT accepted_at, tenant_id, actor, 'run.accepted', id, jsonb_build_object('job', job) FROM made
)
SELECT id, state FROM made`;

// Runs of which nothing can be left out: both tables take the rows as given, and none has to be kept for the other.
const PLAIN = `
WITH made AS (
  INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, due_at, accepted_at, actor, options, input)
  SELECT g.id, g.tenant_id, $3, $4::smallint, $5, g.priority, 'queued', statement_timestamp(), statement_timestamp(), $6, $7::jsonb, g.input
  FROM ROWS FROM (unnest($1::uuid[]), unnest($2::uuid[]), unnest($8::smallint[]), jsonb_array_elements($9::jsonb)) AS g(id, tenant_id, priority, input)
)
INSERT INTO ops.audit_log (at, tenant_id, actor, action, run_id, details)
SELECT statement_timestamp(), tenant_id, $6, 'run.accepted', id, $10::jsonb FROM unnest($1::uuid[], $2::uuid[]) AS g(id, tenant_id)`;

function isPlain(run: NewRun, first: NewRun): boolean {
  return (
    run.job === first.job &&
    run.actor === first.actor &&
    run.options === first.options &&
    run.inputVersion === first.inputVersion &&
    run.state === 'queued' &&
    run.dueAt === null &&
    run.uniqueKey === null &&
    run.triggerId === null &&
    run.retryOf === null &&
    run.replayOf === null &&
    run.afterJob === null &&
    run.blockedUntil === null &&
    run.tickDate === null &&
    run.idempotency === null
  );
}

/** State of each run that was inserted, by id. */
export type Inserted = Pick<ReadonlyMap<string, NewRun['state']>, 'get' | 'has'>;

const ALL_QUEUED: Inserted = { get: () => 'queued', has: () => true };

async function insertPlain(client: SqlClient, runs: readonly NewRun[], first: NewRun): Promise<Inserted> {
  await namedQuery(client, 'ns-insert-plain', PLAIN, [
    uuidArray(runs.map((r) => r.id)),
    uuidArray(runs.map((r) => r.tenantId)),
    first.job,
    first.inputVersion,
    first.queue,
    first.actor,
    first.options,
    `{${runs.map((r) => r.priority).join(',')}}`,
    `[${runs.map((r) => r.input).join(',')}]`,
    JSON.stringify({ job: first.job }),
  ]);
  return ALL_QUEUED;
}

/** Inserts runs and their audit rows in one statement. Resolves to id → state of those that were inserted. */
export async function insertRuns(client: SqlClient, runs: readonly NewRun[]): Promise<Inserted> {
  for (const run of runs)
    if (run.personal.length > 0) throw new Error(`personal input of '${run.job}' is not encrypted yet`);
  const [first] = runs;
  if (first !== undefined && runs.every((run) => isPlain(run, first))) return insertPlain(client, runs, first);
  const column = <T>(pick: (run: NewRun) => T): T[] => runs.map(pick);
  const rows = await namedQuery<{ id: string; state: NewRun['state'] }>(client, 'ns-insert-runs', INSERT, [
    column((r) => r.id),
    column((r) => r.tenantId),
    column((r) => r.job),
    column((r) => r.inputVersion),
    column((r) => r.queue),
    column((r) => r.priority),
    column((r) => r.state),
    column((r) => r.dueAt),
    column((r) => r.uniqueKey),
    column((r) => r.triggerId),
    column((r) => r.retryOf),
    column((r) => r.replayOf),
    column((r) => r.afterJob),
    column((r) => r.blockedUntil),
    column((r) => r.tickDate),
    column((r) => r.actor),
    column((r) => r.options),
    column((r) => r.input),
    column((r) => r.idempotency?.principal ?? null),
    column((r) => r.idempotency?.key ?? null),
    column((r) => r.idempotency?.bodySha256 ?? null),
  ]);
  return new Map(rows.map((row) => [row.id, row.state]));
}
