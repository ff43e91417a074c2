import { localDate, NightshiftError, type SweepContext, type TenantRef } from '@nightshift/engine';
import type { FacilityRules } from './wanted-tasks.ts';

type RunContext = Pick<SweepContext<unknown>, 'client' | 'tenants' | 'now'>;

/** The one facility of a tenant-scope run. */
function facilityOf(ctx: Pick<SweepContext<unknown>, 'tenants'>): TenantRef {
  const [facility] = ctx.tenants;
  if (facility === undefined) {
    throw new NightshiftError(
      'missing-tenant',
      'a clinic job runs for one facility, got none: start it with its tenant',
    );
  }
  return facility;
}

export interface Facility extends FacilityRules {
  readonly id: string;
  readonly zone: string;
  /** Its local date at the start of the run. */
  readonly today: string;
}

/** The facility with its numbers. Errors: `NightshiftError` when it has no row in clinic.facilities. */
export async function readFacility(ctx: RunContext): Promise<Facility> {
  const { id, zone, slug } = facilityOf(ctx);
  const { rows } = await ctx.client.query<FacilityRules>(
    `SELECT ltfu_days AS "ltfuDays", interruption_days AS "interruptionDays", baseline_before_days AS "baselineBeforeDays",
            baseline_after_days AS "baselineAfterDays", sample_wait_days AS "sampleWaitDays"
     FROM clinic.facilities WHERE tenant_id = $1`,
    [id],
  );
  const [rules] = rows;
  if (rules === undefined) {
    throw new NightshiftError(
      'missing-facility',
      `facility '${slug}' has no row in clinic.facilities: add it, or import clinic.facilities`,
    );
  }
  return { ...rules, id, zone, today: localDate(ctx.now, zone) };
}

/** Clients of one facility that a run of its own is worth. */
export const CLIENTS_A_SHARD = 100_000;

/** How a sweep goes over a facility's clients: all of them, or those that are active. */
export function clientPages(which: 'all' | 'active') {
  const condition = which === 'all' ? '' : `AND status = 'active'`;
  return {
    async count(ctx: SweepContext<unknown>): Promise<number> {
      const { rows } = await ctx.client.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM clinic.clients WHERE tenant_id = $1 ${condition}`,
        [facilityOf(ctx).id],
      );
      return rows[0]?.count ?? 0;
    },
    /** In order of id, after the client `after`. */
    async items(ctx: SweepContext<unknown>, after: string | null, limit: number): Promise<{ id: string }[]> {
      const { rows } = await ctx.client.query<{ id: string }>(
        `SELECT id FROM clinic.clients WHERE tenant_id = $1 ${condition} AND ($2::uuid IS NULL OR id > $2::uuid) ORDER BY id LIMIT $3`,
        [facilityOf(ctx).id, after, limit],
      );
      return rows;
    },
    key: (client: { id: string }) => client.id,
    shards: {
      items: CLIENTS_A_SHARD,
      async bounds(ctx: SweepContext<unknown>, parts: number): Promise<string[]> {
        const { rows } = await ctx.client.query<{ id: string }>(
          `SELECT max(id::text) AS id FROM (
             SELECT id, ntile($2) OVER (ORDER BY id) AS part FROM clinic.clients WHERE tenant_id = $1 ${condition}
           ) AS divided GROUP BY part HAVING part < $2 ORDER BY part`,
          [facilityOf(ctx).id, parts],
        );
        return rows.map((row) => row.id);
      },
    },
  };
}
