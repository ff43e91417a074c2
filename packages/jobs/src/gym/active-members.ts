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

/** The last id of each of `parts` equal parts of the gym's active members, but for the last part: where a big sweep is split. */
export async function activeMemberBounds(ctx: SweepContext<unknown>, parts: number): Promise<string[]> {
  const { rows } = await ctx.client.query<{ id: string }>(
    `SELECT max(id::text) AS id FROM (
       SELECT id, ntile($2) OVER (ORDER BY id) AS part FROM gym.members WHERE tenant_id = $1 AND status = 'active'
     ) AS divided GROUP BY part HAVING part < $2 ORDER BY part`,
    [gymOf(ctx).id, parts],
  );
  return rows.map((row) => row.id);
}

/** Active members of one gym that a run of its own is worth. */
export const MEMBERS_A_SHARD = 100_000;
