import { localDate, localInstant } from '@nightshift/engine';
import { addDays, daysBetween, isoWeekday } from './calendar-day.ts';
import type { Frequency } from './frequency.ts';

/** When a medicine is to be taken, on the user's clock. */
export interface DosePlan {
  readonly frequency: Frequency;
  /** `HH:MM`, sorted, each once. */
  readonly times: readonly string[];
  /** First day, `YYYY-MM-DD`; `every_n_days` counts from it. */
  readonly startsOn: string;
  /** Last day, or null. */
  readonly endsOn: string | null;
}

export interface Dose {
  /** The local date and time that the dose belongs to: its identity, whatever the clock does. */
  readonly date: string;
  readonly time: string;
  /** Where the clock skips the time: the first minute after the gap. Where it repeats it: the first pass. */
  readonly dueAt: Date;
}

/** A dose of the longest interval is this far ahead at most. */
const LONGEST_WAIT_DAYS = 366;

/** Doses that fall due at `from` or later and at `to` at the latest, in order. */
export function dosesBetween(plan: DosePlan, zone: string, from: Date, to: Date): Dose[] {
  const doses: Dose[] = [];
  // A time that the clock skips can come due on the next local day.
  const first = addDays(localDate(from, zone), -1);
  const last = localDate(to, zone);
  for (let date = max(first, plan.startsOn); date <= last; date = addDays(date, 1)) {
    doses.push(...dosesOn(plan, zone, date).filter(({ dueAt }) => dueAt >= from && dueAt <= to));
  }
  return doses.sort((a, b) => a.dueAt.getTime() - b.dueAt.getTime());
}

/** The first dose that falls due after this instant, or null when none will. */
export function nextDose(plan: DosePlan, zone: string, after: Date): Dose | null {
  if (plan.times.length === 0 || plan.frequency.kind === 'as_needed') return null;
  const from = max(addDays(localDate(after, zone), -1), plan.startsOn);
  for (let ahead = 0; ahead <= LONGEST_WAIT_DAYS + 1; ahead++) {
    const date = addDays(from, ahead);
    if (plan.endsOn !== null && date > plan.endsOn) return null;
    const [next] = dosesOn(plan, zone, date)
      .filter(({ dueAt }) => dueAt > after)
      .sort((a, b) => a.dueAt.getTime() - b.dueAt.getTime());
    if (next !== undefined) return next;
  }
  return null;
}

function dosesOn(plan: DosePlan, zone: string, date: string): Dose[] {
  if (!isDoseDay(plan, date)) return [];
  return plan.times.map((time) => ({ date, time, dueAt: localInstant(date, time, zone) }));
}

export function isDoseDay({ frequency, startsOn, endsOn }: DosePlan, date: string): boolean {
  if (date < startsOn || (endsOn !== null && date > endsOn)) return false;
  switch (frequency.kind) {
    case 'daily':
      return true;
    case 'as_needed':
      return false;
    case 'weekdays':
      return frequency.days.includes(isoWeekday(date));
    case 'every_n_days':
      return daysBetween(startsOn, date) % frequency.n === 0;
    default:
      return frequency satisfies never;
  }
}

function max(a: string, b: string): string {
  return a > b ? a : b;
}
