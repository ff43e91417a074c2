import { expect, test } from 'vitest';
import { addDays, demoCalendar, localDate } from './gym-calendar.ts';

test('days end with yesterday in the zone, and know its offset on both sides of a change of clocks', () => {
  const days = demoCalendar(new Date('2026-11-02T03:00:00Z'), 3, 'America/New_York');
  expect(days.map(({ date, offset, weekday }) => [date, offset, weekday])).toEqual([
    ['2026-10-29', '-04:00', 4],
    ['2026-10-30', '-04:00', 5],
    ['2026-10-31', '-04:00', 6],
  ]);
  expect(demoCalendar(new Date('2026-11-03T12:00:00Z'), 2, 'America/New_York').map(({ offset }) => offset)).toEqual([
    '-05:00',
    '-05:00',
  ]);
  expect(demoCalendar(new Date('2026-11-03T12:00:00Z'), 1, 'UTC')[0]?.offset).toBe('+00:00');
  expect(demoCalendar(new Date('2026-11-03T12:00:00Z'), 1, 'Asia/Kolkata')[0]?.offset).toBe('+05:30');
});

test('closed on Christmas and New Year, quiet in between', () => {
  const openness = Object.fromEntries(
    demoCalendar(new Date('2026-01-03T12:00:00Z'), 12, 'UTC').map((day) => [day.date, day.openness]),
  );
  expect(openness['2025-12-25']).toBe(0);
  expect(openness['2026-01-01']).toBe(0);
  expect(openness['2025-12-27']).toBeLessThan(0.5);
  expect(openness['2026-01-02']).toBeGreaterThan(1);
});

test('dates move over months and years', () => {
  expect(addDays('2026-03-01', -1)).toBe('2026-02-28');
  expect(addDays('2025-12-31', 1)).toBe('2026-01-01');
  expect(localDate(new Date('2026-11-21T00:30:00Z'), 'America/New_York')).toBe('2026-11-20');
});
