import { localDate } from '@nightshift/engine';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addDays } from './calendar-day.ts';
import { type DosePlan, dosesBetween, nextDose } from './dose-times.ts';
import type { Frequency } from './frequency.ts';

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Africa/Cairo',
  'Pacific/Chatham',
  'America/St_Johns',
];
const DAY_MS = 86_400_000;

const zones = fc.constantFrom(...ZONES);
const times = fc
  .uniqueArray(fc.integer({ min: 0, max: 1439 }), { minLength: 1, maxLength: 4 })
  .map((minutes) =>
    minutes.map((m) => `${String(Math.floor(m / 60)).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}`).sort(),
  );
const frequencies: fc.Arbitrary<Frequency> = fc.oneof(
  fc.constant<Frequency>({ kind: 'daily' }),
  fc
    .uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1 })
    .map((days): Frequency => ({ kind: 'weekdays', days })),
  fc.integer({ min: 1, max: 30 }).map((n): Frequency => ({ kind: 'every_n_days', n })),
);
const plans = fc.record({
  frequency: frequencies,
  times,
  startsOn: fc.integer({ min: 0, max: 400 }).map((days) => addDays('2026-01-01', days)),
  endsOn: fc.constant(null),
});
const instants = fc.integer({ min: Date.parse('2026-02-01'), max: Date.parse('2027-11-30') }).map((at) => new Date(at));

describe('doses', () => {
  test('come in order, each once, within the range, never on another local day than one after a gap', () => {
    fc.assert(
      fc.property(plans, zones, instants, fc.integer({ min: 0, max: 20 * DAY_MS }), (plan, zone, from, length) => {
        const to = new Date(from.getTime() + length);
        const doses = dosesBetween(plan, zone, from, to);
        expect(new Set(doses.map(({ date, time }) => `${date} ${time}`)).size).toBe(doses.length);
        for (const [i, dose] of doses.entries()) {
          expect(dose.dueAt >= from && dose.dueAt <= to).toBe(true);
          expect(dose.dueAt >= (doses[i - 1]?.dueAt ?? from)).toBe(true);
          expect([dose.date, addDays(dose.date, 1)]).toContain(localDate(dose.dueAt, zone));
        }
      }),
      { numRuns: 150 },
    );
  });

  test('of a split range are those of the whole: a tick that is late or early changes nothing', () => {
    fc.assert(
      fc.property(plans, zones, instants, fc.nat(6 * DAY_MS), fc.nat(6 * DAY_MS), (plan, zone, from, a, b) => {
        const middle = new Date(from.getTime() + a);
        const to = new Date(middle.getTime() + 1 + b);
        const parts = [
          ...dosesBetween(plan, zone, from, middle),
          ...dosesBetween(plan, zone, new Date(middle.getTime() + 1), to),
        ];
        expect(parts).toEqual(dosesBetween(plan, zone, from, to));
      }),
      { numRuns: 150 },
    );
  });

  test('the next one is the first of those that follow', () => {
    fc.assert(
      fc.property(plans, zones, instants, (plan, zone, after) => {
        const next = nextDose(plan, zone, after);
        expect(next).not.toBeNull();
        const until = next?.dueAt ?? after;
        expect(dosesBetween(plan, zone, new Date(after.getTime() + 1), until).map(({ dueAt }) => dueAt)[0]).toEqual(
          until,
        );
      }),
      { numRuns: 100 },
    );
  });

  test('a daily medicine has its times once each local day, through a year of clock changes', () => {
    fc.assert(
      fc.property(zones, times, (zone, at) => {
        const plan: DosePlan = {
          frequency: { kind: 'daily' },
          times: at,
          startsOn: '2026-01-01',
          endsOn: '2026-12-31',
        };
        const doses = dosesBetween(plan, zone, new Date('2025-12-30T00:00:00Z'), new Date('2027-01-02T00:00:00Z'));
        expect(doses).toHaveLength(365 * at.length);
      }),
      { numRuns: 30 },
    );
  });
});

const daily: DosePlan = {
  frequency: { kind: 'daily' },
  times: ['02:30', '08:00'],
  startsOn: '2026-01-01',
  endsOn: null,
};
const due = (plan: DosePlan, zone: string, from: string, to: string) =>
  dosesBetween(plan, zone, new Date(from), new Date(to)).map(
    ({ date, time, dueAt }) => `${date} ${time} ${dueAt.toISOString().slice(0, 16)}`,
  );

test('Berlin, clocks forward: the missing 02:30 comes at 03:00; 08:00 stays 08:00 on the clock', () => {
  expect(due(daily, 'Europe/Berlin', '2026-03-28T12:00Z', '2026-03-29T12:00Z')).toEqual([
    '2026-03-29 02:30 2026-03-29T01:00',
    '2026-03-29 08:00 2026-03-29T06:00',
  ]);
});

test('Berlin, clocks back: the repeated 02:30 comes once, at its first pass', () => {
  expect(due(daily, 'Europe/Berlin', '2026-10-24T12:00Z', '2026-10-25T12:00Z')).toEqual([
    '2026-10-25 02:30 2026-10-25T00:30',
    '2026-10-25 08:00 2026-10-25T07:00',
  ]);
});

test('every n days counts from its first day over month ends and a leap day; weekdays are ISO; the last day counts', () => {
  const every: DosePlan = {
    frequency: { kind: 'every_n_days', n: 3 },
    times: ['09:00'],
    startsOn: '2028-02-26',
    endsOn: null,
  };
  expect(due(every, 'UTC', '2028-02-25T00:00Z', '2028-03-04T00:00Z')).toEqual([
    '2028-02-26 09:00 2028-02-26T09:00',
    '2028-02-29 09:00 2028-02-29T09:00',
    '2028-03-03 09:00 2028-03-03T09:00',
  ]);
  const week: DosePlan = {
    ...every,
    frequency: { kind: 'weekdays', days: [1, 7] },
    startsOn: '2026-11-01',
    endsOn: '2026-11-23',
  };
  expect(due(week, 'UTC', '2026-11-16T00:00Z', '2026-11-30T00:00Z')).toEqual([
    '2026-11-16 09:00 2026-11-16T09:00',
    '2026-11-22 09:00 2026-11-22T09:00',
    '2026-11-23 09:00 2026-11-23T09:00',
  ]);
  expect(nextDose(week, 'UTC', new Date('2026-11-23T09:00Z'))).toBeNull();
});

test('as needed has no doses; both ends of a range belong to it', () => {
  const asNeeded: DosePlan = { ...daily, frequency: { kind: 'as_needed' } };
  expect(due(asNeeded, 'UTC', '2026-11-01T00:00Z', '2026-11-30T00:00Z')).toEqual([]);
  expect(nextDose(asNeeded, 'UTC', new Date('2026-11-01T00:00Z'))).toBeNull();
  expect(due(daily, 'UTC', '2026-11-01T02:30Z', '2026-11-01T08:00Z')).toHaveLength(2);
  expect(due(daily, 'UTC', '2026-11-01T02:31Z', '2026-11-01T07:59Z')).toEqual([]);
});
