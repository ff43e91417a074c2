const DAY_MS = 86_400_000;

export interface DemoDay {
  /** `2026-11-20`: the local date, first part of a timestamp. */
  readonly date: string;
  /** `+05:30`: what the gym's clocks are ahead of UTC at noon of that day. */
  readonly offset: string;
  /** 0 is Sunday. */
  readonly weekday: number;
  /** Share of the usual attendance: 0 where the gym is closed. */
  readonly openness: number;
}

/** The last `days` complete local days before `now`, oldest first. */
export function demoCalendar(now: Date, days: number, zone: string): DemoDay[] {
  const today = Date.parse(`${localDate(now, zone)}T00:00:00Z`);
  const offsetAt = offsetFormat(zone);
  return Array.from({ length: days }, (_, index) => {
    const midnightUtc = today - (days - index) * DAY_MS;
    const day = new Date(midnightUtc);
    const date = day.toISOString().slice(0, 10);
    // Noon is after every change of clocks, and classes are in the day: one offset a day is right for all of its visits.
    return {
      date,
      offset: offsetAt(new Date(midnightUtc + DAY_MS / 2)),
      weekday: day.getUTCDay(),
      openness: openness(date),
    };
  });
}

export function localDate(instant: Date, zone: string): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone, dateStyle: 'short' }).format(instant);
}

/** `2026-11-20` moved by whole days. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

function offsetFormat(zone: string): (instant: Date) => string {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
  return (instant) => {
    const name = format.formatToParts(instant).find((part) => part.type === 'timeZoneName')?.value ?? 'GMT';
    return name === 'GMT' ? '+00:00' : name.replace('GMT', '');
  };
}

function openness(date: string): number {
  const monthDay = date.slice(5);
  if (monthDay === '12-25' || monthDay === '01-01') return 0;
  if (monthDay >= '12-23' && monthDay <= '12-31') return 0.35;
  // The January rush, and August when people are away.
  if (monthDay <= '01-31') return 1.1;
  if (monthDay.startsWith('08')) return 0.85;
  return 1;
}
