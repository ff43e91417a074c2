import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nextAnniversary } from './anniversary.ts';
import { BrokenAmountError, completion, parseAmount } from './completion.ts';
import { dayNumber, fromHijri, hijriMonthLength, isoDate, toHijri } from './hijri.ts';
import { reminderFor } from './reminder.ts';

const anyDay = fc.integer({ min: dayNumber('1939-01-01'), max: dayNumber('2070-12-31') });
const anyOffset = fc.integer({ min: -2, max: 2 });
const anyAmount = fc.bigInt({ min: 0n, max: 10n ** 18n - 1n });

test('the anniversary is the first return of the Hijri date from today on, and never the snapshot’s own day', () => {
  fc.assert(
    fc.property(anyDay, fc.integer({ min: -400, max: 2_000 }), anyOffset, (snapshot, later, offset) => {
      const today = Math.min(snapshot + later, dayNumber('2075-01-01'));
      const { hijri, day, daysLeft } = nextAnniversary(snapshot, today, offset);
      const from = toHijri(snapshot, offset);
      expect(daysLeft).toBe(day - today);
      expect(daysLeft).toBeGreaterThanOrEqual(0);
      expect(day - snapshot).toBeGreaterThanOrEqual(353);
      expect(toHijri(day, offset)).toEqual(hijri);
      expect(hijri).toMatchObject({
        month: from.month,
        day: Math.min(from.day, hijriMonthLength(hijri.year, from.month)),
      });
      // Nothing between: the year before is over, or is the snapshot's.
      const before = hijri.year - 1;
      const length = hijriMonthLength(before, from.month);
      const previous = fromHijri({ year: before, month: from.month, day: Math.min(from.day, length) }, offset);
      expect(previous < today || before === from.year).toBe(true);
    }),
    { numRuns: 3_000 },
  );
});

test('in any year of days each anniversary is reminded of on 31 days, and the days left count down', () => {
  fc.assert(
    fc.property(anyDay, anyOffset, fc.boolean(), (snapshot, dayOffset, reachesNisab) => {
      const latest = { snapshotDate: isoDate(snapshot), dayOffset, reachesNisab };
      const seen = new Map<string, number[]>();
      for (let day = snapshot + 1; day <= snapshot + 380; day++) {
        const reminder = reminderFor(latest, isoDate(day));
        if (reminder !== null)
          seen.set(reminder.anniversaryOn, [...(seen.get(reminder.anniversaryOn) ?? []), reminder.daysLeft]);
      }
      const [first] = seen.values();
      expect(first).toEqual(Array.from({ length: 31 }, (_, index) => 30 - index));
    }),
    { numRuns: 30 },
  );
});

test('100 percent is everything: never before, always after; more never lowers it', () => {
  fc.assert(
    fc.property(anyAmount, fc.array(anyAmount, { maxLength: 6 }), anyAmount, (due, payments, more) => {
      const { paid, percent } = completion(due, payments);
      expect(paid).toBe(payments.reduce((sum, amount) => sum + amount, 0n));
      if (due === 0n) {
        expect(percent).toBeNull();
        return;
      }
      expect(percent).toMatch(/^\d+\.\d\d$/);
      const hundredths = (text: string | null) => BigInt(text?.replace('.', '') ?? -1);
      expect(hundredths(percent) >= 10_000n).toBe(paid >= due);
      expect(hundredths(completion(due, [...payments, more]).percent) >= hundredths(percent)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test('known shares: a third rounds down, overpaid is above 100, nothing due is null', () => {
  expect(completion(300n, [100n])).toEqual({ paid: 100n, percent: '33.33' });
  expect(completion(100_000n, [99_999n])).toEqual({ paid: 99_999n, percent: '99.99' });
  expect(completion(200n, [100n, 100n])).toEqual({ paid: 200n, percent: '100.00' });
  expect(completion(200n, [500n])).toEqual({ paid: 500n, percent: '250.00' });
  expect(completion(200n, [])).toEqual({ paid: 0n, percent: '0.00' });
  expect(completion(0n, [500n])).toEqual({ paid: 500n, percent: null });
});

test('what is no amount is refused, and not quoted', () => {
  for (const text of ['', '-1', '1.50', '1e3', ' 12', '1234567890123456789', 'about 700']) {
    expect(() => parseAmount(text, 'zakat due of snapshot S'), text).toThrow(BrokenAmountError);
  }
  expect(() => parseAmount('about 700', 'zakat due of snapshot S')).toThrow(/^zakat due of snapshot S is no amount/);
  try {
    parseAmount('about 700', 'zakat due of snapshot S');
  } catch (error) {
    expect(String(error)).not.toContain('700');
  }
  expect(parseAmount('000123', 'x')).toBe(123n);
});
