import type { Pool } from '@nightshift/db';
import type { DefinedJob, RunOptions } from './define-job.ts';
import { remember } from './remember.ts';

const MEMORY_MS = 1_000;

/** Settings that people made at run time, for a job or for a tenant's runs of it. */
export interface JobSettings {
  /** Options in order: the run's > the tenant's > the job's > the declaration's. */
  effective(job: DefinedJob, tenantId: string, run: Partial<RunOptions>): Promise<RunOptions>;
}

/** Reads the whole (small) table at most every second. */
export function createJobSettings(ops: Pick<Pool, 'query'>): JobSettings {
  const options = remember(async () => {
    const { rows } = await ops.query<{ job: string; tenant_id: string | null; options: Partial<RunOptions> }>(
      'SELECT job, tenant_id, options FROM ops.job_settings',
    );
    return new Map(rows.map((row) => [`${row.job}/${row.tenant_id ?? ''}`, row.options]));
  }, MEMORY_MS);

  return {
    async effective(job, tenantId, run) {
      const own = await options();
      return { ...job.options, ...own.get(`${job.name}/`), ...own.get(`${job.name}/${tenantId}`), ...run };
    },
  };
}
