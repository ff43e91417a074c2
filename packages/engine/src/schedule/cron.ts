import { cronFields, nextLocalTime } from './cron-fields.ts';
import { nextChange, offsetAt, zoneChanges } from './zone-changes.ts';

/**
 * What becomes of a local time that the clock skips or repeats, for a cron of fixed hours. `once`: a skipped time fires at the first instant
 * after the gap, a repeated one at its first pass. `skip`: a skipped one does not fire, a repeated one at its first pass. `twice`: a skipped
 * one as with `once`, a repeated one at both passes. A cron of every hour follows real time under each of them.
 */
export type DstRule = 'skip' | 'once' | 'twice';
export const DST_RULES = ['skip', 'once', 'twice'] as const satisfies readonly DstRule[];

/** How a change of the clock touched an instant. */
export type DstMark = 'gap-moved' | 'repeated-first' | 'repeated-second' | 'skipped-gap';

export interface CronInstant {
  /** For a skipped time that does not fire: when it would have. */
  readonly dueAt: Date;
  readonly fires: boolean;
  /** `YYYY-MM-DDTHH:MM:SS` on the zone's clocks; the missing time where none shows it. */
  readonly localTime: string;
  readonly dst: DstMark | null;
}

/** A preview goes no further: a thousand leap days would be 4,000 years. */
const LONGEST_PREVIEW_MS = 50 * 366 * 86_400_000;
const LONGEST_REPEAT_MS = 86_400_000;

/** Why a cron expression of so many fields cannot be used, or null. Six fields (seconds first) are for operators alone. */
export function cronProblem(cron: string, fields: 5 | 6 = 5): string | null {
  const text = cron.trim();
  const count = text.split(/\s+/).length;
  if (text.startsWith('@')) return `expected ${fields} fields, such as '0 2 * * *', not a nickname`;
  if (count !== fields)
    return `expected ${fields} fields, such as '${fields === 5 ? '0 2 * * *' : '*/5 * * * * *'}', got ${count}`;
  // `H` would be another time in each process, and a weekday's `L` is read in two ways.
  if (/(^|[\s,])H|\dL/i.test(text))
    return `expected numbers, names, '*', ',', '-', '/', 'L' (day of month) and '#', got '${text}'`;
  try {
    const found = nextLocalTime(cronFields(text), Date.now());
    return found === null ? 'it names a day that never comes' : null;
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

/** The first instant of the cron after `after`, in the zone, under the rule. Errors: an expression that `cronProblem` names. */
export function nextInstant(cron: string, zone: string, after: Date, dst: DstRule = 'once'): Date {
  for (let from = firstSecondAfter(after); ; ) {
    const step = nextStep(cron, zone, from, dst);
    if (step.fires) return new Date(step.at);
    from = step.at;
  }
}

/** The next `count` instants within 50 years after `after` (at least one), and the skipped times among them, each with how a change of the clock touched it. */
export function cronInstants(cron: string, zone: string, after: Date, count: number, dst: DstRule): CronInstant[] {
  const found: CronInstant[] = [];
  let from = firstSecondAfter(after);
  while (found.length < count) {
    const step = nextStep(cron, zone, from, dst);
    if (found.length > 0 && step.at - after.getTime() > LONGEST_PREVIEW_MS) break;
    const mark = step.missing === null ? repeatMark(zone, step.at) : step.fires ? 'gap-moved' : 'skipped-gap';
    const local = step.missing === null || step.fires ? step.at + offsetAt(zone, step.at) : step.missing;
    const localTime = new Date(local).toISOString().slice(0, 19);
    found.push({ dueAt: new Date(step.at), fires: step.fires, localTime, dst: mark });
    from = step.fires ? step.at + 1_000 : step.at;
  }
  return found;
}

/**
 * When the zone's clock first shows this local time (`2026-03-29`, `02:30`) or, where it skips it, the first time after it: the rule `once`.
 */
export function localInstant(date: string, time: string, zone: string): Date {
  const local = Date.parse(`${date}T${time}:00Z`);
  // No zone is 15 hours ahead of UTC: the clock shows an earlier time then.
  let from = local - 15 * 3_600_000;
  for (let offset = offsetAt(zone, from); ; ) {
    const change = nextChange(zone, from, local - offset);
    if (change === null) return new Date(local - offset);
    if (local < change.at + change.after) return new Date(change.at);
    from = change.at;
    offset = change.after;
  }
}

interface Step {
  /** ms */
  readonly at: number;
  readonly fires: boolean;
  /** The local time that the clock skips, as if it were UTC, ms. */
  readonly missing: number | null;
}

/** Goes from one change of the clock to the next: between two of them local time is UTC and an offset. */
function nextStep(cron: string, zone: string, start: number, dst: DstRule): Step {
  const fields = cronFields(cron);
  const followsRealTime = fields.hours.length === 24;
  for (let from = start; ; ) {
    if (!followsRealTime && dst !== 'twice') from = endOfRepeat(zone, from) ?? from;
    const offset = offsetAt(zone, from);
    const local = nextLocalTime(fields, from + offset);
    if (local === null) throw new RangeError(`cron '${cron}' names a day that never comes`);
    const at = local - offset;
    const change = nextChange(zone, from, at);
    if (change === null) return { at, fires: true, missing: null };
    if (!followsRealTime && local < change.at + change.after) {
      // A time in the gap: the clock goes from `at + before` to `at + after` in no time.
      return { at: change.at, fires: dst !== 'skip', missing: local };
    }
    from = change.at;
  }
}

/** When the pass ends in which the zone's clock shows times again that it has shown before, if `at` is in one. */
function endOfRepeat(zone: string, at: number): number | null {
  const change = zoneChanges(zone, at - LONGEST_REPEAT_MS, at + 1).at(-1);
  if (change === undefined) return null;
  const end = change.at + change.before - change.after;
  return at < end ? end : null;
}

function repeatMark(zone: string, at: number): DstMark | null {
  if (endOfRepeat(zone, at) !== null) return 'repeated-second';
  const change = nextChange(zone, at, at + LONGEST_REPEAT_MS);
  return change !== null && at >= change.at - (change.before - change.after) ? 'repeated-first' : null;
}

function firstSecondAfter(after: Date): number {
  return Math.floor(after.getTime() / 1_000) * 1_000 + 1_000;
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
