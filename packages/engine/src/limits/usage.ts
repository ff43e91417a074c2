import type { SqlClient } from '../define-job.ts';
import { type JobLimits, type Limits, pairKey, type QueueLimits } from './limits.ts';

/** What of a run is counted: its tenant, its job, its tenant's runs of its job. */
export interface Counted {
  readonly job: string;
  readonly tenantId: string;
}

/** One limit and how much of it is used up. */
export interface Use {
  readonly of: 'tenant' | 'job' | 'job-and-tenant';
  /** As in `ops.limit_starts`. */
  readonly key: string;
  readonly kind: 'concurrency' | 'rate';
  readonly limit: number;
  readonly used: number;
}

/** Uses of every limit that a run comes under. */
export type Usage = (run: Counted) => readonly Use[];

/** A start leaves the window when its whole second is 60 s old: so no 60 s hold more starts than allowed. */
export const RATE_WINDOW_SECONDS = 61;

const IN_HAND = `FROM ops.dispatches d JOIN ops.open_runs o ON o.id = ANY (d.runs) AND o.state IN ('queued', 'running')`;

/** Counts what is in hand and was started lately, for the limits of a queue; nothing is read that has no limit. */
export async function readUsage(client: SqlClient, limits: QueueLimits): Promise<Usage> {
  const tenants = await tenantsInHand(client, limits);
  const { jobs, pairs } = await jobsInHand(client, limits);
  const starts = await startsLately(client, limits);
  return ({ job, tenantId }) => {
    const pair = pairKey(job, tenantId);
    const ofJob = limits.jobs.get(job);
    return [
      ...uses('tenant', tenantKey(tenantId), limits.tenants.get(tenantId), tenants.get(tenantId), starts),
      ...uses('job', jobKey(job), ofJob, jobs.get(job), starts),
      ...uses(
        'job-and-tenant',
        pairStartsKey(job, tenantId),
        ofPair(ofJob, limits.pairs.get(pair)),
        pairs.get(pair),
        starts,
      ),
    ];
  };
}

const tenantKey = (id: string) => `tenant:${id}`;
const jobKey = (job: string) => `job:${job}`;
const pairStartsKey = (job: string, tenantId: string) => `job:${job}:${tenantId}`;

/** A tenant's own limit of a job stands before the one that the job has for each tenant. */
function ofPair(job: JobLimits | undefined, own: Limits | undefined): Limits | undefined {
  if (job?.perTenantConcurrency === undefined) return own;
  return { concurrency: job.perTenantConcurrency, ...own };
}

function uses(
  of: Use['of'],
  key: string,
  limits: Limits | undefined,
  inHand: number | undefined,
  starts: ReadonlyMap<string, number>,
): Use[] {
  if (limits === undefined) return [];
  const { concurrency, perMinute } = limits;
  return [
    ...(concurrency === undefined
      ? []
      : [{ of, key, kind: 'concurrency', limit: concurrency, used: inHand ?? 0 } as const]),
    ...(perMinute === undefined
      ? []
      : [{ of, key, kind: 'rate', limit: perMinute, used: starts.get(key) ?? 0 } as const]),
  ];
}

async function tenantsInHand(client: SqlClient, limits: QueueLimits): Promise<Map<string, number>> {
  const limited = [...limits.tenants].filter(([, own]) => own.concurrency !== undefined).map(([id]) => id);
  if (limited.length === 0) return new Map();
  const { rows } = await client.query<{ tenant_id: string; n: number }>(
    `SELECT o.tenant_id, count(*) AS n ${IN_HAND} WHERE d.queue = ANY ($1) AND d.tenant_ids && $2::uuid[] AND o.tenant_id = ANY ($2) GROUP BY o.tenant_id`,
    [limits.tenantQueues, limited],
  );
  return new Map(rows.map((row) => [row.tenant_id, row.n]));
}

async function jobsInHand(
  client: SqlClient,
  limits: QueueLimits,
): Promise<{ jobs: Map<string, number>; pairs: Map<string, number> }> {
  const limited = new Set(
    [...limits.jobs]
      .filter(([, own]) => own.concurrency !== undefined || own.perTenantConcurrency !== undefined)
      .map(([job]) => job),
  );
  for (const [pair, own] of limits.pairs)
    if (own.concurrency !== undefined) limited.add(pair.slice(0, pair.indexOf(' ')));
  const jobs = new Map<string, number>();
  const pairs = new Map<string, number>();
  if (limited.size === 0) return { jobs, pairs };
  const { rows } = await client.query<{ job: string; tenant_id: string; n: number }>(
    `SELECT d.job, o.tenant_id, count(*) AS n ${IN_HAND} WHERE d.queue = ANY ($1) AND d.job = ANY ($2) GROUP BY d.job, o.tenant_id`,
    [limits.tenantQueues, [...limited]],
  );
  for (const row of rows) {
    jobs.set(row.job, (jobs.get(row.job) ?? 0) + row.n);
    pairs.set(pairKey(row.job, row.tenant_id), row.n);
  }
  return { jobs, pairs };
}

async function startsLately(client: SqlClient, limits: QueueLimits): Promise<Map<string, number>> {
  const keys = [
    ...[...limits.tenants].filter(([, own]) => own.perMinute !== undefined).map(([id]) => tenantKey(id)),
    ...[...limits.jobs].filter(([, own]) => own.perMinute !== undefined).map(([job]) => jobKey(job)),
    ...[...limits.pairs]
      .filter(([, own]) => own.perMinute !== undefined)
      .map(([pair]) => `job:${pair.replace(' ', ':')}`),
  ];
  if (keys.length === 0) return new Map();
  const { rows } = await client.query<{ key: string; n: number }>(
    `SELECT key, sum(starts)::integer AS n FROM ops.limit_starts
     WHERE key = ANY ($1) AND second > clock_timestamp() - interval '${RATE_WINDOW_SECONDS} seconds' GROUP BY key`,
    [keys],
  );
  return new Map(rows.map((row) => [row.key, row.n]));
}

/** Counts starts of what has a rate limit, and forgets those that are past. */
export async function recordStarts(client: SqlClient, starts: ReadonlyMap<string, number>): Promise<void> {
  if (starts.size === 0) return;
  await client.query(
    `WITH past AS (DELETE FROM ops.limit_starts WHERE key = ANY ($1) AND second < clock_timestamp() - interval '2 minutes')
     INSERT INTO ops.limit_starts AS s (key, second, starts) SELECT key, date_trunc('second', clock_timestamp()), n FROM unnest($1::text[], $2::integer[]) AS g(key, n)
     ON CONFLICT (key, second) DO UPDATE SET starts = s.starts + excluded.starts`,
    [[...starts.keys()], [...starts.values()]],
  );
}

/** When a rate limit that is used up has room again. */
export async function rateFreeAt(client: SqlClient, use: Use): Promise<Date | null> {
  const { rows } = await client.query<{ at: Date | null }>(
    `SELECT min(second) + interval '${RATE_WINDOW_SECONDS} seconds' AS at FROM (
       SELECT second, sum(starts) OVER (ORDER BY second) AS so_far FROM ops.limit_starts
       WHERE key = $1 AND second > clock_timestamp() - interval '${RATE_WINDOW_SECONDS} seconds') s WHERE so_far > $2`,
    [use.key, use.used - use.limit],
  );
  return rows[0]?.at ?? null;
}
