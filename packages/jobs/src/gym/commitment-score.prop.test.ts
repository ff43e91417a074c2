import fc from 'fast-check';
import { expect, test } from 'vitest';
import { COMMITMENT_WEIGHTS, commitmentScore } from './commitment-score.ts';

const history = (joinedDaysAgo: number, days: Iterable<number>) => ({
  id: 'member',
  joinedDaysAgo,
  visitDaysAgo: [...new Set(days)].sort((a, b) => a - b),
});
const anyDays = fc.array(fc.integer({ min: 0, max: 130 }), { maxLength: 60 });
const anyJoined = fc.integer({ min: 0, max: 2000 });
/** Weekdays of a habit, at least one. */
const anyPattern = fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 });

/** Visits on these weekdays since joining, seen `shift` days after day 0 of the pattern. */
function weekly(pattern: readonly number[], joinedDaysAgo: number, shift: number): number[] {
  return Array.from({ length: joinedDaysAgo + 1 }, (_, day) => day).filter((day) =>
    pattern.includes((((shift - day) % 7) + 7) % 7),
  );
}

test('the score is a whole number from 0 to 100', () => {
  fc.assert(
    fc.property(anyJoined, anyDays, (joined, days) => {
      const score = commitmentScore(history(joined, days));
      return Number.isInteger(score) && score >= 0 && score <= 100;
    }),
  );
});

test('another visit, whenever it was, never lowers the score', () => {
  fc.assert(
    fc.property(anyJoined, anyDays, fc.integer({ min: 0, max: 130 }), (joined, days, extra) => {
      expect(commitmentScore(history(joined, [...days, extra]))).toBeGreaterThanOrEqual(
        commitmentScore(history(joined, days)),
      );
    }),
    { numRuns: 1_000 },
  );
});

test('an unchanged weekly habit keeps the score, whichever day of the week it is judged on', () => {
  fc.assert(
    fc.property(
      anyPattern,
      fc.integer({ min: 14, max: 400 }),
      fc.integer({ min: 1, max: 60 }),
      (pattern, joined, later) => {
        const before = commitmentScore(history(joined, weekly(pattern, joined, 0)));
        const after = commitmentScore(history(joined + later, weekly(pattern, joined + later, later)));
        expect(after).toBe(before);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('a habit is not lost in the hours before its visit of today', () => {
  fc.assert(
    fc.property(anyPattern, fc.integer({ min: 14, max: 400 }), (pattern, joined) => {
      const days = weekly(pattern, joined, pattern[0] ?? 0);
      expect(days[0]).toBe(0);
      expect(commitmentScore(history(joined, days.slice(1)))).toBe(commitmentScore(history(joined, days)));
    }),
  );
});

test('of two members with as many visits the one with the newer visits is never behind', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 100, max: 400 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 50 }), { minLength: 1 }),
      (joined, weeks) => {
        const days = weeks.map((week) => week * 7 + 3);
        expect(commitmentScore(history(joined, days))).toBeGreaterThanOrEqual(
          commitmentScore(
            history(
              joined,
              days.map((day) => day + 7),
            ),
          ),
        );
      },
    ),
  );
});

test('the parts add up to 100 points', () => {
  expect(Object.values(COMMITMENT_WEIGHTS).reduce<number>((total, points) => total + points, 0)).toBe(100);
});
