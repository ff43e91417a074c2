import type { PoolClient } from '@nightshift/db';
import type { Catalogue } from '../catalogue.ts';
import type { TenantRef } from '../define-job.ts';

/** Which tenants a schedule serves, by id. */
export type TenantSelector =
  | { readonly all: true }
  | { readonly only: readonly string[] }
  | { readonly except: readonly string[] };

export interface Serving {
  readonly id: string;
  readonly job: string;
  readonly tenant_selector: TenantSelector;
  readonly tenant_zone: string | null;
  readonly owner_tenant: string | null;
}

interface TenantRow extends TenantRef {
  readonly system: string;
  readonly kind: 'tenant' | 'system';
}

/**
 * Tenants that each of these schedules serves now, by schedule id. A tenant with a schedule of its own for the job is that schedule's, not
 * the general one's. Three statements, however many schedules: 10,000 may fall due in one second.
 */
export async function servedTenants(
  client: PoolClient,
  catalogue: Catalogue,
  schedules: readonly Serving[],
): Promise<Map<string, TenantRef[]>> {
  const named = schedules.flatMap((schedule) =>
    'only' in schedule.tenant_selector ? schedule.tenant_selector.only : [],
  );
  const general = schedules.filter((schedule) => !('only' in schedule.tenant_selector));
  const [rows, own] = await Promise.all([
    tenantsOf(client, catalogue, named, general),
    ownTenants(client, schedules, named, general.length > 0),
  ]);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return new Map(
    schedules.map((schedule) => {
      const { system } = catalogue.get(schedule.job);
      const selector = schedule.tenant_selector;
      const candidates = 'only' in selector ? selector.only.flatMap((id) => byId.get(id) ?? []) : rows;
      const served = candidates.filter(
        (tenant) =>
          tenant.system === system &&
          tenant.kind === kindOf(catalogue, schedule) &&
          (schedule.tenant_zone === null || tenant.zone === schedule.tenant_zone) &&
          !isReplaced(schedule, own.get(schedule.job)?.get(tenant.id)) &&
          !('except' in selector && selector.except.includes(tenant.id)),
      );
      return [schedule.id, served.map(({ id, slug, name, zone }) => ({ id, slug, name, zone }))];
    }),
  );
}

function kindOf(catalogue: Catalogue, schedule: Serving): 'tenant' | 'system' {
  return catalogue.get(schedule.job).scope === 'system' ? 'system' : 'tenant';
}

/** Those named, and all of the general schedules' systems, by slug. */
async function tenantsOf(
  client: PoolClient,
  catalogue: Catalogue,
  named: readonly string[],
  general: readonly Serving[],
): Promise<TenantRow[]> {
  const columns = 'id, slug, name, zone, system, kind';
  // Where all are named, by their index alone: an OR with the other question would read every tenant there is for each pass.
  const { rows } =
    general.length === 0
      ? await client.query<TenantRow>(
          `SELECT ${columns} FROM ops.tenants WHERE id = ANY ($1::uuid[]) ORDER BY slug, id`,
          [[...new Set(named)]],
        )
      : await client.query<TenantRow>(
          `SELECT ${columns} FROM ops.tenants
           WHERE id = ANY ($1::uuid[]) OR (system, kind) IN (SELECT * FROM unnest($2::text[], $3::text[])) ORDER BY slug, id`,
          [
            [...new Set(named)],
            general.map((schedule) => catalogue.get(schedule.job).system),
            general.map((schedule) => kindOf(catalogue, schedule)),
          ],
        );
  return rows;
}

/** A tenant's own schedule replaces every general one for it; one that names it, those that do not. */
function isReplaced(schedule: Serving, owned: boolean | undefined): boolean {
  if (schedule.owner_tenant !== null || owned === undefined) return false;
  return owned || !('only' in schedule.tenant_selector);
}

/**
 * Job → tenants that have a schedule of their own (true), and, where there are general ones, that a schedule names by id. One of a zone that names
 * some leaves them to the others when they move.
 */
async function ownTenants(
  client: PoolClient,
  schedules: readonly Serving[],
  named: readonly string[],
  general: boolean,
): Promise<Map<string, Map<string, boolean>>> {
  const replaced = schedules.filter((schedule) => schedule.owner_tenant === null);
  const byJob = new Map<string, Map<string, boolean>>();
  if (replaced.length === 0) return byJob;
  const jobs = [...new Set(replaced.map((schedule) => schedule.job))];
  // Where all are named, by the index of own schedules alone.
  const { rows } = general
    ? await client.query<{ job: string; tenant: string; owned: boolean }>(
        `SELECT job, tenant, bool_or(owner_tenant IS NOT NULL) AS owned
         FROM ops.schedules, jsonb_array_elements_text(tenant_selector -> 'only') AS tenant
         WHERE job = ANY ($1) AND enabled AND tenant_selector ? 'only' AND (owner_tenant IS NOT NULL OR tenant_zone IS NULL) GROUP BY job, tenant`,
        [jobs],
      )
    : await client.query<{ job: string; tenant: string; owned: boolean }>(
        `SELECT DISTINCT job, owner_tenant AS tenant, true AS owned FROM ops.schedules
         WHERE owner_tenant IS NOT NULL AND owner_tenant = ANY ($2::uuid[]) AND job = ANY ($1) AND enabled`,
        [jobs, named],
      );
  for (const { job, tenant, owned } of rows) {
    const tenants = byJob.get(job) ?? new Map<string, boolean>();
    byJob.set(job, tenants.set(tenant, owned));
  }
  return byJob;
}
