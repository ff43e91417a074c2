import { fromHijri, type HijriDate, hijriMonthLength, toHijri } from './hijri.ts';

/** A zakat year (hawl) is a lunar year: it ends on the same Hijri date a year later. */
export interface Anniversary {
  /** In the user's calendar. */
  readonly hijri: HijriDate;
  /** Days since 1970. */
  readonly day: number;
  /** 0: today. */
  readonly daysLeft: number;
}

/**
 * The first return of the snapshot's Hijri date that is neither before today nor the snapshot's own day; the 30th falls on the 29th in a month
 * of 29 days. Days are counted since 1970; `offset` is the user's (see `toHijri`).
 * Errors: `HijriRangeError`.
 */
export function nextAnniversary(snapshotDay: number, today: number, offset: number): Anniversary {
  const from = toHijri(snapshotDay, offset);
  // A year has 354 or 355 days, so this year is the one wanted or one before it.
  let year = Math.max(from.year + 1, toHijri(today, offset).year);
  for (;;) {
    const hijri = { year, month: from.month, day: Math.min(from.day, hijriMonthLength(year, from.month)) };
    const day = fromHijri(hijri, offset);
    if (day >= today) return { hijri, day, daysLeft: day - today };
    year++;
  }
}
