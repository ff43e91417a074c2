import { inTransaction, isUuid, type Pool } from '@nightshift/db';
import type { Catalogue } from '../catalogue.ts';
import { queuesOfJob } from '../define-job.ts';
import { UnknownTenantError } from '../errors.ts';
import { storeErrors } from '../store-errors.ts';

/** A change: null takes a field away, what is not named stays. */
export type Patch = Readonly<Record<string, unknown>>;

export interface Settings {
  /**
   * Options and limits of a job, or of one tenant's runs of it (id; null: of all). In force within 2 s; runs that were accepted before keep
   * their options. Errors: `UnknownJobError`.
   */
  setJobSettings(
    job: string,
    tenantId: string | null,
    patch: { readonly options?: Patch | undefined; readonly limits?: Patch | undefined },
    actor: string,
  ): Promise<void>;
  /** Limits of all of a tenant's runs. In force within 2 s. Errors: `UnknownTenantError`. */
  setTenantLimits(tenantId: string, limits: Patch, actor: string): Promise<void>;
}

export function createSettings(deps: {
  ops: Pool;
  catalogue: Catalogue;
  wake: (queues: Iterable<string>) => void;
}): Settings {
  return {
    async setJobSettings(job, tenantId, { options = {}, limits = {} }, actor) {
      const queues = queuesOfJob(deps.catalogue.get(job));
      await storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          await client.query(
            `INSERT INTO ops.job_settings AS s (job, tenant_id, options, limits, updated_by)
             VALUES ($1, $2, jsonb_strip_nulls($3::jsonb), jsonb_strip_nulls($4::jsonb), $5)
             ON CONFLICT (job, tenant_id) DO UPDATE SET options = jsonb_strip_nulls(s.options || $3::jsonb), limits = jsonb_strip_nulls(s.limits || $4::jsonb),
               updated_by = excluded.updated_by, updated_at = clock_timestamp()`,
            [job, tenantId, JSON.stringify(options), JSON.stringify(limits), actor],
          );
          await client.query(
            `INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, 'job.settings_changed', $3)`,
            [tenantId, actor, JSON.stringify({ job, options, limits })],
          );
        }),
      );
      deps.wake(queues);
    },

    async setTenantLimits(tenantId, limits, actor) {
      await storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          const found = isUuid(tenantId)
            ? await client.query(
                `UPDATE ops.tenants SET limits = jsonb_strip_nulls(limits || $2::jsonb) WHERE id = $1`,
                [tenantId, JSON.stringify(limits)],
              )
            : null;
          if (!found?.rowCount) throw new UnknownTenantError(tenantId, 'any');
          await client.query(
            `INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, 'tenant.limits_changed', $3)`,
            [tenantId, actor, JSON.stringify({ limits })],
          );
        }),
      );
      deps.wake(deps.catalogue.queues.map((queue) => queue.name));
    },
  };
}
