import type { REMINDER_PRIORITIES } from '@nightshift/db/zakat';
import { type Anniversary, nextAnniversary } from './anniversary.ts';
import { dayNumber, type HijriDate, isoDate } from './hijri.ts';

/** Reminders begin so many days before the anniversary (seed T076). */
const AHEAD_DAYS = 30;
/** SPEC 3.5, ours. */
const HIGH_DAYS = 7;
const MEDIUM_DAYS = 14;

const HIJRI_MONTHS = [
  'Muharram', 'Safar', 'Rabi al-Awwal', 'Rabi al-Thani', 'Jumada al-Ula', 'Jumada al-Akhirah', 'Rajab', 'Shaban', 'Ramadan', 'Shawwal',
  'Dhu al-Qadah', 'Dhu al-Hijjah',
]; // biome-ignore format: a list of names
const GREGORIAN = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeZone: 'UTC' });

/** What the rule knows of a user: dates and one bit, no amount. Dates are ISO. */
export interface LatestSnapshot {
  readonly snapshotDate: string;
  readonly reachesNisab: boolean;
  readonly dayOffset: number;
}

export interface Reminder {
  readonly anniversaryOn: string;
  /** `1448-09-01` */
  readonly hijriDate: string;
  readonly daysLeft: number;
  readonly priority: (typeof REMINDER_PRIORITIES)[number];
  readonly title: string;
  readonly message: string;
}

/** What the user is to be told today (their local date), or null when the anniversary is more than 30 days ahead. Errors: `HijriRangeError`. */
export function reminderFor(snapshot: LatestSnapshot, today: string): Reminder | null {
  const anniversary = nextAnniversary(dayNumber(snapshot.snapshotDate), dayNumber(today), snapshot.dayOffset);
  const { daysLeft, hijri } = anniversary;
  if (daysLeft > AHEAD_DAYS) return null;
  return {
    anniversaryOn: isoDate(anniversary.day),
    hijriDate: `${hijri.year}-${twoDigits(hijri.month)}-${twoDigits(hijri.day)}`,
    daysLeft,
    priority: daysLeft <= HIGH_DAYS ? 'high' : daysLeft <= MEDIUM_DAYS ? 'medium' : 'low',
    title: `Zakat anniversary ${inWords(daysLeft)}`,
    message: message(anniversary, snapshot.reachesNisab),
  };
}

/** Below nisab nothing is owed, so the text asks to look again and does not ask for money. */
function message({ day, hijri }: Anniversary, reachesNisab: boolean): string {
  const date = `${GREGORIAN.format(new Date(`${isoDate(day)}T00:00:00Z`))} (${words(hijri)})`;
  const ask = reachesNisab
    ? `Your zakat year ends on ${date}: take a new snapshot of your wealth and pay the zakat that is due.`
    : `A lunar year since your last snapshot ends on ${date}. It was below nisab: check whether your wealth reaches nisab now.`;
  return `${ask} The date follows the Umm al-Qura calendar; local moon sighting may differ by a day or two.`;
}

function words({ year, month, day }: HijriDate): string {
  return `${day} ${HIJRI_MONTHS[month - 1]} ${year} AH`;
}

function inWords(days: number): string {
  return days === 0 ? 'today' : days === 1 ? 'tomorrow' : `in ${days} days`;
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
