import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addDays } from './calendar-day.ts';
import { isLow, type Supply, supplyOutlook, wasRefilled, wholeDays } from './supply.ts';

const supply = (more: Partial<Supply> = {}): Supply => ({
  units: 30,
  recordedOn: '2026-11-22',
  unitsADay: 1,
  leadDays: 7,
  ...more,
});

test('days left are whole days, the refill date is the run-out date less the lead time', () => {
  expect(supplyOutlook(supply({ units: 30.9 }), '2026-11-22')).toEqual({
    daysLeft: 30,
    runOutOn: '2026-12-22',
    refillOn: '2026-12-15',
  });
  expect(supplyOutlook(supply({ units: 5, unitsADay: 2 }), '2026-11-22')?.daysLeft).toBe(2);
  expect(supplyOutlook(supply({ units: 0 }), '2026-11-22')).toEqual({
    daysLeft: 0,
    runOutOn: '2026-11-22',
    refillOn: '2026-11-15',
  });
});

test('what was recorded earlier has been used since, down to nothing', () => {
  expect(supplyOutlook(supply(), '2026-12-02')?.daysLeft).toBe(20);
  expect(supplyOutlook(supply(), '2027-06-01')?.daysLeft).toBe(0);
});

test('no use: null, never an alert', () => {
  expect(supplyOutlook(supply({ unitsADay: 0 }), '2026-11-22')).toBeNull();
  expect(wholeDays(0, 0)).toBeNull();
});

test('decimals are exact', () => {
  expect(wholeDays(0.3, 0.1)).toBe(3);
  expect(wholeDays(4.35, 1.45)).toBe(3);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000 }), fc.integer({ min: 1, max: 100_000 }), (units, perDay) => {
      expect(wholeDays(units / 1_000, perDay / 1_000)).toBe(Math.min(36_500, Math.floor(units / perDay)));
    }),
  );
});

test('more supply never lasts less, a day later is a day less', () => {
  const amounts = fc.integer({ min: 0, max: 500 });
  fc.assert(
    fc.property(amounts, amounts, fc.integer({ min: 1, max: 20 }), fc.nat(60), (units, more, unitsADay, later) => {
      const today = addDays('2026-11-22', later);
      const days = (n: number, day: string) => supplyOutlook(supply({ units: n, unitsADay }), day)?.daysLeft ?? -1;
      expect(days(units + more, today)).toBeGreaterThanOrEqual(days(units, today));
      expect(days(units, addDays(today, 1))).toBe(Math.max(0, days(units, today) - 1));
    }),
  );
});

test('low at exactly lead time and three days, not a day before', () => {
  const left = (units: number) =>
    supplyOutlook(supply({ units }), '2026-11-22') ?? { daysLeft: 0, runOutOn: '', refillOn: '' };
  expect(isLow(left(10), 7, 3)).toBe(true);
  expect(isLow(left(11), 7, 3)).toBe(false);
});

test('a count is a refill when only that explains it', () => {
  const counted = (units: number) => supply({ units, recordedOn: '2026-12-12' });
  expect(wasRefilled(supply(), counted(10))).toBe(false);
  expect(wasRefilled(supply(), counted(16))).toBe(false);
  expect(wasRefilled(supply(), counted(17))).toBe(true);
  expect(wasRefilled(null, counted(30))).toBe(false);
  expect(wasRefilled(supply({ unitsADay: 0 }), supply({ unitsADay: 0, units: 90 }))).toBe(false);
});
