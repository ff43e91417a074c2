import type { SweepContext } from '@nightshift/engine';
import { gymOf } from './active-members.ts';

/** A median needs a middle; with fewer newcomers one visit a week is taken. */
const LEAST_NEWCOMERS = 3;
const USUAL_WEEKLY = 1;
/** In the first days a rate a week is noise. */
const LEAST_DAYS = 7;

const MEDIAN_WEEKLY = `
  WITH newcomers AS (
    SELECT id, today - joined_on AS days
    FROM gym.members, LATERAL (SELECT ($2::timestamptz AT TIME ZONE $3)::date AS today) AS clock
    WHERE tenant_id = $1 AND status = 'active' AND today - joined_on >= $4 AND today - joined_on < 30
  )
  SELECT count(*)::int AS newcomers, percentile_cont(0.5) WITHIN GROUP (ORDER BY visited.days * 7.0 / newcomers.days)::float8 AS weekly
  FROM newcomers, LATERAL (
    SELECT count(DISTINCT (visit.visited_at AT TIME ZONE $3)::date) AS days
    FROM gym.visits AS visit
    WHERE visit.tenant_id = $1 AND visit.member_id = newcomers.id AND visit.attended
      AND visit.visited_at >= $2::timestamptz - interval '31 days' AND visit.visited_at <= $2::timestamptz
  ) AS visited`;

/** One a run and process, of the latest runs: at 50 members a batch it would otherwise be asked a thousand times. */
const REMEMBERED_RUNS = 100;
const remembered = new Map<string, number>();

/** Visit days a week of the gym's median newcomer: an active member who joined 7 to 29 days ago. 1 where there are fewer than three. */
export async function medianNewcomerWeekly(ctx: SweepContext<unknown>): Promise<number> {
  const known = remembered.get(ctx.runId);
  if (known !== undefined) return known;
  const gym = gymOf(ctx);
  const { rows } = await ctx.client.query<{ newcomers: number; weekly: number | null }>(MEDIAN_WEEKLY, [
    gym.id,
    ctx.now,
    gym.zone,
    LEAST_DAYS,
  ]);
  const found = rows[0];
  const weekly = found && found.newcomers >= LEAST_NEWCOMERS ? (found.weekly ?? USUAL_WEEKLY) : USUAL_WEEKLY;
  const oldest = remembered.keys().next();
  if (remembered.size >= REMEMBERED_RUNS && !oldest.done) remembered.delete(oldest.value);
  remembered.set(ctx.runId, weekly);
  return weekly;
}
