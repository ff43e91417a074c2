import { NightshiftError, type SweepContext, type TenantRef } from '@nightshift/engine';

/** The one firm of a tenant-scope run. */
export function firmOf(ctx: Pick<SweepContext<unknown>, 'tenants'>): TenantRef {
  const [firm] = ctx.tenants;
  if (firm === undefined) {
    throw new NightshiftError(
      'missing-tenant',
      'a litigation job runs for one firm, got none: start it with its tenant',
    );
  }
  return firm;
}
