import { isUuid } from '@nightshift/db';
import { UnknownTenantError } from '@nightshift/engine';
import type { Producer } from '@nightshift/engine/accept';
import { UsageError } from './usage-error.ts';

export interface KnownTenant {
  readonly id: string;
  readonly system: string;
  readonly slug: string;
}

export async function listTenants(producer: Producer): Promise<KnownTenant[]> {
  const { rows } = await producer.pools.ops.query<KnownTenant>(
    `SELECT id, system, slug FROM ops.tenants WHERE kind = 'tenant' ORDER BY system, slug`,
  );
  return rows;
}

/**
 * A tenant by id, slug or `system/slug`, of one system or of any. Errors: `UnknownTenantError`; `UsageError` for a slug that
 * several systems use.
 */
export async function findTenant(producer: Producer, name: string, system?: string): Promise<KnownTenant> {
  const slash = name.indexOf('/');
  const inSystem = slash < 0 ? system : name.slice(0, slash);
  const slug = name.slice(slash + 1);
  const { rows } = await producer.pools.ops.query<KnownTenant>(
    `SELECT id, system, slug FROM ops.tenants
     WHERE (slug = $1 OR id = $2) AND ($3::text IS NULL OR system = $3) ORDER BY system`,
    [slug, isUuid(slug) ? slug : null, inSystem ?? null],
  );
  const [tenant, other] = rows;
  if (tenant === undefined) throw new UnknownTenantError(name, inSystem ?? 'any');
  if (other !== undefined) {
    throw new UsageError(
      `'${name}' is a tenant of ${rows.map((row) => row.system).join(' and ')}: write ${tenant.system}/${slug}.`,
    );
  }
  return tenant;
}
