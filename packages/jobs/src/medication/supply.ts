import { addDays, daysBetween } from './calendar-day.ts';

/** What is known about a supply; days are the user's local ones. */
export interface Supply {
  /** What was there on `recordedOn`, at most three decimals. */
  readonly units: number;
  readonly recordedOn: string;
  /** At most three decimals; 0 where nobody says. */
  readonly unitsADay: number;
  /** So many days before it runs out, a refill is due. */
  readonly leadDays: number;
}

export interface SupplyOutlook {
  /** Whole days, counted from today, never below 0. */
  readonly daysLeft: number;
  readonly runOutOn: string;
  readonly refillOn: string;
}

const LONGEST_DAYS = 36_500;

/**
 * days left = floor(supply ÷ units a day), less the days since it was recorded; refill date = run-out − lead time (SPEC 3.4). Null where
 * nothing is used: it never runs out, so it is never told of.
 */
export function supplyOutlook(supply: Supply, today: string): SupplyOutlook | null {
  const days = wholeDays(supply.units, supply.unitsADay);
  if (days === null) return null;
  const runOutOn = addDays(supply.recordedOn, days);
  return {
    daysLeft: Math.max(0, daysBetween(today, runOutOn)),
    runOutOn,
    refillOn: addDays(runOutOn, -supply.leadDays),
  };
}

/** Days that so many units last; in thousandths, since 0.3 ÷ 0.1 is a little less than 3 in floating point. */
export function wholeDays(units: number, unitsADay: number): number | null {
  const perDay = Math.round(unitsADay * 1_000);
  if (perDay <= 0) return null;
  return Math.min(LONGEST_DAYS, Math.floor(Math.round(units * 1_000) / perDay));
}

/** Low: little enough that the user is told, `alertDays` before a refill is due. */
export function isLow(outlook: SupplyOutlook, leadDays: number, alertDays: number): boolean {
  return outlook.daysLeft <= leadDays + alertDays;
}

/**
 * Whether a count can only be explained by a refill: it lasts a lead time longer than what should be left. A forgotten dose or two is none.
 */
export function wasRefilled(before: Supply | null, counted: Supply): boolean {
  if (before === null) return false;
  const left = supplyOutlook({ ...before, unitsADay: counted.unitsADay }, counted.recordedOn);
  const now = supplyOutlook(counted, counted.recordedOn);
  return left !== null && now !== null && now.daysLeft - left.daysLeft >= Math.max(1, counted.leadDays);
}
