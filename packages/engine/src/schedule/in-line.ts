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

/** Tenants and jobs that have an open run of a tick, for those schedules whose runs may wait in line. */
export async function openLine(
  client: PoolClient,
  schedules: readonly OverlapRule[],
  kind: 'tick' | 'back-fill',
): Promise<Line> {
  const jobs = new Set(schedules.filter((s) => s.overlap === 'queue' || s.misfire === 'all').map((s) => s.job));
  const key = (job: string, tenant: string) => `${job} ${tenant}`;
  const taken = new Set<string>();
  if (jobs.size > 0) {
    const { rows } = await client.query<{ job: string; tenant_id: string }>(
      `SELECT DISTINCT r.job, r.tenant_id FROM ops.open_runs r JOIN ops.triggers g ON g.id = r.trigger_id
       WHERE r.job = ANY ($1) AND r.trigger_id IS NOT NULL AND r.parent_id IS NULL AND g.kind = $2`,
      [[...jobs], kind],
    );
    for (const row of rows) taken.add(key(row.job, row.tenant_id));
  }
  return {
    has: (run) => taken.has(key(run.job, run.tenantId)),
    add: (run) => taken.add(key(run.job, run.tenantId)),
  };
}
