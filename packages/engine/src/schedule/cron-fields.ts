import { CronExpressionParser } from 'cron-parser';

/** Times of day and days that a cron expression names. Values ascend; Sunday is 0. */
export interface CronFields {
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly days: ReadonlySet<number>;
  /** `L`: the last day of the month too. */
  readonly lastDay: boolean;
  readonly months: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
  /** `1#2`: only the n-th such weekday of a month; 0: each. */
  readonly nthWeekday: number;
  /** Both day fields are restricted: then either of them is enough, as in every cron. */
  readonly eitherDay: boolean;
}

const DAY_MS = 86_400_000;
/** 29 February is at most 8 years away. */
const SEARCHED_DAYS = 9 * 366;
const KEPT = 2_000;
const PARSED = new Map<string, CronFields>();

/** Errors: the parser's, for what is no cron expression of five or six fields. */
export function cronFields(cron: string): CronFields {
  const known = PARSED.get(cron);
  if (known !== undefined) return known;
  const { fields } = CronExpressionParser.parse(cron, { tz: 'UTC' });
  const numbers = (values: readonly (number | string)[]) => values.filter((value) => typeof value === 'number');
  const parsed: CronFields = {
    seconds: numbers(fields.second.values),
    minutes: numbers(fields.minute.values),
    hours: numbers(fields.hour.values),
    days: new Set(numbers(fields.dayOfMonth.values)),
    lastDay: fields.dayOfMonth.hasLastChar,
    months: new Set(numbers(fields.month.values)),
    weekdays: new Set(numbers(fields.dayOfWeek.values).map((day) => day % 7)),
    nthWeekday: fields.dayOfWeek.nthDay,
    eitherDay: !fields.dayOfMonth.isWildcard && !fields.dayOfWeek.isWildcard,
  };
  if (PARSED.size >= KEPT) PARSED.clear();
  PARSED.set(cron, parsed);
  return parsed;
}

/**
 * The first time of the cron at `from` or later on a clock that nobody ever sets: local times are written as if they were UTC, in ms.
 * Null when there is none within nine years.
 */
export function nextLocalTime(fields: CronFields, from: number): number | null {
  const start = Math.ceil(from / 1_000) * 1_000;
  let day = Math.floor(start / DAY_MS) * DAY_MS;
  for (let left = SEARCHED_DAYS; left > 0; left--, day += DAY_MS) {
    const date = new Date(day);
    if (!isDay(fields, date)) continue;
    const time = timeOfDay(fields, Math.max(0, start - day) / 1_000);
    if (time !== null) return day + time * 1_000;
  }
  return null;
}

function isDay(fields: CronFields, date: Date): boolean {
  if (!fields.months.has(date.getUTCMonth() + 1)) return false;
  const day = date.getUTCDate();
  const byDay = fields.days.has(day) || (fields.lastDay && new Date(date.getTime() + DAY_MS).getUTCDate() === 1);
  const byWeekday =
    fields.weekdays.has(date.getUTCDay()) && (fields.nthWeekday === 0 || Math.ceil(day / 7) === fields.nthWeekday);
  return fields.eitherDay ? byDay || byWeekday : byDay && byWeekday;
}

/** Seconds of the first time of day at `from` (seconds) or later, or null. */
function timeOfDay({ hours, minutes, seconds }: CronFields, from: number): number | null {
  for (const hour of hours) {
    if ((hour + 1) * 3_600 <= from) continue;
    for (const minute of minutes) {
      const base = hour * 3_600 + minute * 60;
      if (base + 60 <= from) continue;
      for (const second of seconds) if (base + second >= from) return base + second;
    }
  }
  return null;
}
