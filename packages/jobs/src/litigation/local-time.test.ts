import { expect, test } from 'vitest';
import { calendarDay, clockTime, spokenTime } from './local-time.ts';

test('times are the firm’s', () => {
  const at = new Date('2026-11-23T05:00:00Z');
  expect([calendarDay(at, 'Asia/Kolkata'), clockTime(at, 'Asia/Kolkata')]).toEqual(['Mon, 23 Nov 2026', '10:30 AM']);
  expect([calendarDay(at, 'America/Los_Angeles'), clockTime(at, 'America/Los_Angeles')]).toEqual([
    'Sun, 22 Nov 2026',
    '9:00 PM',
  ]);
});

test.each([
  ['2026-11-22T11:30:00Z', 'Today 5:00 PM'],
  ['2026-11-22T18:29:00Z', 'Today 11:59 PM'],
  ['2026-11-22T18:30:00Z', 'Tomorrow 12:00 AM'],
  ['2026-11-23T05:00:00Z', 'Tomorrow 10:30 AM'],
  ['2026-11-24T05:00:00Z', 'Tue, 24 Nov 2026 10:30 AM'],
])('%s is %s in Kolkata', (at, said) => {
  expect(spokenTime(new Date(at), new Date('2026-11-22T03:30:00Z'), 'Asia/Kolkata')).toBe(said);
});

test('month ends, leap days and days of 23 hours are days', () => {
  const said = (now: string, at: string, zone: string) => spokenTime(new Date(at), new Date(now), zone);
  expect(said('2028-02-28T12:00:00Z', '2028-02-29T12:00:00Z', 'UTC')).toMatch(/^Tomorrow/);
  expect(said('2026-12-31T12:00:00Z', '2027-01-01T01:00:00Z', 'UTC')).toMatch(/^Tomorrow/);
  expect(said('2026-03-29T00:30:00Z', '2026-03-29T22:30:00Z', 'Europe/Berlin')).toMatch(/^Tomorrow 12:30 AM/);
  expect(said('2026-10-25T00:30:00Z', '2026-10-25T22:30:00Z', 'Europe/Berlin')).toMatch(/^Today 11:30 PM/);
});
