import type { Pool } from '@nightshift/db';
import { z } from 'zod';
import type { Catalogue } from '../catalogue.ts';
import { queuesOfJob } from '../define-job.ts';
import { remember } from '../remember.ts';

/** How much of something may be in hand or be started. A field that is absent limits nothing. */
export interface Limits {
  /** Runs in hand at once: dispatched or running. */
  readonly concurrency?: number;
  /** Starts (retries too) within any 60 s. */
  readonly perMinute?: number;
}

export interface JobLimits extends Limits {
  /** Runs of one tenant in hand at once. */
  readonly perTenantConcurrency?: number;
}

export const MAX_LIMIT = 1_000_000;
const limit = z.int().min(1).max(MAX_LIMIT).nullable().optional();

/** A change of limits: null takes a field away. */
export const limitsPatchSchema = z.strictObject({ concurrency: limit, perMinute: limit });
export const jobLimitsPatchSchema = limitsPatchSchema.extend({ perTenantConcurrency: limit });

/** Limits that matter to the runs of one queue; a queue without any has none of these. */
export interface QueueLimits {
  readonly queue: string;
  /** Queues in which the same tenants' runs count, and those of a job that has both. */
  readonly tenantQueues: readonly string[];
  readonly system: string;
  /** True: something counts in both, so their passes take turns. */
  readonly shared: boolean;
  readonly tenants: ReadonlyMap<string, Limits>;
  readonly jobs: ReadonlyMap<string, JobLimits>;
  /** Of one tenant's runs of a job, by `pairKey`. */
  readonly pairs: ReadonlyMap<string, Limits>;
}

export const pairKey = (job: string, tenantId: string): string => `${job} ${tenantId}`;

/** Changes are in force after this at most, ms: a limit is effective within 2 s, polls included. */
const MEMORY_MS = 1_000;

interface Row {
  readonly tenant_id: string | null;
  readonly system: string | null;
  readonly job: string | null;
  readonly limits: JobLimits;
}

/** Reads every limit at most once a second. Resolves to null for a queue that none concerns. */
export function createLimits(deps: {
  ops: Pick<Pool, 'query'>;
  catalogue: Catalogue;
}): (queue: string) => Promise<QueueLimits | null> {
  const limits = remember(async () => (await deps.ops.query<Row>(READ)).rows, MEMORY_MS);
  return async (queue) => limitsOf(deps.catalogue, queue, await limits());
}

const READ = `SELECT id AS tenant_id, system, NULL AS job, limits FROM ops.tenants WHERE limits <> '{}'
  UNION ALL SELECT tenant_id, NULL, job, limits FROM ops.job_settings WHERE limits <> '{}'`;

/** The same without a memory. */
export async function readLimits(
  ops: Pick<Pool, 'query'>,
  catalogue: Catalogue,
  queue: string,
): Promise<QueueLimits | null> {
  return limitsOf(catalogue, queue, (await ops.query<Row>(READ)).rows);
}

function limitsOf(catalogue: Catalogue, queue: string, rows: readonly Row[]): QueueLimits | null {
  const declared = catalogue.jobs.filter((job) => queuesOfJob(job).includes(queue));
  const system = queue.replace(/-long$/, '');
  const tenants = new Map<string, Limits>();
  const jobs = new Map<string, JobLimits>();
  const pairs = new Map<string, Limits>();
  for (const { name, limits } of declared) if (limits !== undefined) jobs.set(name, limits);
  for (const row of rows) {
    if (row.job === null) {
      if (row.system === system && row.tenant_id !== null) tenants.set(row.tenant_id, row.limits);
    } else if (declared.some((job) => job.name === row.job)) {
      if (row.tenant_id === null) jobs.set(row.job, { ...jobs.get(row.job), ...row.limits });
      else pairs.set(pairKey(row.job, row.tenant_id), row.limits);
    }
  }
  if (tenants.size + jobs.size + pairs.size === 0) return null;
  const limited = new Set([...jobs.keys(), ...[...pairs.keys()].map((pair) => pair.slice(0, pair.indexOf(' ')))]);
  const shared = tenants.size > 0 || declared.some((job) => limited.has(job.name) && queuesOfJob(job).length > 1);
  return { queue, tenantQueues: [system, `${system}-long`], system, shared, tenants, jobs, pairs };
}
