import { describe, expect, it } from 'vitest';
import { cronInstants, cronProblem, type DstRule, localDate, localInstant, nextInstant, zoneProblem } from './cron.ts';

function instants(cron: string, zone: string, after: string, n: number, dst?: DstRule): string[] {
  const found: string[] = [];
  for (let at = new Date(after); found.length < n; found.push(at.toISOString())) at = nextInstant(cron, zone, at, dst);
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
  it('takes six fields where an operator may', () => {
    expect(cronProblem('*/5 * * * * *', 6)).toBeNull();
    expect(cronProblem('*/5 * * * *', 6)).toEqual(expect.any(String));
    expect(cronProblem('60 * * * * *', 6)).toEqual(expect.any(String));
  });
  it.each(['H 2 * * *', '0 2 * * 5L'])('refuses %j, which two processes could read in two ways', (cron) => {
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

  it('fires a time that the clock skips, once, as soon as the gap is over', () => {
    expect(instants('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:00',
      '2026-03-30T00:30',
    ]);
  });

  it('fires a time of day that the clock repeats once, at its first pass', () => {
    expect(instants('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
  });

  it('fires a time that the clock repeats at both passes under twice, at the first under skip', () => {
    expect(instants('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 3, 'twice')).toEqual([
      '2026-10-25T00:30',
      '2026-10-25T01:30',
      '2026-10-26T01:30',
    ]);
    expect(instants('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2, 'skip')).toEqual([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
  });

  it('lets a time that the clock skips pass under skip, but not the time at the end of the gap', () => {
    expect(instants('30 2 * * *', 'America/New_York', '2027-03-13T12:00:00Z', 1, 'skip')).toEqual(['2027-03-15T06:30']);
    for (const dst of ['skip', 'once', 'twice'] as const) {
      expect(instants('0 2,3 * * *', 'America/New_York', '2027-03-13T12:00:00Z', 2, dst)).toEqual([
        '2027-03-14T07:00',
        '2027-03-15T06:00',
      ]);
    }
  });

  it('follows half-hour changes', () => {
    expect(instants('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00:00Z', 3, 'twice')).toEqual([
      '2026-04-04T14:45',
      '2026-04-04T15:15',
      '2026-04-05T15:15',
    ]);
    expect(instants('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00:00Z', 2)).toEqual([
      '2026-10-03T15:30',
      '2026-10-04T15:15',
    ]);
  });

  it.each(['once', 'skip', 'twice'] as const)('knows the seconds of a six-field cron, under %s', (dst) => {
    expect(nextInstant('*/20 * * * * *', 'UTC', new Date('2026-05-01T00:00:05.250Z'), dst)).toEqual(
      new Date('2026-05-01T00:00:20Z'),
    );
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

describe('cronInstants', () => {
  const marked = (cron: string, zone: string, after: string, n: number, dst: DstRule) =>
    cronInstants(cron, zone, new Date(after), n, dst).map((one) => [one.localTime, one.dst, one.fires]);

  it('marks the day of the gap', () => {
    expect(marked('30 2 * * *', 'America/New_York', '2027-03-13T12:00:00Z', 2, 'once')).toEqual([
      ['2027-03-14T03:00:00', 'gap-moved', true],
      ['2027-03-15T02:30:00', null, true],
    ]);
    expect(marked('30 2 * * *', 'America/New_York', '2027-03-13T12:00:00Z', 2, 'skip')).toEqual([
      ['2027-03-14T02:30:00', 'skipped-gap', false],
      ['2027-03-15T02:30:00', null, true],
    ]);
  });

  it('marks both passes of the day that repeats an hour', () => {
    expect(marked('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 3, 'twice')).toEqual([
      ['2026-11-01T01:30:00', 'repeated-first', true],
      ['2026-11-01T01:30:00', 'repeated-second', true],
      ['2026-11-02T01:30:00', null, true],
    ]);
    expect(marked('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 2, 'once')).toEqual([
      ['2026-11-01T01:30:00', 'repeated-first', true],
      ['2026-11-02T01:30:00', null, true],
    ]);
  });
});

it('tells the date where somebody lives', () => {
  const instant = new Date('2026-05-01T20:00:00Z');
  expect(localDate(instant, 'UTC')).toBe('2026-05-01');
  expect(localDate(instant, 'Asia/Kolkata')).toBe('2026-05-02');
  expect(localDate(instant, 'America/Los_Angeles')).toBe('2026-05-01');
});

describe('localInstant', () => {
  it.each([
    ['2026-11-22', '08:00', 'UTC', '2026-11-22T08:00'],
    ['2026-11-22', '08:00', 'Asia/Kolkata', '2026-11-22T02:30'],
    // Clocks forward: the missing time moves to the first one after the gap.
    ['2026-03-29', '02:30', 'Europe/Berlin', '2026-03-29T01:00'],
    ['2026-03-29', '03:00', 'Europe/Berlin', '2026-03-29T01:00'],
    ['2026-03-29', '01:59', 'Europe/Berlin', '2026-03-29T00:59'],
    // Clocks back: the first pass.
    ['2026-10-25', '02:30', 'Europe/Berlin', '2026-10-25T00:30'],
    ['2026-10-25', '03:00', 'Europe/Berlin', '2026-10-25T02:00'],
    ['2026-10-04', '02:15', 'Australia/Lord_Howe', '2026-10-03T15:30'],
    // A day that never was.
    ['2011-12-30', '12:00', 'Pacific/Apia', '2011-12-30T10:00'],
  ])('%s %s in %s', (date, time, zone, utc) => {
    expect(localInstant(date, time, zone).toISOString().slice(0, 16)).toBe(utc);
  });
});
