import { localDate, localInstant } from '@nightshift/engine';
import { addDays } from './calendar-day.ts';

/** Part of one local day, `[startsAt, endsAt)`. */
export interface DayPart {
  readonly day: string;
  readonly startsAt: Date;
  readonly endsAt: Date;
}

/** A range cut at the zone's midnights; its first and last part may be less than a day. */
export function dayParts(start: Date, end: Date, zone: string): DayPart[] {
  const parts: DayPart[] = [];
  for (let startsAt = start; startsAt < end; ) {
    const day = localDate(startsAt, zone);
    const midnight = nextMidnight(day, startsAt, zone);
    const endsAt = midnight < end ? midnight : end;
    parts.push({ day, startsAt, endsAt });
    startsAt = endsAt;
  }
  return parts;
}

/** A day that the zone never had (it crossed the date line) begins where the one after it does. */
function nextMidnight(day: string, after: Date, zone: string): Date {
  for (let ahead = 1; ; ahead++) {
    const midnight = localInstant(addDays(day, ahead), '00:00', zone);
    if (midnight > after) return midnight;
  }
}

/** `2026-11-22` is the zone's midnight of that day; anything else is an instant with its offset. */
export function rangeEdge(text: string, zone: string): Date {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) ? localInstant(text, '00:00', zone) : new Date(text);
}
