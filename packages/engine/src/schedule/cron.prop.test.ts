import { CronExpressionParser } from 'cron-parser';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cronInstants, type DstRule, nextInstant } from './cron.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ZONES = [
  'America/New_York', 'Europe/Berlin', 'Australia/Lord_Howe', 'Asia/Kolkata', 'UTC', 'America/Santiago', 'Africa/Casablanca',
  'America/St_Johns', 'Atlantic/Azores', 'Asia/Beirut',
] as const; // biome-ignore format: names
const zone = fc.constantFrom(...ZONES);
const dst = fc.constantFrom<DstRule>('skip', 'once', 'twice');
/** Days on or near which one of the zones changes its clock, and any other. */
const start = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('2026-03-08', '2026-03-29', '2026-04-05', '2026-09-06', '2026-10-04', '2026-10-25', '2026-11-01', '2027-02-07', '2027-03-14', '2027-03-28'),
      fc.integer({ min: 0, max: 3 * DAY }),
    )
    .map(([date, before]) => new Date(Date.parse(date) - before)),
  fc.date({ min: new Date('2024-01-01'), max: new Date('2030-12-31'), noInvalidDate: true }),
); // biome-ignore format: a list of dates
const minute = fc.oneof(fc.nat(59).map(String), fc.constantFrom('*/15', '0,30', '5-10', '*/7'));
const hour = fc.oneof(fc.nat(23).map(String), fc.constantFrom('0-3', '1,2,3', '*/6', '0', '1', '2', '23'));
const day = fc.constantFrom(
  '* * *',
  '* * *',
  '* * 1-5',
  '* * 0',
  '1 * *',
  '*/2 * *',
  '15 * 1',
  '* 3,10 *',
  'L * *',
  '* * 0#1',
);
const fixed = fc.tuple(minute, hour, day).map((fields) => fields.join(' '));
const hourly = fc.tuple(minute, day).map(([first, rest]) => `${first} * ${rest}`);

function walk(cron: string, where: string, from: Date, until: Date, rule: DstRule): Date[] {
  const found: Date[] = [];
  for (let at = nextInstant(cron, where, from, rule); at <= until; at = nextInstant(cron, where, at, rule))
    found.push(at);
  return found;
}

const clock = (where: string) =>
  new Intl.DateTimeFormat('sv-SE', { timeZone: where, dateStyle: 'short', timeStyle: 'medium', hourCycle: 'h23' });

/** The local times that the cron names from a day before to a day after, by cron-parser, in a zone without changes. */
function named(cron: string, from: Date, until: Date): Set<string> {
  const times = CronExpressionParser.parse(cron, { tz: 'UTC', currentDate: new Date(from.getTime() - 3 * DAY) });
  const found = new Set<string>();
  for (let at = times.next().getTime(); at < until.getTime() + 2 * DAY; at = times.next().getTime()) {
    found.add(new Date(at).toISOString().slice(0, 19).replace('T', ' '));
  }
  return found;
}

/** What the rule asks for, found the slow way: every minute of real time, and every minute that the clocks of the zone should show. */
function expected(cron: string, where: string, from: Date, until: Date, rule: DstRule): Date[] {
  const format = clock(where);
  const times = named(cron, from, until);
  const found: Date[] = [];
  const passed = new Set<string>();
  let last = format.format(new Date(Math.floor(from.getTime() / 60_000) * 60_000 - DAY));
  for (let at = Math.floor(from.getTime() / 60_000) * 60_000 - DAY; at <= until.getTime(); at += 60_000) {
    const shown = format.format(at);
    const skipped: string[] = [];
    for (let wall = Date.parse(`${last.replace(' ', 'T')}Z`) + 60_000; wall < Date.parse(`${shown.replace(' ', 'T')}Z`); wall += 60_000) {
      skipped.push(new Date(wall).toISOString().slice(0, 19).replace('T', ' '));
    } // biome-ignore format: one line
    const moved = rule !== 'skip' && skipped.some((time) => times.has(time));
    const repeated = passed.has(shown) && rule !== 'twice';
    if (at > from.getTime() && (moved || (!repeated && times.has(shown)))) found.push(new Date(at));
    passed.add(shown);
    last = shown;
  }
  return found;
}

describe('nextInstant', () => {
  it('fires a cron of fixed hours as its rule says, whatever the zone does', () => {
    fc.assert(
      fc.property(fixed, zone, start, dst, (cron, where, from, rule) => {
        const until = new Date(from.getTime() + 30 * HOUR);
        expect(walk(cron, where, from, until, rule)).toEqual(expected(cron, where, from, until, rule));
      }),
      { numRuns: 25 },
    );
  });

  it('fires a cron of every hour in real time, under every rule', () => {
    fc.assert(
      fc.property(hourly, zone, start, dst, (cron, where, from, rule) => {
        const until = new Date(from.getTime() + 30 * HOUR);
        const times = named(cron, from, until);
        const found = walk(cron, where, from, until, rule);
        expect(found).toEqual(walk(cron, where, from, until, 'twice'));
        for (const at of found) expect(times.has(clock(where).format(at))).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('leaves out no real hour of `0 * * * *`, and doubles none', () => {
    fc.assert(
      fc.property(fc.constantFrom('America/New_York', 'Europe/Berlin', 'America/Santiago', 'UTC'), start, (where, from) => {
        const found = walk('0 * * * *', where, from, new Date(from.getTime() + 4 * DAY), 'once');
        for (const [i, at] of found.entries()) expect(at.getTime() - (found[i - 1]?.getTime() ?? at.getTime() - HOUR)).toBe(HOUR);
      }),
      { numRuns: 30 },
    ); // biome-ignore format: one line
  });

  it('agrees with cron-parser where no clock is ever set', () => {
    fc.assert(
      fc.property(fc.oneof(fixed, hourly), start, (cron, from) => {
        const theirs = CronExpressionParser.parse(cron, { tz: 'UTC', currentDate: from });
        let at = from;
        for (let n = 0; n < 20; n++) {
          at = nextInstant(cron, 'UTC', at);
          expect(at).toEqual(theirs.next().toDate());
        }
      }),
      { numRuns: 60 },
    );
  });

  it('goes forward, and by single steps as by many', () => {
    fc.assert(
      fc.property(fc.oneof(fixed, hourly), zone, start, dst, (cron, where, from, rule) => {
        const firing = cronInstants(cron, where, from, 12, rule).filter((one) => one.fires);
        const last = firing.at(-1);
        if (last === undefined) return;
        const walked = walk(cron, where, from, last.dueAt, rule);
        expect(firing.map((one) => one.dueAt)).toEqual(walked);
        for (const [i, at] of walked.entries()) expect(at > (walked[i - 1] ?? from)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
