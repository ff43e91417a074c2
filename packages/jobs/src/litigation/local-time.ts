import { localDate } from '@nightshift/engine';

const formats = new Map<string, Intl.DateTimeFormat>();

function partsOf(at: Date, zone: string): Record<string, string> {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, weekday: 'short', year: 'numeric', month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit', hour12: true,
    }); // biome-ignore format: options
    formats.set(zone, format);
  }
  return Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
}

/** `10:30 AM` on the clock of this zone. */
export function clockTime(at: Date, zone: string): string {
  const { hour, minute, dayPeriod } = partsOf(at, zone);
  return `${hour}:${minute} ${dayPeriod}`;
}

/** `Mon, 23 Nov 2026` on the calendar of this zone. */
export function calendarDay(at: Date, zone: string): string {
  const { weekday, day, month, year } = partsOf(at, zone);
  return `${weekday}, ${day} ${month} ${year}`;
}

/** `Today 5:00 PM`, `Tomorrow 10:30 AM`, else the day and time: as people of this zone would say it at `now`. */
export function spokenTime(at: Date, now: Date, zone: string): string {
  const days = dayNumber(at, zone) - dayNumber(now, zone);
  const day = days === 0 ? 'Today' : days === 1 ? 'Tomorrow' : calendarDay(at, zone);
  return `${day} ${clockTime(at, zone)}`;
}

/** Days since 1970 of the local date. */
function dayNumber(at: Date, zone: string): number {
  return Date.parse(`${localDate(at, zone)}T00:00:00Z`) / 86_400_000;
}
