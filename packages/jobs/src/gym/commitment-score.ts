import { type MemberHistory, membershipDays } from './member-history.ts';

/** Days of visits that the score looks at: twelve weeks and the day that is not over. */
export const COMMITMENT_HISTORY_DAYS = 84;

const WEEKS = 12;
const RECENT_WEEKS = 4;
const DAYS_A_WEEK = 7;
/** Visit days a week at which more no longer counts as more commitment: three is what trainers ask for. */
const FULL_WEEK = 3;
/** Within a week of the last visit nothing is missed; five weeks without one is a habit lost. */
const RECENCY_FULL_DAYS = 7;
const RECENCY_GONE_DAYS = 35;

/**
 * Points of each part; together 100.
 * - frequency, 40: visit days a week over the last 4 weeks, full at 3. How often somebody comes now predicts staying best.
 * - consistency, 30: share of the last 12 weeks with a visit. A weekly rhythm survives a busy month, a burst does not.
 * - recency, 20: full for 7 days after the last visit, then falling to nothing at day 35.
 * - trend, 10: the weeks' fill (full at 3), the newest counting 12 times the oldest: of two members with the same visits, the
 *   one whose visits are newer scores higher. The difference "now minus before" would be plainer, but would take points away
 *   for having come often before.
 */
export const COMMITMENT_WEIGHTS = { frequency: 40, consistency: 30, recency: 20, trend: 10 } as const;

/**
 * Commitment, a whole number of 0–100.
 * Holds: another visit never lowers it; an unchanged weekly habit keeps it on every day of the week. Each part only rises with the set
 * of visit days, and weeks are seven-day windows back from today, so a weekly pattern fills each of them alike. Today isn't over:
 * windows that end today and windows that end yesterday are both judged and the better one counts. Members of less than 12 weeks
 * are judged by their whole weeks so far.
 * Errors: `BrokenMemberError`.
 */
export function commitmentScore(member: MemberHistory): number {
  const days = membershipDays(member);
  return Math.round(Math.max(pointsAsOf(0, days, member.visitDaysAgo), pointsAsOf(1, days, member.visitDaysAgo)));
}

function pointsAsOf(lastDay: number, membership: number, visitDaysAgo: readonly number[]): number {
  const weeks = Math.min(WEEKS, Math.max(1, Math.floor((membership + 1 - lastDay) / DAYS_A_WEEK)));
  const visits = visitsByWeek(lastDay, weeks, visitDaysAgo);
  return (
    COMMITMENT_WEIGHTS.frequency * frequency(visits) +
    COMMITMENT_WEIGHTS.consistency * consistency(visits) +
    COMMITMENT_WEIGHTS.recency * recency(lastDay, visitDaysAgo) +
    COMMITMENT_WEIGHTS.trend * trend(visits)
  );
}

/** Visit days in each week, newest week first. */
function visitsByWeek(lastDay: number, weeks: number, visitDaysAgo: readonly number[]): number[] {
  const visits = Array<number>(weeks).fill(0);
  for (const day of visitDaysAgo) {
    const week = Math.floor((day - lastDay) / DAYS_A_WEEK);
    const before = visits[week];
    if (before !== undefined) visits[week] = before + 1;
  }
  return visits;
}

function frequency(visits: readonly number[]): number {
  const recent = visits.slice(0, RECENT_WEEKS);
  return Math.min(1, sum(recent) / (recent.length * FULL_WEEK));
}

function consistency(visits: readonly number[]): number {
  return visits.filter((count) => count > 0).length / visits.length;
}

function recency(lastDay: number, visitDaysAgo: readonly number[]): number {
  const last = visitDaysAgo[0];
  if (last === undefined) return 0;
  const silent = Math.max(0, last - lastDay);
  const share = (RECENCY_GONE_DAYS - silent) / (RECENCY_GONE_DAYS - RECENCY_FULL_DAYS);
  return Math.min(1, Math.max(0, share));
}

function trend(visits: readonly number[]): number {
  const weights = visits.map((_, week) => visits.length - week);
  const filled = visits.map((count, week) => Math.min(1, count / FULL_WEEK) * (weights[week] as number));
  return sum(filled) / sum(weights);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
