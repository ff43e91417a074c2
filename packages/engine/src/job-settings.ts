import type { Pool } from '@nightshift/db';
import type { DefinedJob, RunOptions } from './define-job.ts';

const MEMORY_MS = 1_000;

/** Settings that people made at run time, for a job or for a tenant's runs of it. */
export interface JobSettings {
  /** Options in order: the run's > the tenant's > the job's > the declaration's. */
  effective(job: DefinedJob, tenantId: string, run: Partial<RunOptions>): Promise<RunOptions>;
}

/** Reads the whole (small) table at most every second. */
export function createJobSettings(ops: Pick<Pool, 'query'>): JobSettings {
  let rows = new Map<string, Partial<RunOptions>>();
  let until = 0;
  let reading: Promise<void> | null = null;

  async function read(): Promise<void> {
    const result = await ops.query<{ job: string; tenant_id: string | null; options: Partial<RunOptions> }>(
      'SELECT job, tenant_id, options FROM ops.job_settings',
    );
    rows = new Map(result.rows.map((row) => [`${row.job}/${row.tenant_id ?? ''}`, row.options]));
    until = Date.now() + MEMORY_MS;
  }

  return {
    async effective(job, tenantId, run) {
      if (Date.now() > until) {
        reading ??= read().finally(() => {
          reading = null;
        });
        await reading;
      }
      return { ...job.options, ...rows.get(`${job.name}/`), ...rows.get(`${job.name}/${tenantId}`), ...run };
    },
  };
}
