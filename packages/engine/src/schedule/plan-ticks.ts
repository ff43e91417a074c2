import { type DstRule, localDate, nextInstant } from './cron.ts';

/** What a schedule says about instants that have passed. */
export interface TickRules {
  readonly cron: string;
  readonly zone: string;
  readonly dst?: DstRule;
  readonly misfire: 'skip' | 'latest' | 'all';
  /** Longest lateness that is still caught up, ms; null: any. */
  readonly misfireWithinMs: number | null;
  /** Catch up only on the instant's own local day. */
  readonly misfireSameDay: boolean;
  readonly paused: boolean;
}

export interface PlannedTick {
  readonly dueAt: Date;
  readonly state: 'fired' | 'skipped' | 'missed';
  readonly reason: string | null;
  readonly latenessMs: number;
}

export interface TickPlan {
  readonly ticks: readonly PlannedTick[];
  readonly nextDueAt: Date;
}

/**
 * An instant seen sooner than this has not been missed, a loop slept or a worker restarted: it fires under every misfire policy. A minute,
 * so that a schedule of every minute never has two of them, and one of every second is caught up after a short stop.
 */
export const ON_TIME_MS = 60_000;
/** Instants of one schedule in one transaction; the rest follows in the next. */
export const TICKS_A_PASS = 2_000;

/** Every instant from `nextDueAt` up to now, with what becomes of it: none is left out, so that none is missed without a trace. */
export function planTicks(rules: TickRules, nextDueAt: Date, now: Date, most = TICKS_A_PASS): TickPlan {
  const instants: Date[] = [];
  let next = nextDueAt;
  while (next <= now && instants.length < most) {
    instants.push(next);
    next = nextInstant(rules.cron, rules.zone, next, rules.dst);
  }
  const complete = next > now;
  const ticks = instants.map((dueAt, i) => judgeInstant(rules, dueAt, now, complete && i === instants.length - 1));
  return { ticks, nextDueAt: next };
}

function judgeInstant(rules: TickRules, dueAt: Date, now: Date, isLatest: boolean): PlannedTick {
  const latenessMs = now.getTime() - dueAt.getTime();
  const tick = (state: PlannedTick['state'], reason: string | null): PlannedTick => ({
    dueAt,
    state,
    reason,
    latenessMs,
  });
  if (rules.paused) return tick('skipped', 'paused');
  const onTime = isOnTime({ latenessMs });
  if (rules.misfire === 'skip' && !onTime) return tick('missed', 'passed while nothing could fire it; policy skip');
  if (rules.misfire === 'latest' && !onTime && !isLatest)
    return tick('missed', 'passed while nothing could fire it; a later one stands for it');
  if (rules.misfireSameDay && localDate(dueAt, rules.zone) !== localDate(now, rules.zone)) {
    return tick('missed', 'its local day is over');
  }
  if (rules.misfireWithinMs !== null && latenessMs > rules.misfireWithinMs) {
    return tick('missed', `more than ${rules.misfireWithinMs / 60_000} min late`);
  }
  return tick('fired', null);
}

/** The same plan up to the instant before its `most` + 1st that fires; the rest follows in the next transaction. */
export function cutPlan(plan: TickPlan, most: number): TickPlan {
  let fired = 0;
  const at = plan.ticks.findIndex((tick) => tick.state === 'fired' && ++fired > most);
  const rest = plan.ticks[at];
  return rest === undefined ? plan : { ticks: plan.ticks.slice(0, at), nextDueAt: rest.dueAt };
}

export function isOnTime(tick: Pick<PlannedTick, 'latenessMs'>): boolean {
  return tick.latenessMs < ON_TIME_MS;
}
