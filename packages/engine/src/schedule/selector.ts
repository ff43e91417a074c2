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
  const rows = await tenantsOf(client, catalogue, named, general);
  const own = general.length === 0 ? new Map<string, Set<string>>() : await ownTenants(client, general);
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
          ('only' in selector || !own.get(schedule.job)?.has(tenant.id)) &&
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

/** Job → tenants that a schedule names by id. */
async function ownTenants(client: PoolClient, general: readonly Serving[]): Promise<Map<string, Set<string>>> {
  const { rows } = await client.query<{ job: string; tenants: string[] }>(
    `SELECT job, array_agg(tenant) AS tenants FROM ops.schedules, jsonb_array_elements_text(tenant_selector -> 'only') AS tenant
     WHERE job = ANY ($1) AND enabled AND tenant_selector ? 'only' GROUP BY job`,
    [[...new Set(general.map((schedule) => schedule.job))]],
  );
  return new Map(rows.map((row) => [row.job, new Set(row.tenants)]));
}
