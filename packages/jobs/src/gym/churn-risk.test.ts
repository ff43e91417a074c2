import { describe, expect, test } from 'vitest';
import { churnRisk, riskLevel } from './churn-risk.ts';
import { coachAction } from './coach-action.ts';
import { BrokenMemberError } from './member-history.ts';

const judge = (visitDaysAgo: number[], joinedDaysAgo = 400, newcomerWeekly = 2) =>
  churnRisk({ id: 'm-1', joinedDaysAgo, visitDaysAgo }, newcomerWeekly);
const weekly = (from: number, until = 200) =>
  Array.from({ length: Math.floor((until - from) / 7) + 1 }, (_, index) => from + index * 7);

describe('churn risk', () => {
  test('bands begin at 25, 50 and 75', () => {
    expect([0, 24, 25, 49, 50, 74, 75, 100].map(riskLevel)).toEqual([
      'LOW', 'LOW', 'MEDIUM', 'MEDIUM', 'HIGH', 'HIGH', 'CRITICAL', 'CRITICAL',
    ]); // biome-ignore format: pairs of a band's ends
  });

  test('weekly habit: a visit exactly 30 days ago is in the last 30 days, one 31 days ago is not', () => {
    expect(judge(weekly(31)).level).toBe('CRITICAL');
    expect(judge(weekly(30)).risk).toBeLessThan(100);
    expect(judge(weekly(30)).level).toBe('HIGH');
  });

  test('of two visits a week, five in 30 days are MEDIUM, three HIGH, two CRITICAL, all LOW', () => {
    const twiceAWeek = [...weekly(32), ...weekly(35)].sort((a, b) => a - b);
    expect(judge([1, 8, 15, 22, 29, ...twiceAWeek]).level).toBe('MEDIUM');
    expect(judge([13, 20, 27, ...twiceAWeek]).level).toBe('HIGH');
    expect(judge([20, 27, ...twiceAWeek]).level).toBe('CRITICAL');
    expect(judge([2, 5, 9, 12, 16, 19, 23, 26, ...twiceAWeek]).level).toBe('LOW');
  });

  test('joined exactly 30 days ago is still judged by newcomers, for there is no earlier habit; at 31 by an own visit', () => {
    expect(judge([30], 30, 3).level).toBe('CRITICAL');
    expect(judge([30], 29, 0)).toEqual({ risk: 0, level: 'LOW' });
    expect(judge([31], 31, 0).level).toBe('CRITICAL');
    expect(judge([31], 30, 0).level).toBe('LOW');
  });

  test('newcomers: days of membership count, not 30', () => {
    expect(judge([], 3, 2).level).toBe('LOW');
    expect(judge([], 7, 2).level).toBe('HIGH');
    expect(judge([], 14, 2).level).toBe('CRITICAL');
    expect(judge([2, 6, 9, 12], 14, 2).level).toBe('LOW');
  });

  test('who never came is judged by newcomers however old the membership', () => {
    expect(judge([], 400, 2).level).toBe('CRITICAL');
    expect(judge([], 400, 0.2).level).toBe('LOW');
  });

  test('a membership that begins in the future is no risk; one ten years ahead is an error', () => {
    expect(judge([], -10)).toEqual({ risk: 0, level: 'LOW' });
    expect(() => judge([], -3650)).toThrow(BrokenMemberError);
  });

  test('a coach calls about CRITICAL, writes about HIGH, and leaves the others alone', () => {
    expect((['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] as const).map(coachAction)).toEqual([null, null, 'message', 'call']);
  });
});
