import { describe, expect, it } from 'vitest';
import { cronProblem, localDate, nextInstant, zoneProblem } from './cron.ts';

function instants(cron: string, zone: string, after: string, n: number): string[] {
  const found: string[] = [];
  for (let at = new Date(after); found.length < n; found.push(at.toISOString())) at = nextInstant(cron, zone, at);
  return found.map((instant) => instant.slice(0, 16));
}

describe('cronProblem', () => {
  it.each([
    '61 * * * *',
    '* 24 * * *',
    '5-1 * * * *',
    '*/0 * * * *',
    '* * * * * *',
    '* * * *',
    '@reboot',
    '@daily',
    '',
    'a b c d e',
  ])('refuses %j', (cron) => {
    expect(cronProblem(cron)).toEqual(expect.any(String));
  });
  it('refuses a day that never comes', () => {
    expect(cronProblem('0 0 30 2 *')).toEqual(expect.any(String));
  });
  it.each(['* * * * *', '*/15 * * * *', '0 2 * * *', '59 23 * * 1-5', '0 0 29 2 *', ' 0 2 * * * '])(
    'accepts %j',
    (cron) => {
      expect(cronProblem(cron)).toBeNull();
    },
  );
});

it('knows time zones', () => {
  expect(zoneProblem('Asia/Kolkata')).toBeNull();
  expect(zoneProblem('Mars/Olympus')).toEqual(expect.any(String));
});

describe('nextInstant', () => {
  it('is later than what it is asked about', () => {
    expect(nextInstant('0 2 * * *', 'UTC', new Date('2026-05-01T02:00:00Z'))).toEqual(new Date('2026-05-02T02:00:00Z'));
    expect(nextInstant('0 2 * * *', 'UTC', new Date('2026-05-01T01:59:59.999Z'))).toEqual(
      new Date('2026-05-01T02:00:00Z'),
    );
  });

  it('follows the zone over both changes of the clock', () => {
    expect(instants('30 9 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T07:30',
      '2026-03-30T07:30',
    ]);
  });

  it('fires a time that the clock skips, once, on that day', () => {
    expect(instants('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:30',
      '2026-03-30T00:30',
    ]);
  });

  it('fires a time of day that the clock repeats once, at its first pass', () => {
    expect(instants('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
  });

  it('goes on every quarter of an hour through the repeated hour', () => {
    expect(instants('*/15 * * * *', 'Europe/Berlin', '2026-10-25T00:40:00Z', 4)).toEqual([
      '2026-10-25T00:45',
      '2026-10-25T01:00',
      '2026-10-25T01:15',
      '2026-10-25T01:30',
    ]);
  });
});

it('tells the date where somebody lives', () => {
  const instant = new Date('2026-05-01T20:00:00Z');
  expect(localDate(instant, 'UTC')).toBe('2026-05-01');
  expect(localDate(instant, 'Asia/Kolkata')).toBe('2026-05-02');
  expect(localDate(instant, 'America/Los_Angeles')).toBe('2026-05-01');
});
