import { NightshiftError, type SweepContext } from '@nightshift/engine';

export interface ActiveMember {
  readonly id: string;
  readonly joinedDaysAgo: number;
}

/** The one gym of a tenant-scope run. */
export function gymOf(ctx: Pick<SweepContext<unknown>, 'tenants'>): { readonly id: string; readonly zone: string } {
  const [gym] = ctx.tenants;
  if (gym === undefined) {
    throw new NightshiftError('missing-tenant', 'a gym job runs for one gym, got none: start it with its tenant');
  }
  return gym;
}

export async function countActiveMembers(ctx: SweepContext<unknown>): Promise<number> {
  const { rows } = await ctx.client.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM gym.members WHERE tenant_id = $1 AND status = 'active'`,
    [gymOf(ctx).id],
  );
  return rows[0]?.count ?? 0;
}

/** A page of active members in order of id, after the member `after`. */
export async function activeMembers(
  ctx: SweepContext<unknown>,
  after: string | null,
  limit: number,
): Promise<ActiveMember[]> {
  const gym = gymOf(ctx);
  const { rows } = await ctx.client.query<ActiveMember>(
    `SELECT id, ($2::timestamptz AT TIME ZONE $3)::date - joined_on AS "joinedDaysAgo"
     FROM gym.members
     WHERE tenant_id = $1 AND status = 'active' AND ($4::uuid IS NULL OR id > $4::uuid)
     ORDER BY id LIMIT $5`,
    [gym.id, ctx.now, gym.zone, after, limit],
  );
  return rows;
}
