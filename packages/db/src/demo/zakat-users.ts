import type { FieldRef } from '../crypto/index.ts';
import { addDays, localDate } from './gym-calendar.ts';
import { createRandom, type Random } from './random.ts';

/** Minor units, with the place that its envelope belongs to. */
export interface DemoAmount {
  readonly ref: FieldRef;
  readonly minor: number;
}

export interface DemoZakatUser {
  readonly tenantId: string;
  readonly slug: string;
  readonly name: string;
  readonly zone: string;
  readonly currency: string;
  readonly dayOffset: number;
  readonly snapshots: readonly DemoSnapshot[];
  readonly payments: readonly DemoPayment[];
  readonly cache: readonly DemoCacheEntry[];
}

interface DemoSnapshot {
  readonly id: string;
  readonly reference: string;
  readonly date: string;
  readonly finalised: boolean;
  readonly reachesNisab: boolean;
  readonly wealth: DemoAmount;
  readonly nisab: DemoAmount;
  readonly zakatDue: DemoAmount;
  readonly changedAt: string;
}

interface DemoPayment {
  readonly id: string;
  readonly snapshotId: string;
  readonly reference: string;
  readonly paidOn: string;
  readonly amount: DemoAmount;
}

interface DemoCacheEntry {
  readonly id: string;
  readonly metric: string;
  readonly startsOn: string;
  readonly endsOn: string;
  readonly value: DemoAmount;
  readonly computedAt: string;
}

export interface ZakatUserPlan {
  readonly tenantId: string;
  readonly slug: string;
  readonly seed: number;
  readonly endDate: Date;
}

/** Nisab is the price of 595 g of silver: about 480 USD, and what that is elsewhere. */
const PLACES = [
  ['Asia/Riyadh', 'SAR', 180_000],
  ['Asia/Kuala_Lumpur', 'MYR', 210_000],
  ['Asia/Karachi', 'PKR', 13_500_000],
  ['Africa/Cairo', 'EGP', 2_300_000],
  ['Europe/Istanbul', 'TRY', 1_700_000],
  ['Europe/London', 'GBP', 38_000],
  ['Europe/Berlin', 'EUR', 44_000],
  ['America/New_York', 'USD', 48_000],
] as const;
const METRICS = ['wealth-trend', 'zakat-trend', 'payment-consistency', 'asset-composition', 'year-over-year'] as const;
/** A lunar year, about: snapshots are taken on the anniversary of the one before. */
const LUNAR_YEAR_DAYS = 354;
const HOUR_MS = 3_600_000;
const ID_KIND = { snapshot: '1', payment: '2', cache: '3' } as const;

/** One user: a snapshot a lunar year, most of them paid, a tenth with a draft; cache entries of which six in ten are older than a day. */
export function planZakatUser(plan: ZakatUserPlan): DemoZakatUser {
  const random = createRandom(`${plan.seed}:${plan.slug}:zakat`);
  const [zone, currency, nisab] = random.weighted(PLACES.map((place) => [place, 1] as const));
  const today = localDate(plan.endDate, zone);
  const user = { ...plan, nisab, today };
  const snapshots = planSnapshots(user, random);
  return {
    tenantId: plan.tenantId,
    slug: plan.slug,
    name: `User ${plan.slug.slice(-5)}`,
    zone,
    currency,
    dayOffset: random.weighted([
      [0, 80],
      [-1, 12],
      [1, 6],
      [-2, 1],
      [2, 1],
    ]),
    snapshots,
    payments: planPayments(user, snapshots, random),
    cache: planCache(user, random),
  };
}

type UserInPlace = ZakatUserPlan & { readonly nisab: number; readonly today: string };

function planSnapshots(user: UserInPlace, random: Random): DemoSnapshot[] {
  const years = random.between(1, 4);
  const latest = random.between(3, LUNAR_YEAR_DAYS + 20);
  const base = Math.round(user.nisab * 10 ** (random.next() * 2.2 - 0.5));
  const snapshots = Array.from({ length: years }, (_, back) => {
    const daysAgo = latest + back * LUNAR_YEAR_DAYS;
    return planSnapshot(user, random, { index: back, daysAgo, base, finalised: true });
  });
  if (random.chance(0.1)) {
    snapshots.push(planSnapshot(user, random, { index: years, daysAgo: 1, base, finalised: false }));
  }
  return snapshots;
}

function planSnapshot(
  user: UserInPlace,
  random: Random,
  of: { readonly index: number; readonly daysAgo: number; readonly base: number; readonly finalised: boolean },
): DemoSnapshot {
  const id = rowId(user, 'snapshot', of.index);
  const minor = Math.round(of.base * (0.8 + 0.4 * random.next()));
  const reachesNisab = minor >= user.nisab;
  const amount = (column: string, value: number): DemoAmount => ({
    ref: { tenantId: user.tenantId, place: `zakat.snapshots.${column}`, row: id },
    minor: value,
  });
  return {
    id,
    reference: `S-${of.index + 1}`,
    date: addDays(user.today, -of.daysAgo),
    finalised: of.finalised,
    reachesNisab,
    wealth: amount('wealth_enc', minor),
    nisab: amount('nisab_enc', user.nisab),
    // A fortieth of it all.
    zakatDue: amount('zakat_due_enc', reachesNisab ? Math.round(minor / 40) : 0),
    changedAt: new Date(user.endDate.getTime() - of.daysAgo * 24 * HOUR_MS).toISOString(),
  };
}

function planPayments(user: UserInPlace, snapshots: readonly DemoSnapshot[], random: Random): DemoPayment[] {
  const payments: DemoPayment[] = [];
  for (const snapshot of snapshots) {
    if (!snapshot.finalised || snapshot.zakatDue.minor === 0) continue;
    const share = random.weighted([
      [1, 55],
      [0.5, 20],
      [0.25, 10],
      [0, 10],
      [1.2, 5],
    ]);
    const parts = share === 0 ? 0 : random.between(1, 4);
    for (let part = 0; part < parts; part++) {
      const index = payments.length;
      const id = rowId(user, 'payment', index);
      payments.push({
        id,
        snapshotId: snapshot.id,
        reference: `P-${index + 1}`,
        paidOn: earlier(addDays(snapshot.date, 2 + part * 20), user.today),
        amount: {
          ref: { tenantId: user.tenantId, place: 'zakat.payments.amount_enc', row: id },
          minor: partOf(Math.round(snapshot.zakatDue.minor * share), parts, part),
        },
      });
    }
  }
  return payments;
}

/** Equal parts, the last with what is left. */
function partOf(total: number, parts: number, part: number): number {
  const each = Math.floor(total / parts);
  return part === parts - 1 ? total - each * (parts - 1) : each;
}

function planCache(user: UserInPlace, random: Random): DemoCacheEntry[] {
  const fresh = random.between(6, 10);
  return Array.from({ length: 20 }, (_, index) => {
    const id = rowId(user, 'cache', index);
    const ageHours = index < fresh ? random.next() * 20 : 30 + random.next() * 200;
    return {
      id,
      metric: METRICS[index % METRICS.length] ?? METRICS[0],
      startsOn: addDays(user.today, -365 - index),
      endsOn: addDays(user.today, -index),
      value: {
        ref: { tenantId: user.tenantId, place: 'zakat.analytics_metrics.value_enc', row: id },
        minor: random.between(1_000, 9_000_000),
      },
      computedAt: new Date(user.endDate.getTime() - ageHours * HOUR_MS).toISOString(),
    };
  });
}

/** As the gyms' rows: version 8 (RFC 9562: free for own schemes), rising with the row's number. */
function rowId(user: ZakatUserPlan, kind: keyof typeof ID_KIND, row: number): string {
  return `${user.tenantId.slice(0, 8)}-${ID_KIND[kind]}000-8000-8000-${row.toString(16).padStart(12, '0')}`;
}

const earlier = (one: string, other: string) => (one < other ? one : other);
