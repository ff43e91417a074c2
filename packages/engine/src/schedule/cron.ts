import { CronExpressionParser } from 'cron-parser';

/** Why a five-field cron expression cannot be used, or null. Six fields (seconds) are for operators alone, see `cronProblem6`. */
export function cronProblem(cron: string, fields: 5 | 6 = 5): string | null {
  const count = cron.trim().split(/\s+/).length;
  if (cron.trim().startsWith('@')) return `expected ${fields} fields, such as '0 2 * * *', not a nickname`;
  if (count !== fields)
    return `expected ${fields} fields, such as '${fields === 5 ? '0 2 * * *' : '*/5 * * * * *'}', got ${count}`;
  try {
    nextInstant(cron, 'UTC', new Date());
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

export function zoneProblem(zone: string): string | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return null;
  } catch {
    return `expected an IANA time zone, such as 'UTC' or 'Asia/Kolkata'`;
  }
}

/**
 * The first instant of the cron after `after`, in the zone. An hour that a clock change repeats fires once, at its first pass; a time that
 * it skips fires at the first valid minute after the gap.
 */
export function nextInstant(cron: string, zone: string, after: Date): Date {
  return CronExpressionParser.parse(cron, { currentDate: after, tz: zone }).next().toDate();
}

/** Date (`YYYY-MM-DD`) of an instant in a zone. */
export function localDate(instant: Date, zone: string): string {
  // sv-SE writes ISO dates.
  let format = DATE_FORMATS.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' });
    DATE_FORMATS.set(zone, format);
  }
  return format.format(instant);
}

const DATE_FORMATS = new Map<string, Intl.DateTimeFormat>();
