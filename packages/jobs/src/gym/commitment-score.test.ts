import { describe, expect, test } from 'vitest';
import { commitmentScore } from './commitment-score.ts';
import { BrokenMemberError } from './member-history.ts';

const score = (visitDaysAgo: number[], joinedDaysAgo = 400) =>
  commitmentScore({ id: 'm-1', joinedDaysAgo, visitDaysAgo });
const every = (step: number, until = 120, from = step) =>
  Array.from({ length: Math.floor((until - from) / step) + 1 }, (_, index) => from + index * step);

describe('commitment score', () => {
  test('three visits a week for twelve weeks is 100, no visit is 0', () => {
    expect(score(every(1).filter((day) => [0, 2, 4].includes(day % 7)))).toBe(100);
    expect(score([])).toBe(0);
  });

  test('once a week: a third of frequency and trend, all of consistency and recency', () => {
    expect(score(every(7))).toBe(Math.round(40 / 3 + 30 + 20 + 10 / 3));
  });

  test('recency is full on day 7 (of yesterday: 8 days ago) and nothing on day 35', () => {
    // One visit in the twelve weeks: consistency 30/12; frequency 40/12 while within four weeks; trend by its week.
    const trend = (week: number) => (10 / 3) * ((12 - week) / 78);
    expect(score([8])).toBe(Math.round(40 / 12 + 30 / 12 + 20 + trend(1)));
    expect(score([9])).toBe(Math.round(40 / 12 + 30 / 12 + (20 * 27) / 28 + trend(1)));
    expect(score([35])).toBe(Math.round(30 / 12 + (20 * 1) / 28 + trend(4)));
    expect(score([36])).toBe(Math.round(30 / 12 + trend(5)));
  });

  test('a visit counts up to the last day of the twelfth week and not after', () => {
    expect(score([84])).toBeGreaterThan(0);
    expect(score([85])).toBe(0);
  });

  test('a member of two weeks is judged by two weeks', () => {
    expect(score([1, 3, 5, 8, 10, 12], 14)).toBe(100);
    expect(score([1, 3, 5, 8, 10, 12], 84)).toBeLessThan(70);
  });

  test('who joined today or begins next month scores 0 until the first visit', () => {
    expect(score([], 0)).toBe(0);
    expect(score([], -30)).toBe(0);
    expect(score([0], -30)).toBeGreaterThan(0);
  });

  test('a join date more than a year ahead is an error that names member, value and fix', () => {
    expect(score([], -365)).toBe(0);
    expect(() => score([], -366)).toThrow(BrokenMemberError);
    expect(() => score([], -3650)).toThrow(
      'member m-1: joined_on lies 3650 days ahead, at most 365 can be meant: correct joined_on',
    );
  });
});
