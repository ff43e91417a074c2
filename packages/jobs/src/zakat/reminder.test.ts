import { expect, test } from 'vitest';
import { nextAnniversary } from './anniversary.ts';
import { dayNumber, HijriRangeError, isoDate, toHijri } from './hijri.ts';
import { reminderFor } from './reminder.ts';

const next = (snapshot: string, today: string, offset = 0) => {
  const { hijri, day, daysLeft } = nextAnniversary(dayNumber(snapshot), dayNumber(today), offset);
  return { hijri: `${hijri.year}-${hijri.month}-${hijri.day}`, on: isoDate(day), daysLeft };
};
const remind = (snapshotDate: string, today: string, more: { reachesNisab?: boolean; dayOffset?: number } = {}) =>
  reminderFor({ snapshotDate, reachesNisab: true, dayOffset: 0, ...more }, today);

// 1 Ramadan: 1445 on 2024-03-11, 1446 on 2025-03-01, 1447 on 2026-02-18, 1448 on 2027-02-08.
test('the anniversary is the same Hijri date a lunar year later, today included, the snapshot’s own day not', () => {
  expect(next('2024-03-11', '2024-03-11')).toEqual({ hijri: '1446-9-1', on: '2025-03-01', daysLeft: 355 });
  expect(next('2024-03-11', '2025-03-01')).toEqual({ hijri: '1446-9-1', on: '2025-03-01', daysLeft: 0 });
  expect(next('2024-03-11', '2025-03-02')).toEqual({ hijri: '1447-9-1', on: '2026-02-18', daysLeft: 353 });
  expect(next('2024-03-11', '2027-01-09')).toEqual({ hijri: '1448-9-1', on: '2027-02-08', daysLeft: 30 });
});

test('a snapshot dated ahead of today has its anniversary a year after itself', () => {
  expect(next('2025-03-01', '2024-01-01')).toMatchObject({ on: '2026-02-18' });
});

test('the 30th falls on the 29th where the month has 29 days', () => {
  // Shaban has 30 days in 1444, 29 in 1445.
  const last = '2023-03-22';
  expect(toHijri(dayNumber(last))).toEqual({ year: 1444, month: 8, day: 30 });
  expect(next(last, '2024-01-01')).toMatchObject({ hijri: '1445-8-29', on: '2024-03-10' });
});

test('29 February is a day like any other', () => {
  expect(next('2024-02-29', '2024-12-01')).toMatchObject({ hijri: '1446-8-19', on: '2025-02-18' });
});

test('an offset that does not change the month length moves nothing; one that does moves the day', () => {
  for (const dayOffset of [-2, -1, 0, 1, 2]) {
    const reminder = remind('2024-03-20', '2025-03-01', { dayOffset });
    expect(reminder?.anniversaryOn, String(dayOffset)).toBe('2025-03-10');
  }
  expect(remind('2024-03-11', '2025-02-25')?.anniversaryOn).toBe('2025-03-01');
  // For whoever is a day behind, 11 March 2024 was still 29 Shaban.
  expect(remind('2024-03-11', '2025-02-25', { dayOffset: -1 })).toMatchObject({
    anniversaryOn: '2025-03-01',
    hijriDate: '1446-08-29',
  });
});

test.each([
  ['2025-01-29', null, null],
  ['2025-01-30', 30, 'low'],
  ['2025-02-14', 15, 'low'],
  ['2025-02-15', 14, 'medium'],
  ['2025-02-21', 8, 'medium'],
  ['2025-02-22', 7, 'high'],
  ['2025-02-28', 1, 'high'],
  ['2025-03-01', 0, 'high'],
])('seen on %s: %s days left, priority %s', (today, daysLeft, priority) => {
  const reminder = remind('2024-03-11', today);
  if (daysLeft === null) expect(reminder).toBeNull();
  else expect(reminder).toMatchObject({ daysLeft, priority, anniversaryOn: '2025-03-01', hijriDate: '1446-09-01' });
});

test('texts: dates in both calendars, the caveat, and below nisab no demand', () => {
  const owing = remind('2024-03-11', '2025-02-24');
  expect(owing?.title).toBe('Zakat anniversary in 5 days');
  expect(owing?.message).toContain('1 March 2025 (1 Ramadan 1446 AH)');
  expect(owing?.message).toMatch(/pay the zakat that is due/);
  const below = remind('2024-03-11', '2025-02-28', { reachesNisab: false });
  expect(below?.title).toBe('Zakat anniversary tomorrow');
  expect(below?.message).toMatch(/check whether your wealth reaches nisab/);
  expect(below?.message).not.toMatch(/\bpay\b/i);
  for (const reminder of [owing, below]) expect(reminder?.message).toMatch(/local moon sighting may differ/);
  expect(remind('2024-03-11', '2025-03-01')?.title).toBe('Zakat anniversary today');
});

test('a date that the calendar does not reach is refused', () => {
  expect(() => remind('1930-01-01', '2026-11-22')).toThrow(HijriRangeError);
  expect(() => remind('2077-11-16', '2077-11-16')).toThrow(HijriRangeError);
});
