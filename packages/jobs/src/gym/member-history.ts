/** What the rules know about a member. Days are local days of the gym, counted back from today: 0 is today, 1 yesterday. */
export interface MemberHistory {
  readonly id: string;
  /** Negative: the membership begins in the future. */
  readonly joinedDaysAgo: number;
  /** Days with at least one attended visit, ascending, each once. A second visit on a day says nothing more about the habit. */
  readonly visitDaysAgo: readonly number[];
}

/** A membership may be sold ahead, not more than this: beyond it the year is mistyped. */
const SOLD_AHEAD_DAYS = 365;

/** The member's row contradicts itself: no rule can judge it until somebody corrects it. */
export class BrokenMemberError extends Error {
  override readonly name = 'BrokenMemberError';
  readonly code = 'broken-member';
}

/**
 * Whole days of membership before today, 0 for one that begins today or later.
 * Errors: `BrokenMemberError` when the join date lies more than a year ahead.
 */
export function membershipDays(member: Pick<MemberHistory, 'id' | 'joinedDaysAgo'>): number {
  if (member.joinedDaysAgo < -SOLD_AHEAD_DAYS) {
    throw new BrokenMemberError(
      `member ${member.id}: joined_on lies ${-member.joinedDaysAgo} days ahead, at most ${SOLD_AHEAD_DAYS} can be meant: correct joined_on`,
    );
  }
  return Math.max(0, member.joinedDaysAgo);
}
