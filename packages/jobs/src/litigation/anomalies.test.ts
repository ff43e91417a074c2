import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DayMetrics, findAnomalies, METRICS } from './anomalies.ts';

const day = (more: Partial<DayMetrics> = {}): DayMetrics => ({
  case_count: 100, task_completion_rate: 0.8, sla_compliance_rate: 0.9, hearing_attendance_rate: 1, document_count: 10, overdue_tasks: 5, ...more,
}); // biome-ignore format: one line a day
const week = Array.from({ length: 7 }, () => day());

test('more than 30 % off the average is named, exactly 30 % is not', () => {
  expect(findAnomalies(day({ case_count: 130, task_completion_rate: 0.56 }), week)).toEqual([]);
  expect(findAnomalies(day({ case_count: 131 }), week)).toEqual([
    { metric: 'case_count', value: 131, average: 100, deviation: 0.31 },
  ]);
  expect(findAnomalies(day({ overdue_tasks: 3 }), week)).toMatchObject([{ metric: 'overdue_tasks', deviation: -0.4 }]);
});

test('an average of zero is named so, and stays quiet while nothing changes', () => {
  const quiet = week.map((one) => ({ ...one, overdue_tasks: 0 }));
  expect(findAnomalies(day({ overdue_tasks: 0 }), quiet)).toEqual([]);
  expect(findAnomalies(day({ overdue_tasks: 1 }), quiet)).toEqual([
    { metric: 'overdue_tasks', value: 1, average: 0, from_zero: true },
  ]);
});

test('three earlier days that have the metric are needed; null is no value', () => {
  const high = day({ case_count: 500 });
  expect(findAnomalies(high, week.slice(0, 2))).toEqual([]);
  expect(findAnomalies(high, week.slice(0, 3))).toHaveLength(1);
  const unknown = week.map((one) => ({ ...one, hearing_attendance_rate: null }));
  expect(findAnomalies(day({ hearing_attendance_rate: 0.1 }), unknown)).toEqual([]);
  expect(findAnomalies(day({ hearing_attendance_rate: null }), week)).toEqual([]);
});

test('a day like all the others is never an anomaly', () => {
  const metrics = fc.record(
    Object.fromEntries(METRICS.map((metric) => [metric, fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }))])),
  ) as unknown as fc.Arbitrary<DayMetrics>;
  fc.assert(
    fc.property(metrics, fc.integer({ min: 0, max: 7 }), (one, days) => {
      expect(findAnomalies(one, Array(days).fill(one))).toEqual([]);
    }),
  );
});
