import type { PoolClient } from '@nightshift/db';
import type { NewRun } from '../new-run.ts';
import { isOnTime, type PlannedTick } from './plan-ticks.ts';

interface OverlapRule {
  readonly job: string;
  readonly misfire: 'skip' | 'latest' | 'all';
  readonly overlap: 'skip' | 'queue';
}

/**
 * Whether the runs of a tick wait for earlier ones instead of giving way to them: `overlap: queue`, and what `misfire: all` catches up, since
 * several days that are due at once would otherwise all give way to the first.
 */
export function waitsInLine(schedule: OverlapRule, tick: Pick<PlannedTick, 'latenessMs'>): boolean {
  return schedule.overlap === 'queue' || (schedule.misfire === 'all' && !isOnTime(tick));
}

/** The same run, waiting until every earlier run of its tenant and job from the same kind of trigger has ended (see `unblock`). */
export function inLine(run: NewRun): NewRun {
  return { ...run, state: 'blocked', afterJob: run.afterJob ?? run.job };
}

export interface Line {
  has(run: NewRun): boolean;
  add(run: NewRun): void;
}

/**
 * Which of these have an open run of a tick (a back-fill). Asked also for schedules whose ticks give way: the runs of a line bear no unique key
 * that would stop theirs, and a schedule may have been edited since, or a tenant have another one of the job.
 */
export async function openLine(
  client: PoolClient,
  asked: readonly { readonly job: string; readonly tenantId: string }[],
  kind: 'tick' | 'back-fill',
): Promise<Line> {
  const key = (job: string, tenant: string) => `${job} ${tenant}`;
  const { rows } = await client.query<{ job: string; tenant_id: string }>(
    // Each by the index: a plan that joins them all would read whatever is open.
    `SELECT a.job, a.tenant_id FROM unnest($1::text[], $2::uuid[]) AS a(job, tenant_id) CROSS JOIN LATERAL (
       SELECT 1 FROM ops.open_runs r WHERE r.tenant_id = a.tenant_id AND r.job = a.job AND r.trigger_id IS NOT NULL AND r.parent_id IS NULL
         AND (SELECT g.kind FROM ops.triggers g WHERE g.id = r.trigger_id) = $3 LIMIT 1) AS open`,
    [asked.map((one) => one.job), asked.map((one) => one.tenantId), kind],
  );
  const taken = new Set(rows.map((row) => key(row.job, row.tenant_id)));
  return {
    has: (run) => taken.has(key(run.job, run.tenantId)),
    add: (run) => taken.add(key(run.job, run.tenantId)),
  };
}
