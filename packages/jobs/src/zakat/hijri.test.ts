import { CalendarDate, IslamicUmalquraCalendar, toCalendar } from '@internationalized/date';
import { hijriToGregorian } from '@tabby_ai/hijri-converter';
import { expect, test } from 'vitest';
import {
  dayNumber,
  FIRST_HIJRI_YEAR,
  fromHijri,
  HijriRangeError,
  hijriMonthLength,
  isoDate,
  LAST_HIJRI_YEAR,
  toHijri,
} from './hijri.ts';

const FIRST = dayNumber('1937-03-14');
const LAST = dayNumber('2077-11-16');

const parts = (day: number) => isoDate(day).split('-').map(Number) as [number, number, number];

test('every day of 1356–1500 AH is what a second library says, and turns back into itself', () => {
  const umalqura = new IslamicUmalquraCalendar();
  const different: string[] = [];
  for (let day = FIRST; day <= LAST; day++) {
    const ours = toHijri(day);
    const theirs = toCalendar(new CalendarDate(...parts(day)), umalqura);
    if (ours.year !== theirs.year || ours.month !== theirs.month || ours.day !== theirs.day)
      different.push(isoDate(day));
    if (fromHijri(ours) !== day) different.push(isoDate(day));
  }
  expect(LAST - FIRST + 1).toBe(51_383);
  expect(different).toEqual([]);
  expect([toHijri(FIRST), toHijri(LAST)]).toEqual([
    { year: 1356, month: 1, day: 1 },
    { year: 1500, month: 12, day: 30 },
  ]);
});

test('a third table, of what was printed, is the same for 1420–1450 AH and two days off at most elsewhere', () => {
  const distances = new Map<number, number>();
  for (let year = FIRST_HIJRI_YEAR; year <= LAST_HIJRI_YEAR; year++) {
    for (let month = 1; month <= 12; month++) {
      const theirs = hijriToGregorian({ year, month, day: 1 });
      const apart = Math.abs(
        fromHijri({ year, month, day: 1 }) - Date.UTC(theirs.year, theirs.month - 1, theirs.day) / 86_400_000,
      );
      if (year >= 1420 && year <= 1450) expect(apart, `${year}-${month}`).toBe(0);
      distances.set(apart, (distances.get(apart) ?? 0) + 1);
    }
  }
  expect(Math.max(...distances.keys())).toBe(2);
});

test('months have 29 or 30 days, years 354 or 355', () => {
  for (let year = FIRST_HIJRI_YEAR; year <= LAST_HIJRI_YEAR; year++) {
    const lengths = Array.from({ length: 12 }, (_, index) => hijriMonthLength(year, index + 1));
    expect(lengths.filter((days) => days !== 29 && days !== 30)).toEqual([]);
    expect([354, 355]).toContain(lengths.reduce((sum, days) => sum + days, 0));
  }
});

test('known days: 1 Ramadan 1445, 10 Muharram 1448, and a leap day', () => {
  expect(toHijri(dayNumber('2024-03-11'))).toEqual({ year: 1445, month: 9, day: 1 });
  expect(isoDate(fromHijri({ year: 1448, month: 1, day: 10 }))).toBe('2026-06-25');
  expect(toHijri(dayNumber('2024-02-29'))).toEqual({ year: 1445, month: 8, day: 19 });
});

test('an offset moves the user’s calendar ahead or back, over month ends too', () => {
  const day = dayNumber('2024-03-10');
  expect(hijriMonthLength(1445, 8)).toBe(29);
  expect(toHijri(day)).toEqual({ year: 1445, month: 8, day: 29 });
  expect(toHijri(day, 1)).toEqual({ year: 1445, month: 9, day: 1 });
  expect(toHijri(day + 1, -1)).toEqual({ year: 1445, month: 8, day: 29 });
  for (const offset of [-2, -1, 0, 1, 2]) expect(fromHijri(toHijri(day, offset), offset)).toBe(day);
});

test('a day before, after, or not in the calendar is refused, with the range', () => {
  for (const day of [FIRST - 1, LAST + 1, Number.NaN]) expect(() => toHijri(day)).toThrow(HijriRangeError);
  expect(() => toHijri(FIRST, -1)).toThrow('from 1937-03-14 to 2077-11-16');
  for (const date of [
    { year: 1445, month: 8, day: 30 },
    { year: 1355, month: 12, day: 1 },
    { year: 1501, month: 1, day: 1 },
    { year: 1445, month: 13, day: 1 },
    { year: 1445, month: 1, day: 0 },
  ])
    expect(() => fromHijri(date), JSON.stringify(date)).toThrow(HijriRangeError);
});
