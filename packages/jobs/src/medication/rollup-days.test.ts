import { expect, test } from 'vitest';
import { dayParts, rangeEdge } from './rollup-days.ts';

const parts = (start: string, end: string, zone: string) =>
  dayParts(rangeEdge(start, zone), rangeEdge(end, zone), zone).map(
    ({ day, startsAt, endsAt }) => `${day} ${startsAt.toISOString().slice(0, 16)} ${endsAt.toISOString().slice(0, 16)}`,
  );

test('days are the zone’s; one of 23 or 25 hours is one day', () => {
  expect(parts('2026-03-28', '2026-03-31', 'Europe/Berlin')).toEqual([
    '2026-03-28 2026-03-27T23:00 2026-03-28T23:00',
    '2026-03-29 2026-03-28T23:00 2026-03-29T22:00',
    '2026-03-30 2026-03-29T22:00 2026-03-30T22:00',
  ]);
  expect(parts('2026-10-25', '2026-10-26', 'Europe/Berlin')).toEqual(['2026-10-25 2026-10-24T22:00 2026-10-25T23:00']);
});

test('an instant cuts a day; the end does not belong to the range', () => {
  expect(parts('2026-11-22T10:00:00Z', '2026-11-22T18:30:00Z', 'Asia/Kolkata')).toEqual([
    '2026-11-22 2026-11-22T10:00 2026-11-22T18:30',
  ]);
  expect(parts('2026-11-22T10:00:00Z', '2026-11-22T18:31:00Z', 'Asia/Kolkata')).toEqual([
    '2026-11-22 2026-11-22T10:00 2026-11-22T18:30',
    '2026-11-23 2026-11-22T18:30 2026-11-22T18:31',
  ]);
});

test('a year with a leap day has 366 parts, a skipped day none', () => {
  expect(parts('2028-01-01', '2029-01-01', 'America/New_York')).toHaveLength(366);
  expect(parts('2011-12-29', '2012-01-01', 'Pacific/Apia').map((part) => part.slice(0, 10))).toEqual([
    '2011-12-29',
    '2011-12-31',
  ]);
});
