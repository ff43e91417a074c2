import type { Pool, PoolClient } from '@nightshift/db';
import type { Dispatch } from './execute/execution.ts';
import { uuidArray } from './uuid-array.ts';

/** What a pass reads first: what live workers can take, what is in hand, what is paused, whose turn it is. */
export interface QueueState {
  /** Slots of the queue over all live workers. */
  readonly slots: number;
  /** Highest input version that live workers can read, by job. */
  readonly jobs: Readonly<Record<string, number>>;
  /** Dispatches (not runs) that Redis or a worker holds, by priority 1 to 4. */
  readonly inHand: Readonly<Record<number, number>>;
  /** Priorities that have queued runs, most urgent first; unless `all` is known, whether in hand or not. */
  readonly waiting: readonly number[];
  /** All that waits, most urgent first, of each tenant its oldest first; null: it was not read. */
  readonly all: readonly Candidate[] | null;
  readonly queuePaused: boolean;
  readonly pausedJobs: readonly string[];
  readonly pausedTenants: readonly string[];
  /** Dispatches taken so far. */
  readonly taken: number;
  readonly tenantCursor: string;
}

/** A worker that has not been heard of for this long is taken for dead, s. */
export const WORKER_SILENCE_SECONDS = 15;

/**
 * A queued run that is not in hand. NOT IN: the ids in hand are read once for each place in a statement that asks, into a hash table; a join would
 * be planned for how many there were when the plan was made. Gathered in an array first, of whose elements the planner expects ten: what it takes for too
 * many for a hash table is compared with every candidate, and its idea of `dispatches`, whose rows come and go and differ in size, may be a thousand times
 * too high.
 */
const isQueued = (run: string) =>
  `${run}.state = 'queued' AND ${run}.id NOT IN (SELECT unnest(ARRAY(SELECT unnest(d.runs) FROM ops.dispatches d WHERE d.queue = $1)))`;

/** From the end of the index: at a tenant's beginning lie the dead entries of what it had done, and then what is in hand. */
const NEWEST = 'ORDER BY tenant_id DESC, due_at DESC';

/** Each table once, and nothing grouped: a lone run waits for this (decision 0023). */
const stateSql = (more: string) => `
SELECT
  (SELECT coalesce(jsonb_agg(jsonb_build_array(slots -> $1, jobs)), '[]') FROM ops.workers
    WHERE NOT stopping AND slots ? $1 AND heartbeat_at > clock_timestamp() - interval '${WORKER_SILENCE_SECONDS} seconds') AS workers,
  (SELECT ARRAY[count(*) FILTER (WHERE priority = 1), count(*) FILTER (WHERE priority = 2), count(*) FILTER (WHERE priority = 3),
    count(*) FILTER (WHERE priority = 4)]::integer[] FROM ops.dispatches WHERE queue = $1) AS "inHand",
  (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, key)), '[]') FROM ops.pauses WHERE kind <> 'queue' OR key = $1) AS pauses,
  taken, tenant_cursor AS "tenantCursor", ${more}
FROM (SELECT coalesce(q.taken, 0) AS taken, coalesce(q.tenant_cursor, '00000000-0000-0000-0000-000000000000') AS tenant_cursor
  FROM (SELECT) AS always LEFT JOIN ops.queues q ON q.queue = $1) AS turn`;

interface StateRow extends Pick<QueueState, 'taken' | 'tenantCursor'> {
  /** Of each live worker of the queue its slots there, and the versions that it can read. */
  readonly workers: readonly (readonly [slots: number, jobs: Readonly<Record<string, number>>])[];
  /** By priority, from 1. */
  readonly inHand: readonly number[];
  /** Of the queue itself, and all of jobs and tenants. */
  readonly pauses: readonly (readonly [kind: string, key: string])[];
}

const STATE = stateSql(`ARRAY(SELECT p FROM generate_series(1, 4) p WHERE coalesce(
    (SELECT true FROM ops.open_runs WHERE queue = $1 AND priority = p AND state = 'queued' AND tenant_id < tenant_cursor ${NEWEST} LIMIT 1),
    (SELECT true FROM ops.open_runs WHERE queue = $1 AND priority = p AND state = 'queued' AND tenant_id >= tenant_cursor ${NEWEST} LIMIT 1))) AS waiting`);

export async function readQueueState(client: PoolClient, queue: string): Promise<QueueState> {
  type Row = StateRow & Pick<QueueState, 'waiting'>;
  const { rows } = await client.query<Row>({ name: 'ns-queue-state', text: STATE, values: [queue] });
  const row = only(rows);
  return { ...stateOf(row), waiting: row.waiting, all: null };
}

/** The same with all that waits, in one question. Null: that is more than `most` runs, and none was read. */
export async function readStateAtRest(client: PoolClient, queue: string, most: number): Promise<QueueState | null> {
  type Row = StateRow & { readonly all: readonly Candidate[] };
  const text = STATE_AT_REST;
  const { rows } = await client.query<Row>({ name: 'ns-queue-state-at-rest', text, values: [queue, most + 1] });
  const row = only(rows);
  if (row.all.length > most) return null;
  return { ...stateOf(row), waiting: [...new Set(row.all.map((run) => run.priority))], all: row.all };
}

function only<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new Error('the queue state query returned no row');
  return row;
}

function stateOf({ workers, inHand, pauses, taken, tenantCursor }: StateRow): Omit<QueueState, 'waiting' | 'all'> {
  const jobs: Record<string, number> = {};
  for (const [, versions] of workers)
    for (const [job, version] of Object.entries(versions)) jobs[job] = Math.max(version, jobs[job] ?? 0);
  const paused = (of: string) => pauses.filter(([kind]) => kind === of).map(([, key]) => key);
  return {
    slots: workers.reduce((sum, [slots]) => sum + slots, 0),
    jobs,
    inHand: Object.fromEntries(inHand.map((n, i) => [i + 1, n])),
    queuePaused: paused('queue').length > 0,
    pausedJobs: paused('job'),
    pausedTenants: paused('tenant'),
    taken,
    tenantCursor,
  };
}

/**
 * Of these queues, those with queued runs, in hand or not: one question for all of them, which at rest is the only one. Planned each time: a plan
 * that was made while hardly anything waited would read the whole table under a backlog.
 */
export async function queuesWaiting(ops: Pool, queues: readonly string[]): Promise<string[]> {
  const { rows } = await ops.query<{ queue: string }>(
    `SELECT q.queue FROM unnest($1::text[]) AS q(queue) WHERE (SELECT true FROM ops.open_runs o WHERE o.queue = q.queue AND o.state = 'queued'
       ORDER BY priority DESC, tenant_id DESC, due_at DESC LIMIT 1) IS NOT NULL`,
    [queues],
  );
  return rows.map((row) => row.queue);
}

/** Highest input version that may be dispatched now, by job: what live workers can read and nobody paused. */
export type Readable = Readonly<Record<string, number>>;

/** The run's job and version are among the readable ones, given as jsonb. */
const isReadable = (run: string, readable: string) =>
  `${run}.input_version <= coalesce((${readable}::jsonb ->> ${run}.job)::integer, 0)`;

/** The run is not of a job that its tenant has no room for, given as `<job> <tenant>`. Asked only while there are such. */
const hasRoom = (run: string, held: string) => `(${run}.job || ' ' || ${run}.tenant_id) <> ALL (${held}::text[])`;

/**
 * Tenants that have runs of this priority to dispatch, from the cursor down (lap 0) and round to it (lap 1): whatever the backlog, and past whoever is
 * held up. One probe finds the next tenant. OFFSET 0: else the planner writes the question at both places that use its answer, and each reads what is in hand.
 */
const turnSql = (may: (run: string) => string) => `
WITH RECURSIVE walk AS (
  SELECT $3::uuid AS tenant_id, 0 AS lap, false AS ok, 0 AS n
  UNION ALL
  SELECT coalesce(next.tenant_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'), walk.lap + (next.tenant_id IS NULL)::integer, go.ok, walk.n + go.ok::integer
  FROM walk LEFT JOIN LATERAL (
    SELECT o.tenant_id FROM ops.open_runs o WHERE o.queue = $1 AND o.priority = $2 AND o.state = 'queued' AND o.tenant_id < walk.tenant_id
      AND o.tenant_id >= CASE walk.lap WHEN 0 THEN '00000000-0000-0000-0000-000000000000' ELSE $3 END ${NEWEST} LIMIT 1
  ) next ON true, LATERAL (SELECT next.tenant_id <> ALL ($6::uuid[]) AND (
    SELECT true FROM ops.open_runs r WHERE r.queue = $1 AND r.priority = $2 AND ${isQueued('r')} AND r.tenant_id = next.tenant_id AND ${may('r')}
    ${NEWEST} LIMIT 1) IS NOT NULL AS ok OFFSET 0) go
  WHERE walk.lap < 2 AND walk.n < $4
), turn AS (
  SELECT tenant_id FROM walk WHERE ok
)`;
const TURN = turnSql((run) => isReadable(run, '$5'));
const TURN_HELD = turnSql((run) => `${isReadable(run, '$5')} AND ${hasRoom(run, '$7')}`);

/** Whose turn it is, and who is left out. */
export interface Turn {
  readonly cursor: string;
  /** Tenants at most. */
  readonly limit: number;
  readonly readable: Readable;
  readonly paused: readonly string[];
  /** Jobs that a tenant has no room for, as `<job> <tenant>`. */
  readonly held: readonly string[];
}

export async function tenantsInTurn(
  client: PoolClient,
  queue: string,
  priority: number,
  turn: Turn,
): Promise<string[]> {
  const some = turn.held.length > 0;
  const values = [queue, priority, turn.cursor, turn.limit, JSON.stringify(turn.readable), turn.paused];
  const { rows } = await client.query<{ tenant_id: string }>({
    name: some ? 'ns-tenants-in-turn-held' : 'ns-tenants-in-turn',
    text: `${some ? TURN_HELD : TURN} SELECT tenant_id FROM turn`,
    values: some ? [...values, turn.held] : values,
  });
  return rows.map((row) => row.tenant_id);
}

/** A queued run as the pass sees it. */
export interface Candidate {
  readonly id: string;
  readonly tenantId: string;
  readonly job: string;
  readonly inputVersion: number;
  readonly priority: number;
  readonly attempt: number;
  readonly crashes: number;
  /** µs since 1970. */
  readonly dueUs: number;
  readonly timeoutMs: number;
}

const DUE_US = `(date_part('epoch', r.due_at) * 1000000)::bigint`;
const TIMEOUT_MS = `(r.options ->> 'timeoutMs')::integer`;

const CANDIDATE = `r.id, r.tenant_id AS "tenantId", r.job, r.input_version AS "inputVersion", r.priority, r.attempt, r.crashes, ${DUE_US} AS "dueUs",
  ${TIMEOUT_MS} AS "timeoutMs"`;

const STATE_AT_REST = stateSql(`(SELECT coalesce(jsonb_agg(few ORDER BY priority, "tenantId", "dueUs"), '[]') FROM (
    SELECT ${CANDIDATE} FROM ops.open_runs r WHERE r.queue = $1 AND ${isQueued('r')} ORDER BY r.priority, r.tenant_id, r.due_at LIMIT $2) few) AS all`);

// Of a bundle's runs nearly all is alike: it comes once, and what differs in two texts. A row a run costs both sides more than finding it.
const ALIKE = `r.job, r.input_version AS "inputVersion", r.priority, r.attempt, r.crashes, ${TIMEOUT_MS} AS "timeoutMs",
  string_agg(r.id::text, ',') AS ids, string_agg(${DUE_US}::text, ',') AS due`;
const ALIKE_BY = `GROUP BY r.job, r.input_version, r.priority, r.attempt, r.crashes, ${TIMEOUT_MS}`;

type Alike = Omit<Candidate, 'id' | 'dueUs'> & { readonly ids: string; readonly due: string };

/** Each tenant's runs again, the oldest first: a group keeps no order that could be relied on, and there may be several of a tenant. */
function eachOf(rows: readonly Alike[]): Candidate[] {
  const found: Candidate[] = [];
  let begin = 0;
  for (const [n, row] of rows.entries()) {
    const { tenantId, job, inputVersion, priority, attempt, crashes, timeoutMs } = row;
    const due = row.due.split(',');
    for (const [i, id] of row.ids.split(',').entries())
      found.push({ id, tenantId, job, inputVersion, priority, attempt, crashes, dueUs: Number(due[i]), timeoutMs });
    if (rows[n + 1]?.tenantId === tenantId) continue;
    found.push(...found.splice(begin).sort(byDue));
    begin = found.length;
  }
  return found;
}

function byDue(a: Candidate, b: Candidate): number {
  return a.dueUs - b.dueUs || (a.id < b.id ? -1 : 1);
}

/** How much a pass looks at. */
export interface Share {
  /** Tenants at most. */
  readonly tenants: number;
  /** Runs of all of them, and of one, at most. */
  readonly runs: number;
  readonly most: number;
  /** Of a tenant whole bundles are looked at, unless its share is less than one. */
  readonly bundle: number;
}

/** What is looked at of each of so many tenants. */
export function shareOf({ runs, most, bundle }: Share, tenants: number): number {
  const each = Math.ceil(runs / tenants);
  return Math.min(most, each - (each > bundle ? each % bundle : 0));
}

/** The tenants in turn and the oldest runs of the first of them in one question, for a pass that knows no floors: of each its share. */
export async function oldestInTurn(
  client: PoolClient,
  queue: string,
  priority: number,
  turn: Turn,
  share: Share,
): Promise<{ found: Candidate[]; tenants: number }> {
  const some = turn.held.length > 0;
  const values = [queue, priority, turn.cursor, turn.limit, JSON.stringify(turn.readable), turn.paused];
  // By how many there are, what is looked at of each: how many there are is known only there.
  const more = [share.tenants, Array.from({ length: share.tenants }, (_, i) => shareOf(share, i + 1))];
  const [most, each] = some ? ['$8', '$9'] : ['$7', '$8'];
  const { rows } = await client.query<Alike & { tenants: number }>({
    name: some ? 'ns-oldest-in-turn-held' : 'ns-oldest-in-turn',
    text: `${some ? TURN_HELD : TURN}
      SELECT t.tenant_id AS "tenantId", t.tenants, alike.* FROM (
        SELECT tenant_id, count(*) OVER ()::integer AS tenants, least(count(*) OVER (), ${most}::integer) AS sharing FROM turn LIMIT ${most}::integer
      ) t CROSS JOIN LATERAL (
        SELECT ${ALIKE} FROM (
          SELECT * FROM ops.open_runs o WHERE queue = $1 AND priority = $2 AND ${isQueued('o')} AND o.tenant_id = t.tenant_id
            AND ${isReadable('o', '$5')}${some ? ` AND ${hasRoom('o', '$7')}` : ''}
          ORDER BY o.due_at LIMIT (${each}::integer[])[t.sharing]
        ) r ${ALIKE_BY}
      ) alike`,
    values: some ? [...values, turn.held, ...more] : [...values, ...more],
  });
  return { found: eachOf(rows), tenants: rows[0]?.tenants ?? 0 };
}

/** The oldest runs of each tenant that are due since its floor (µs since 1970), at most `each` of one. */
export async function oldestOf(
  client: PoolClient,
  queue: string,
  priority: number,
  tenants: readonly string[],
  floors: readonly number[],
  each: number,
  readable: Readable,
  held: readonly string[],
): Promise<Candidate[]> {
  const some = held.length > 0;
  const { rows } = await client.query<Alike>({
    name: some ? 'ns-oldest-of-held' : 'ns-oldest-of',
    text: `SELECT t.tenant_id AS "tenantId", alike.* FROM unnest($3::uuid[], $4::float8[]) AS t(tenant_id, due_us) CROSS JOIN LATERAL (
        SELECT ${ALIKE} FROM (
          SELECT * FROM ops.open_runs o WHERE queue = $1 AND priority = $2 AND ${isQueued('o')} AND o.tenant_id = t.tenant_id
            AND o.due_at >= timestamptz 'epoch' + t.due_us * interval '1 microsecond' AND ${isReadable('o', '$6')}
            ${some ? `AND ${hasRoom('o', '$7')}` : ''}
          ORDER BY o.due_at LIMIT $5
        ) r ${ALIKE_BY}
      ) alike`,
    values: [queue, priority, tenants, floors, each, JSON.stringify(readable), ...(some ? [held] : [])],
  });
  return eachOf(rows);
}

/** Runs that have waited past their priority's bound, longest first, over all tenants. */
export async function waitedTooLong(
  client: PoolClient,
  queue: string,
  bounds: ReadonlyMap<number, number>,
  readable: Readable,
  pausedTenants: readonly string[],
  held: readonly string[],
  limit: number,
): Promise<Candidate[]> {
  const some = held.length > 0;
  const { rows } = await client.query<Candidate>({
    name: some ? 'ns-waited-too-long-held' : 'ns-waited-too-long',
    text: `WITH RECURSIVE lane AS (
        SELECT b.priority, b.bound_ms, (SELECT o.tenant_id FROM ops.open_runs o WHERE queue = $1 AND o.priority = b.priority AND ${isQueued('o')}
          ORDER BY o.tenant_id LIMIT 1) AS tenant_id
        FROM unnest($2::smallint[], $3::integer[]) AS b(priority, bound_ms)
        UNION ALL
        SELECT l.priority, l.bound_ms, (SELECT o.tenant_id FROM ops.open_runs o WHERE queue = $1 AND o.priority = l.priority AND ${isQueued('o')}
          AND o.tenant_id > l.tenant_id ORDER BY o.tenant_id LIMIT 1) FROM lane l WHERE l.tenant_id IS NOT NULL
      )
      SELECT ${CANDIDATE} FROM lane CROSS JOIN LATERAL (
        SELECT * FROM ops.open_runs o WHERE queue = $1 AND o.priority = lane.priority AND ${isQueued('o')} AND o.tenant_id = lane.tenant_id
          AND o.due_at < clock_timestamp() - make_interval(secs => lane.bound_ms / 1000.0) AND ${isReadable('o', '$4')}${some ? ` AND ${hasRoom('o', '$7')}` : ''}
        ORDER BY o.due_at LIMIT $6
      ) r WHERE lane.tenant_id IS NOT NULL AND lane.tenant_id <> ALL ($5::uuid[]) ORDER BY r.due_at, r.id LIMIT $6`,
    values: [
      queue,
      [...bounds.keys()],
      [...bounds.values()],
      JSON.stringify(readable),
      pausedTenants,
      limit,
      ...(some ? [held] : []),
    ],
  });
  return rows;
}

/** Dispatches that Redis has held past the bound of their runs, but for those named. */
export async function dispatchedTooLong(
  client: PoolClient,
  queue: string,
  bounds: ReadonlyMap<number, number>,
  except: readonly string[],
  limit: number,
): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>({
    name: 'ns-dispatched-too-long',
    text: `SELECT d.id FROM ops.dispatches d CROSS JOIN LATERAL (
        SELECT min(o.due_at) AS due_at FROM ops.open_runs o JOIN unnest($2::smallint[], $3::integer[]) AS b(priority, bound_ms) ON b.priority = o.priority
        WHERE o.id = ANY (d.runs) AND o.state = 'queued' AND o.due_at < clock_timestamp() - make_interval(secs => b.bound_ms / 1000.0)
      ) late WHERE d.queue = $1 AND d.priority = ANY ($2) AND d.id <> ALL ($4::uuid[]) AND late.due_at IS NOT NULL ORDER BY late.due_at LIMIT $5`,
    values: [queue, [...bounds.keys()], [...bounds.values()], except, limit],
  });
  return rows.map((row) => row.id);
}

/** A dispatch on its way to BullMQ. */
export interface NewDispatch extends Dispatch {
  readonly priority: number;
}

/** Each dispatch's runs are cut out of the list of all: $7 is where they begin. */
const HAND_OUT = `
WITH turn AS (
  INSERT INTO ops.queues (queue, taken, tenant_cursor) VALUES ($2, $3, coalesce($4::uuid, '00000000-0000-0000-0000-000000000000'))
  ON CONFLICT (queue) DO UPDATE SET taken = queues.taken + $3, tenant_cursor = coalesce($4::uuid, queues.tenant_cursor)
)
INSERT INTO ops.dispatches (id, queue, job, priority, tenant_ids, runs)
SELECT id, $2, job, priority, tenants::uuid[], ($1::uuid[])[first : coalesce(lead(first) OVER (ORDER BY first) - 1, cardinality($1))]
FROM unnest($5::uuid[], $6::text[], $7::integer[], $8::smallint[], $9::text[]) AS d(id, job, first, priority, tenants)`;

/** Hands the dispatches out and the turn on; who is lifted had a turn as well. No run's row is touched or locked: what somebody did to one meanwhile is seen by its claim. */
export async function handOut(
  client: PoolClient,
  queue: string,
  dispatches: readonly NewDispatch[],
  tenantCursor: string | null,
  lifts: number,
): Promise<void> {
  let next = 1;
  const starts = dispatches.map((dispatch) => {
    const start = next;
    next += dispatch.runs.length;
    return start;
  });
  await client.query({
    name: 'ns-hand-out',
    text: HAND_OUT,
    values: [
      uuidArray(dispatches.flatMap((dispatch) => dispatch.runs)),
      queue,
      dispatches.length + lifts,
      tenantCursor,
      dispatches.map((dispatch) => dispatch.id),
      dispatches.map((dispatch) => dispatch.job),
      starts,
      dispatches.map((dispatch) => dispatch.priority),
      dispatches.map((dispatch) => `{${dispatch.tenantIds.join(',')}}`),
    ],
  });
}
