import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { localDate } from './cron.ts';
import {
  cutPlan,
  ON_TIME_MS,
  type PlannedTick,
  planTicks,
  TICKS_A_PASS,
  type TickPlan,
  type TickRules,
} from './plan-ticks.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

const zone = fc.constantFrom(
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Africa/Cairo',
  'Asia/Kolkata',
  'Australia/Sydney',
);
const rules = fc.record<TickRules>({
  cron: fc.constantFrom('0 2 * * *', '*/15 * * * *', '30 2 * * *', '0 */6 * * *', '59 23 * * *', '0 9 * * 1'),
  zone,
  misfire: fc.constantFrom('skip', 'latest', 'all'),
  misfireWithinMs: fc.option(
    fc.integer({ min: 1, max: 600 }).map((minutes) => minutes * MINUTE),
    { nil: null },
  ),
  misfireSameDay: fc.boolean(),
  paused: fc.boolean(),
});
const start = fc.date({
  min: new Date('2025-01-01T00:00:00Z'),
  max: new Date('2027-12-31T00:00:00Z'),
  noInvalidDate: true,
});

/** Steps from the start through the waits; resolves to every tick that was made. */
function walk(plan: TickRules, from: Date, waits: readonly number[]): { ticks: PlannedTick[]; next: Date; now: Date } {
  let next = from;
  let now = from;
  const ticks: PlannedTick[] = [];
  for (const wait of waits) {
    now = new Date(now.getTime() + wait);
    const made = planTicks(plan, next, now);
    ticks.push(...made.ticks);
    next = made.nextDueAt;
  }
  return { ticks, next, now };
}

describe('planTicks', () => {
  it('meets every instant exactly once, whenever the loop looks', () => {
    const waits = fc.array(fc.integer({ min: 1, max: DAY }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(rules, start, waits, (plan, from, pauses) => {
        const walked = walk(plan, from, pauses);
        const atOnce = planTicks(plan, from, walked.now);
        expect(walked.ticks.map((tick) => tick.dueAt)).toEqual(atOnce.ticks.map((tick) => tick.dueAt));
        expect(walked.next).toEqual(atOnce.nextDueAt);
        expect(walked.next > walked.now).toBe(true);
        for (const [i, tick] of walked.ticks.entries()) {
          expect(tick.dueAt > (walked.ticks[i - 1]?.dueAt ?? new Date(0))).toBe(true);
          expect(tick.reason === null).toBe(tick.state === 'fired');
        }
      }),
      { numRuns: 40 },
    );
  });

  it('gives each local day one tick of a daily schedule, over the clock’s changes too', () => {
    const time = fc.tuple(fc.nat(59), fc.nat(23));
    const changes = [
      '2026-03-08',
      '2026-03-29',
      '2026-04-05',
      '2026-04-24',
      '2026-10-04',
      '2026-10-25',
      '2026-10-30',
      '2026-11-01',
    ];
    const aroundAChange = fc
      .tuple(fc.constantFrom(...changes), fc.integer({ min: 0, max: 4 * DAY }))
      .map(([date, before]) => new Date(Date.parse(date) - before));
    fc.assert(
      fc.property(zone, time, aroundAChange, (where, [minute, hour], from) => {
        const plan: TickRules = {
          cron: `${minute} ${hour} * * *`, zone: where, misfire: 'all', misfireWithinMs: null, misfireSameDay: false, paused: false,
        }; // biome-ignore format: one rule
        const first = planTicks(plan, from, from).nextDueAt;
        const { ticks } = planTicks(plan, first, new Date(first.getTime() + 12 * DAY));
        // The first "instant" may be the start itself, which is no time of the cron.
        const days = ticks.slice(1).map((tick) => localDate(tick.dueAt, where));
        expect(new Set(days).size).toBe(days.length);
        const [one, last] = [days[0] ?? '', days.at(-1) ?? ''];
        expect(days.length).toBe(Math.round((Date.parse(last) - Date.parse(one)) / DAY) + 1);
      }),
      { numRuns: 100 },
    );
  });

  it('fires what is on time, else the newest, under latest, all under all, only what is on time under skip', () => {
    const gap = fc.integer({ min: 1, max: 4 * DAY });
    fc.assert(
      fc.property(rules, start, gap, (any, from, wait) => {
        const plan = { ...any, paused: false, misfireWithinMs: null, misfireSameDay: false };
        const { ticks } = planTicks(plan, from, new Date(from.getTime() + wait));
        const fired = ticks.filter((tick) => tick.state === 'fired');
        if (plan.misfire === 'all') expect(fired).toEqual(ticks);
        const onTime = ticks.filter((tick) => tick.latenessMs < ON_TIME_MS);
        if (plan.misfire === 'latest') expect(fired).toEqual(onTime.length > 0 ? onTime : ticks.slice(-1));
        if (plan.misfire === 'skip') expect(fired).toEqual(onTime);
      }),
    );
  });

  it('never fires late beyond the bound or after the local day, and nothing while paused', () => {
    const gap = fc.integer({ min: 1, max: 2 * DAY });
    fc.assert(
      fc.property(rules, start, gap, (plan, from, wait) => {
        const now = new Date(from.getTime() + wait);
        for (const tick of planTicks(plan, from, now).ticks) {
          if (tick.state !== 'fired') continue;
          expect(plan.paused).toBe(false);
          expect(tick.latenessMs).toBeLessThanOrEqual(plan.misfireWithinMs ?? Number.POSITIVE_INFINITY);
          if (plan.misfireSameDay) expect(localDate(tick.dueAt, plan.zone)).toBe(localDate(now, plan.zone));
        }
      }),
    );
  });

  it('fires every second of a short stop under each policy, and after a long one under latest those of the last minute', () => {
    const policy = fc.constantFrom('skip', 'latest', 'all' as const);
    fc.assert(
      fc.property(policy, fc.integer({ min: 1, max: 1_500 }), (misfire, seconds) => {
        const plan: TickRules = {
          cron: '* * * * * *', zone: 'UTC', misfire, misfireWithinMs: null, misfireSameDay: false, paused: false,
        }; // biome-ignore format: one rule
        const from = new Date('2026-01-01T00:00:00Z');
        const { ticks } = planTicks(plan, from, new Date(from.getTime() + seconds * 1_000));
        const fired = ticks.filter((tick) => tick.state === 'fired').length;
        expect(ticks).toHaveLength(seconds + 1);
        expect(fired).toBe(misfire === 'all' ? seconds + 1 : Math.min(seconds + 1, 60));
      }),
    );
  });

  it('takes a long gap in parts and loses nothing between them', () => {
    const plan: TickRules = {
      cron: '* * * * *', zone: 'UTC', misfire: 'latest', misfireWithinMs: null, misfireSameDay: false, paused: false,
    }; // biome-ignore format: one rule
    const from = new Date('2026-01-01T00:00:00Z');
    const now = new Date(from.getTime() + (TICKS_A_PASS + 500) * MINUTE);
    const first = planTicks(plan, from, now);
    const rest = planTicks(plan, first.nextDueAt, now);
    expect(first.ticks).toHaveLength(TICKS_A_PASS);
    expect(rest.ticks).toHaveLength(501);
    expect([...first.ticks, ...rest.ticks].filter((tick) => tick.state === 'fired').map((tick) => tick.dueAt)).toEqual([
      now,
    ]);
  });
});

describe('a plan in parts', () => {
  const most = fc.integer({ min: 1, max: 8 });
  const gap = fc.integer({ min: 1, max: 4 * DAY });
  const firedOf = (plan: TickPlan) => plan.ticks.filter((tick) => tick.state === 'fired').length;

  /** Plans on from where the part before ended, until nothing is due. */
  function parts(from: Date, now: Date, plan: (next: Date) => TickPlan): TickPlan[] {
    const made: TickPlan[] = [];
    for (let next = from; next <= now; ) {
      const part = plan(next);
      made.push(part);
      next = part.nextDueAt;
    }
    return made;
  }

  it('takes no more instants than it may, and together they are the plan', () => {
    fc.assert(
      fc.property(rules, start, gap, most, (plan, from, wait, n) => {
        const now = new Date(from.getTime() + wait);
        const made = parts(from, now, (next) => planTicks(plan, next, now, n));
        const whole = planTicks(plan, from, now);
        expect(made.flatMap((part) => part.ticks)).toEqual(whole.ticks);
        expect(made.at(-1)?.nextDueAt).toEqual(whole.nextDueAt);
        expect(made.slice(0, -1).every((part) => part.ticks.length === n)).toBe(true);
        expect(made.at(-1)?.ticks.length).toBeLessThanOrEqual(n);
      }),
      { numRuns: 40 },
    );
  });

  it('fires no more than it may when it is cut, and together they are the plan', () => {
    fc.assert(
      fc.property(rules, start, gap, most, (any, from, wait, n) => {
        const plan: TickRules = { ...any, misfire: 'all', paused: false };
        const now = new Date(from.getTime() + wait);
        const made = parts(from, now, (next) => cutPlan(planTicks(plan, next, now), n));
        const whole = planTicks(plan, from, now);
        expect(made.flatMap((part) => part.ticks)).toEqual(whole.ticks);
        expect(made.at(-1)?.nextDueAt).toEqual(whole.nextDueAt);
        expect(made.slice(0, -1).every((part) => firedOf(part) === n)).toBe(true);
        expect(made.map(firedOf).every((fired) => fired <= n)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('is cut before the first that fires too many, and what does not fire stays with it', () => {
    const tick = (hour: number, state: PlannedTick['state']): PlannedTick => ({
      dueAt: new Date(Date.UTC(2026, 4, 2, hour)),
      state,
      reason: null,
      latenessMs: 0,
    });
    const ticks = [tick(1, 'missed'), tick(2, 'fired'), tick(3, 'skipped'), tick(4, 'fired'), tick(5, 'fired')];
    const plan: TickPlan = { ticks, nextDueAt: new Date('2026-05-02T06:00:00Z') };
    expect(cutPlan(plan, 1)).toEqual({ ticks: ticks.slice(0, 3), nextDueAt: new Date('2026-05-02T04:00:00Z') });
    expect(cutPlan(plan, 2)).toEqual({ ticks: ticks.slice(0, 4), nextDueAt: new Date('2026-05-02T05:00:00Z') });
    expect(cutPlan(plan, 3)).toEqual(plan);
  });
});
