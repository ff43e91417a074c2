import fc from 'fast-check';
import { expect, test } from 'vitest';
import { churnRisk } from './churn-risk.ts';

const history = (joinedDaysAgo: number, days: Iterable<number>) => ({
  id: 'member',
  joinedDaysAgo,
  visitDaysAgo: [...new Set(days)].sort((a, b) => a - b),
});
const range = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
const anyPattern = fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 });
const anyNorm = fc.double({ min: 0, max: 7, noNaN: true });
const anyDays = fc.array(fc.integer({ min: 0, max: 364 }), { maxLength: 80 });

test('an unchanged weekly habit is LOW, however long it has lasted', () => {
  fc.assert(
    fc.property(
      anyPattern,
      fc.integer({ min: 37, max: 1500 }),
      fc.integer({ min: 0, max: 6 }),
      anyNorm,
      (pattern, joined, shift, norm) => {
        const days = range(0, Math.min(joined, 365)).filter((day) => pattern.includes((day + shift) % 7));
        expect(churnRisk(history(joined, days), norm).level).toBe('LOW');
      },
    ),
    { numRuns: 2_000 },
  );
});

test('an unchanged rare habit, a visit every 8 to 60 days, is LOW', () => {
  for (const gap of range(8, 60)) {
    for (const phase of range(0, gap - 1)) {
      const days = range(0, 365).filter((day) => day % gap === phase);
      expect(churnRisk(history(800, days), 2), `every ${gap} days, last one ${phase} days ago`).toMatchObject({
        level: 'LOW',
      });
    }
  }
});

test('a habit of a visit a week or more and none in 30 days is CRITICAL, even months later', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 31, max: 250 }),
      anyNorm,
      (weeks, stopped, norm) => {
        const days = weeks.flatMap((pattern, week) => pattern.map((day) => stopped + week * 7 + day));
        // The habit began when the membership did.
        const joined = stopped + weeks.length * 7 - 1;
        const lastVisit = Math.min(...days);
        fc.pre(weeks.length * 7 - (lastVisit - stopped) > (weeks.length - 1) * 7);
        expect(churnRisk(history(joined, days), norm)).toEqual({ risk: 100, level: 'CRITICAL' });
      },
    ),
    { numRuns: 2_000 },
  );
});

test('a visit in the last 30 days never raises the risk', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1500 }),
      anyDays,
      fc.integer({ min: 0, max: 30 }),
      anyNorm,
      (joined, days, extra, norm) => {
        const before = churnRisk(history(joined, days), norm).risk;
        expect(churnRisk(history(joined, [...days, extra]), norm).risk).toBeLessThanOrEqual(before);
      },
    ),
    { numRuns: 2_000 },
  );
});

test('a newcomer who comes as often as the median newcomer is LOW', () => {
  fc.assert(
    fc.property(
      anyPattern,
      fc.integer({ min: 0, max: 29 }),
      fc.integer({ min: 0, max: 6 }),
      (pattern, joined, shift) => {
        const days = range(0, joined).filter((day) => pattern.includes((day + shift) % 7));
        const median = joined < 7 ? pattern.length : Math.min(pattern.length, (days.length * 7) / joined);
        fc.pre(joined >= 7 || days.length * 7 >= pattern.length * joined);
        expect(churnRisk(history(joined, days), median).level).toBe('LOW');
      },
    ),
  );
});

test('a newcomer is not judged by visits before joining', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 29 }),
      fc.array(fc.integer({ min: 31, max: 364 })),
      anyNorm,
      (joined, earlier, norm) => {
        expect(churnRisk(history(joined, earlier), norm)).toEqual(churnRisk(history(joined, []), norm));
      },
    ),
  );
});

test('the risk is a whole number from 0 to 100 and the level is its band', () => {
  fc.assert(
    fc.property(fc.integer({ min: -365, max: 1500 }), anyDays, anyNorm, (joined, days, norm) => {
      const { risk, level } = churnRisk(history(joined, days), norm);
      expect(Number.isInteger(risk) && risk >= 0 && risk <= 100).toBe(true);
      expect(level).toBe(risk < 25 ? 'LOW' : risk < 50 ? 'MEDIUM' : risk < 75 ? 'HIGH' : 'CRITICAL');
    }),
  );
});
