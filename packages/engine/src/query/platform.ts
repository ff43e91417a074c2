import { type Priority, priorityName } from '../priority.ts';
import { decodeCursor, TEXT_PART, toPage } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read } from './read.ts';

export interface QueueDepth {
  readonly queue: string;
  readonly priority: Priority;
  /** Due and not yet handed out. */
  readonly waiting: number;
  /** Age of the oldest waiting run since it was due, s; 0 when none waits. */
  readonly oldestWaitingSeconds: number;
  /** Due later: delayed or to be retried. */
  readonly scheduled: number;
  readonly blocked: number;
  readonly dispatched: number;
  readonly running: number;
}

const DEPTHS = `SELECT queue, priority,
    count(*) FILTER (WHERE state = 'queued' AND run_id IS NULL) AS waiting,
    coalesce(extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE state = 'queued' AND run_id IS NULL)), 0)::float8 AS "oldestWaitingSeconds",
    count(*) FILTER (WHERE state = 'scheduled') AS scheduled, count(*) FILTER (WHERE state = 'blocked') AS blocked,
    count(*) FILTER (WHERE state = 'queued' AND run_id IS NOT NULL) AS dispatched, count(*) FILTER (WHERE state = 'running') AS running
  FROM ops.open_runs LEFT JOIN (SELECT DISTINCT unnest(runs) AS run_id FROM ops.dispatches) in_hand ON run_id = id
  GROUP BY queue, priority ORDER BY queue, priority`;

/** Open runs, counted; queues without any have no row. Errors: `StoreUnavailableError`. */
export async function queueDepths(pools: Pools): Promise<QueueDepth[]> {
  const rows = await read<Omit<QueueDepth, 'priority'> & { priority: number }>(pools, null, DEPTHS);
  return rows.map((row) => ({
    ...row,
    priority: priorityName(row.priority),
    oldestWaitingSeconds: Math.max(0, row.oldestWaitingSeconds),
  }));
}

/** A worker that has not been heard of for so long counts as gone, s. */
export const WORKER_SILENT_SECONDS = 15;

export interface WorkerView {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly slots: unknown;
  readonly jobs: unknown;
  readonly stopping: boolean;
  readonly startedAt: Date;
  readonly heartbeatAt: Date;
}

/** Workers heard of lately. Errors: `StoreUnavailableError`. */
export async function liveWorkers(pools: Pools): Promise<WorkerView[]> {
  return await read<WorkerView>(
    pools,
    null,
    `SELECT id, host, pid, version, slots, jobs, stopping, started_at AS "startedAt", heartbeat_at AS "heartbeatAt" FROM ops.workers
     WHERE heartbeat_at > clock_timestamp() - make_interval(secs => ${WORKER_SILENT_SECONDS}) ORDER BY started_at, id`,
  );
}

export interface JobStatistics {
  readonly job: string;
  readonly outcome: string;
  readonly runs: number;
  /** Attempts beyond the first. */
  readonly retries: number;
  readonly itemsProcessed: number;
  readonly itemsFailed: number;
  /** Of execution, s; null when no run of them started. */
  readonly medianSeconds: number | null;
  readonly p95Seconds: number | null;
}

/** Runs that ended in the last `minutes`, by job and outcome. Errors: `StoreUnavailableError`. */
export async function jobStatistics(pools: Pools, minutes: number): Promise<JobStatistics[]> {
  // Ids are time-ordered: the bound on the id (a day for runs that lasted or waited) keeps the scan in the newest partitions.
  return await read<JobStatistics>(
    pools,
    null,
    `SELECT job, outcome::text, count(*) AS runs, sum(attempts - 1) AS retries, sum(processed) AS "itemsProcessed",
       sum(failed_items) AS "itemsFailed",
       percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) / 1000 AS "medianSeconds",
       percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) / 1000 AS "p95Seconds"
     FROM ops.runs
     WHERE ended_at > clock_timestamp() - make_interval(mins => $1)
       AND id >= ops.uuid7_floor(clock_timestamp() - make_interval(mins => $1) - interval '1 day')
     GROUP BY job, outcome ORDER BY job, outcome`,
    [minutes],
  );
}

export interface TickStatistics {
  readonly job: string;
  readonly state: 'fired' | 'skipped' | 'missed';
  readonly ticks: number;
  readonly maxLatenessSeconds: number;
}

/** Ticks due in the last `minutes`, by job and state. Errors: `StoreUnavailableError`. */
export async function tickStatistics(pools: Pools, minutes: number): Promise<TickStatistics[]> {
  return await read<TickStatistics>(
    pools,
    null,
    `SELECT job, state, count(*) AS ticks, max(lateness_ms)::float8 / 1000 AS "maxLatenessSeconds" FROM ops.ticks
     WHERE due_at > clock_timestamp() - make_interval(mins => $1) GROUP BY job, state ORDER BY job, state`,
    [minutes],
  );
}

export interface TenantView {
  readonly id: string;
  readonly system: string;
  readonly slug: string;
  readonly name: string;
  readonly zone: string;
}

/** By system and slug; a tenant sees itself alone. Errors: `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listTenants(
  pools: Pools,
  filter: PageRequest & { readonly tenantId: string | null; readonly system?: string | undefined },
): Promise<Page<TenantView>> {
  const conditions = new Conditions().add(`kind = 'tenant'`);
  if (filter.system !== undefined) conditions.add('system = ?', filter.system);
  if (filter.cursor !== undefined) {
    conditions.add('(system, slug) > (?, ?)', ...decodeCursor(filter.cursor, [TEXT_PART, TEXT_PART]));
  }
  const text = `SELECT id, system, slug, name, zone FROM ops.tenants ${conditions.where}
    ORDER BY system, slug LIMIT ${Math.trunc(filter.limit) + 1}`;
  const rows = await read<TenantView>(pools, filter.tenantId, text, conditions.values);
  return toPage(
    rows,
    filter.limit,
    (row) => row,
    (row) => [row.system, row.slug],
  );
}

/** Tasks that ended runs generated, ever, by type. Errors: `StoreUnavailableError`. */
export async function generatedTasks(pools: Pools): Promise<{ readonly type: string; readonly total: number }[]> {
  return await read(
    pools,
    null,
    'SELECT type, sum(total)::float8 AS total FROM ops.task_counts GROUP BY type ORDER BY type',
  );
}
