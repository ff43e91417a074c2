import { isUuid } from '@nightshift/db';
import { UnknownTenantError } from '../errors.ts';
import type { JobLimits, Limits } from '../limits/limits.ts';
import { listPauses } from './queues.ts';
import { type Pools, read } from './read.ts';

/** What people set at run time for a job (`tenantId` null) or for one tenant's runs of it. */
export interface JobSettingView {
  readonly tenantId: string | null;
  /** Slug. */
  readonly tenant: string | null;
  readonly options: Readonly<Record<string, unknown>>;
  readonly limits: JobLimits;
  readonly updatedBy: string;
  readonly updatedAt: Date;
}

/** Of one job, the general one first; a tenant sees its own alone. Errors: `StoreUnavailableError`. */
export async function listJobSettings(pools: Pools, job: string, tenantId: string | null): Promise<JobSettingView[]> {
  return await read<JobSettingView>(
    pools,
    tenantId,
    `SELECT s.tenant_id AS "tenantId", t.slug AS tenant, s.options, s.limits, s.updated_by AS "updatedBy", s.updated_at AS "updatedAt"
     FROM ops.job_settings s LEFT JOIN ops.tenants t ON t.id = s.tenant_id WHERE s.job = $1 ORDER BY s.tenant_id NULLS FIRST`,
    [job],
  );
}

export interface TenantDetail {
  readonly id: string;
  readonly system: string;
  readonly slug: string;
  readonly name: string;
  readonly zone: string;
  readonly limits: Limits;
  readonly paused: { readonly by: string; readonly reason: string | null; readonly at: Date } | null;
}

/** Errors: `UnknownTenantError`, also for another tenant; `StoreUnavailableError`. */
export async function findTenantDetail(pools: Pools, id: string, tenantId: string | null): Promise<TenantDetail> {
  const [row] = isUuid(id)
    ? await read<Omit<TenantDetail, 'paused'>>(
        pools,
        tenantId,
        `SELECT id, system, slug, name, zone, limits FROM ops.tenants WHERE id = $1`,
        [id],
      )
    : [];
  if (row === undefined) throw new UnknownTenantError(id, 'any');
  const pause = (await listPauses(pools)).find((one) => one.kind === 'tenant' && one.key === row.id);
  return { ...row, paused: pause === undefined ? null : { by: pause.by, reason: pause.reason, at: pause.at } };
}
