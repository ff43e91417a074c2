import { type MemberHistory, membershipDays } from './member-history.ts';

export type RiskLevel = 'LOW' | 'MEDIUM' | 'HIGH' | 'CRITICAL';

export interface ChurnRisk {
  /** Whole number, 0–100. */
  readonly risk: number;
  readonly level: RiskLevel;
}

/** Days of visits that the rule looks at: somebody who stopped a year ago still has the habit that was lost. */
export const RISK_HISTORY_DAYS = 365;
const RECENT_DAYS = 30;

/** The own habit is taken from the twelve weeks that end with the last visit before the recent days. */
const HABIT_DAYS = 84;
const DAYS_A_WEEK = 7;
/**
 * Where a visit a month is all that is expected, none is no news (risk 0); from three on, none is as good as gone (risk 100). Half a
 * visit of slack, because where the 30 days begin may cost an unchanged habit one visit.
 */
const TELLS_NOTHING = 1;
const TELLS_ALL = 3;
const SLACK = 0.5;

/**
 * Churn risk from the last 30 days (and today so far) against the member's own habit.
 *
 * Expected visits are the own weekly habit × 30/7; risk is the missing share of them, weighted by how much so many visits can tell.
 * The habit is visit days a week over the 12 weeks that end with the last visit older than 30 days, so a member who left long ago is
 * still measured by how they once trained. Who joined less than 30 days ago, or has no visit older than that, is judged by the gym's
 * median newcomer over the days of membership, 30 at most.
 *
 * Holds: an unchanged habit is LOW; a weekly habit and no visit in 30 days is CRITICAL; a recent visit never raises the risk.
 * @param newcomerWeekly visit days a week of the gym's median newcomer
 * Errors: `BrokenMemberError`.
 */
export function churnRisk(member: MemberHistory, newcomerWeekly: number): ChurnRisk {
  const membership = membershipDays(member);
  const recent = member.visitDaysAgo.filter((day) => day <= RECENT_DAYS).length;
  const habit = ownWeeklyHabit(membership, member.visitDaysAgo);
  const expected =
    habit === null
      ? (newcomerWeekly * Math.min(RECENT_DAYS, membership)) / DAYS_A_WEEK
      : (habit * RECENT_DAYS) / DAYS_A_WEEK;
  const risk = expected <= TELLS_NOTHING ? 0 : Math.round(100 * evidence(expected) * missingShare(recent, expected));
  return { risk, level: riskLevel(risk) };
}

export function riskLevel(risk: number): RiskLevel {
  if (risk < 25) return 'LOW';
  if (risk < 50) return 'MEDIUM';
  if (risk < 75) return 'HIGH';
  return 'CRITICAL';
}

/** Visit days a week before the recent days; null when membership or visits don't reach back so far. */
function ownWeeklyHabit(membership: number, visitDaysAgo: readonly number[]): number | null {
  const older = visitDaysAgo.filter((day) => day > RECENT_DAYS && day <= membership);
  const newest = older[0];
  if (newest === undefined) return null;
  const oldestDay = Math.min(newest + HABIT_DAYS - 1, membership);
  const days = oldestDay - newest + 1;
  // Rounded up to whole weeks: a window that begins and ends with a Monday has one Monday more than it has weeks.
  return older.filter((day) => day <= oldestDay).length / Math.ceil(days / DAYS_A_WEEK);
}

/** 0–1: how much the absence of this many expected visits, more than `TELLS_NOTHING`, can tell. */
function evidence(expected: number): number {
  return Math.min(1, (expected - TELLS_NOTHING) / (TELLS_ALL - TELLS_NOTHING));
}

function missingShare(recent: number, expected: number): number {
  if (recent === 0) return 1;
  return Math.max(0, expected - recent - SLACK) / (expected - SLACK);
}
