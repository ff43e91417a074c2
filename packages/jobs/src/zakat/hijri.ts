/**
 * Umm al-Qura, the civil calendar of Saudi Arabia, from the runtime's own `islamic-umalqura`, read once into a table of month starts: Intl
 * takes 5 µs a date, the table none to speak of. That is the table of the authority itself (KACST); hijri.test.ts compares it day by day
 * with other libraries, and docs/systems/zakat.md says where they differ and why this one holds.
 */
export interface HijriDate {
  readonly year: number;
  /** 1 Muharram to 12 Dhu al-Hijjah. */
  readonly month: number;
  readonly day: number;
}

export const FIRST_HIJRI_YEAR = 1356;
export const LAST_HIJRI_YEAR = 1500;

const DAY_MS = 86_400_000;
/** 1 Muharram 1356. */
const FIRST_DAY = Date.UTC(1937, 2, 14) / DAY_MS;
const MONTHS = (LAST_HIJRI_YEAR - FIRST_HIJRI_YEAR + 1) * 12;

/** The date lies where the calendar was not checked, or does not exist in it. */
export class HijriRangeError extends Error {
  override readonly name = 'HijriRangeError';
  readonly code = 'hijri-range';
}

let starts: Int32Array | undefined;

/** First day of each month since 1 Muharram 1356, and of the month after the last, as days since 1970. */
function monthStarts(): Int32Array {
  if (starts !== undefined) return starts;
  const dayOfMonth = new Intl.DateTimeFormat('en-u-ca-islamic-umalqura-nu-latn', { timeZone: 'UTC', day: 'numeric' });
  const read = new Int32Array(MONTHS + 1);
  read[0] = FIRST_DAY;
  for (let month = 0, day = FIRST_DAY; month < MONTHS; month++) {
    // A month has 29 or 30 days.
    day += dayOfMonth.format((day + 29) * DAY_MS) === '1' ? 29 : 30;
    read[month + 1] = day;
  }
  starts = read;
  return read;
}

/** Days since 1970 of an ISO date. */
export function dayNumber(isoDate: string): number {
  return Math.round(Date.parse(`${isoDate}T00:00:00Z`) / DAY_MS);
}

export function isoDate(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/**
 * `offset`: days that the user's calendar is ahead of Umm al-Qura.
 * Errors: `HijriRangeError` outside 1356–1500 AH (14 March 1937 to 16 November 2077).
 */
export function toHijri(day: number, offset = 0): HijriDate {
  const table = monthStarts();
  const shifted = day + offset;
  if (!(shifted >= FIRST_DAY && shifted < at(table, MONTHS))) {
    throw new HijriRangeError(
      `no Hijri date for ${Number.isFinite(day) ? isoDate(day) : 'this date'}: the calendar is known from 1937-03-14 to 2077-11-16, correct the date`,
    );
  }
  // The mean month is 29.53 days long and the table never more than two days off it.
  let month = Math.min(MONTHS - 1, Math.floor((shifted - FIRST_DAY) / 29.530588));
  while (at(table, month) > shifted) month--;
  while (at(table, month + 1) <= shifted) month++;
  return {
    year: FIRST_HIJRI_YEAR + Math.floor(month / 12),
    month: (month % 12) + 1,
    day: shifted - at(table, month) + 1,
  };
}

/** Days since 1970. Errors: `HijriRangeError` for a date outside the calendar, or that it does not have. */
export function fromHijri(date: HijriDate, offset = 0): number {
  if (date.day < 1 || date.day > hijriMonthLength(date.year, date.month)) {
    throw new HijriRangeError(`no day ${date.day} in month ${date.month} of ${date.year} AH: expected 1 to 29 or 30`);
  }
  return at(monthStarts(), monthIndex(date.year, date.month)) + date.day - 1 - offset;
}

/** 29 or 30. Errors: `HijriRangeError`. */
export function hijriMonthLength(year: number, month: number): number {
  const index = monthIndex(year, month);
  const table = monthStarts();
  return at(table, index + 1) - at(table, index);
}

function monthIndex(year: number, month: number): number {
  if (year < FIRST_HIJRI_YEAR || year > LAST_HIJRI_YEAR || month < 1 || month > 12) {
    throw new HijriRangeError(
      `no month ${month} of ${year} AH: the calendar is known from ${FIRST_HIJRI_YEAR} to ${LAST_HIJRI_YEAR} AH, correct the date`,
    );
  }
  return (year - FIRST_HIJRI_YEAR) * 12 + month - 1;
}

function at(table: Int32Array, index: number): number {
  const value = table[index];
  if (value === undefined) throw new RangeError(`no month ${index} in the table`);
  return value;
}
