import type { Random } from './random.ts';

type DemoCourse = 'steady' | 'new' | 'late' | 'lost' | 'unsuppressed' | 'prep' | 'waiting' | 'died' | 'transferred';

export interface DemoVisit {
  readonly daysAgo: number;
  /** Days of drugs given; null: seen, nothing dispensed. */
  readonly supplied: number | null;
  readonly appointmentInDays: number | null;
}

export interface DemoLab {
  readonly test: 'CD4' | 'VL';
  readonly drawnDaysAgo: number;
  /** Null: not there yet. */
  readonly result: {
    readonly daysAgo: number;
    readonly comparator: '<' | '=' | '>' | 'TND';
    readonly value: number | null;
  } | null;
}

/** Everything about one client. Days count back from today, 1 and more. */
export interface DemoClient {
  readonly status: 'active' | 'transferred' | 'stopped' | 'died';
  readonly keyPopulation: string;
  readonly registeredDaysAgo: number;
  readonly vlIntervalMonths: 6 | 12;
  readonly programme: 'ART' | 'PREP' | null;
  readonly startedDaysAgo: number;
  readonly endedDaysAgo: number | null;
  /** Index of the regimen among those of the programme. */
  readonly regimen: number;
  /** Latest first. */
  readonly visits: readonly DemoVisit[];
  readonly labs: readonly DemoLab[];
}

const COURSES: readonly (readonly [DemoCourse, number])[] = [
  ['steady', 52],
  ['new', 8],
  ['late', 6],
  ['lost', 8],
  ['unsuppressed', 5],
  ['prep', 12],
  ['waiting', 2],
  ['died', 2],
  ['transferred', 5],
];
const POPULATIONS: readonly (readonly [string, number])[] = [
  ['none', 62],
  ['msm', 14],
  ['sex_worker', 11],
  ['transgender', 4],
  ['injects_drugs', 6],
  ['in_prison', 3],
];
/** Months of supply that are given at a time, in days (multi-month dispensing). */
const SUPPLIES: readonly (readonly [number, number])[] = [
  [30, 25],
  [90, 55],
  [180, 20],
];

/** `historyDays`: visits and viral loads older than this are not in the data. */
export function planClient(random: Random, historyDays: number): DemoClient {
  const course = random.weighted(COURSES);
  const supplied = random.weighted(SUPPLIES);
  const startedDaysAgo =
    course === 'new' ? random.between(10, 180) : Math.max(200, Math.round(3_000 * random.next() ** 1.5));
  const lastDaysAgo = lastVisit(course, supplied, random);
  const left = course === 'died' || course === 'transferred';
  const status =
    course === 'died'
      ? 'died'
      : left
        ? random.weighted([
            ['transferred', 4],
            ['stopped', 1],
          ] as const)
        : 'active';
  const programme = course === 'waiting' ? null : course === 'prep' ? 'PREP' : 'ART';
  const registeredDaysAgo = startedDaysAgo + random.between(0, 40);
  return {
    status,
    keyPopulation: random.weighted(POPULATIONS),
    registeredDaysAgo,
    vlIntervalMonths: random.chance(0.1) ? 6 : 12,
    programme,
    startedDaysAgo,
    endedDaysAgo: left ? Math.max(1, lastDaysAgo - random.between(1, 20)) : null,
    regimen: random.weighted([
      [0, 8],
      [1, 2],
    ] as const),
    visits: visits(random, { supplied, lastDaysAgo, course, until: Math.min(startedDaysAgo, historyDays) }),
    labs: programme === 'ART' ? labs(random, course, startedDaysAgo, lastDaysAgo, historyDays) : [],
  };
}

function lastVisit(course: DemoCourse, supplied: number, random: Random): number {
  switch (course) {
    case 'steady':
    case 'unsuppressed':
    case 'prep':
      return random.between(1, supplied);
    case 'new':
      return random.between(1, Math.min(supplied, 9));
    case 'late':
      return supplied + random.between(1, 27);
    case 'lost':
      return supplied + random.between(30, 300);
    case 'waiting':
      return random.between(1, 120);
    case 'died':
    case 'transferred':
      return random.between(25, 400);
    default:
      return course satisfies never;
  }
}

function visits(
  random: Random,
  plan: { supplied: number; lastDaysAgo: number; course: DemoCourse; until: number },
): DemoVisit[] {
  const made: DemoVisit[] = [];
  for (let daysAgo = plan.lastDaysAgo; daysAgo <= Math.max(plan.until, plan.lastDaysAgo); ) {
    const given = plan.course === 'waiting' ? null : plan.supplied;
    made.push({ daysAgo, supplied: given, appointmentInDays: given ?? (random.chance(0.5) ? 90 : null) });
    daysAgo += Math.max(14, plan.supplied + random.between(-6, 4));
  }
  return made;
}

function labs(
  random: Random,
  course: DemoCourse,
  startedDaysAgo: number,
  lastDaysAgo: number,
  historyDays: number,
): DemoLab[] {
  const made: DemoLab[] = [];
  if (random.chance(0.85)) made.push(cd4(random, startedDaysAgo + random.between(0, 20), 40, 520));
  if (random.chance(0.3)) made.push(viralLoad(random, startedDaysAgo + random.between(0, 20), true));
  for (let sinceStart = 183; sinceStart < startedDaysAgo - lastDaysAgo; sinceStart += sinceStart < 365 ? 182 : 365) {
    const drawn = startedDaysAgo - sinceStart - random.between(-20, 15);
    if (drawn < 1 || drawn > historyDays || random.chance(0.08)) continue;
    const recent = drawn < 400;
    made.push(viralLoad(random, drawn, recent && course === 'unsuppressed'));
    if (random.chance(0.3)) made.push(cd4(random, drawn, 200, 900));
  }
  // Drawn at the last visit, and the lab has not answered.
  if (lastDaysAgo < 45 && random.chance(0.06)) made.push({ test: 'VL', drawnDaysAgo: lastDaysAgo, result: null });
  return made;
}

function cd4(random: Random, drawnDaysAgo: number, low: number, high: number): DemoLab {
  const daysAgo = Math.max(1, drawnDaysAgo - random.between(1, 5));
  return { test: 'CD4', drawnDaysAgo, result: { daysAgo, comparator: '=', value: random.between(low, high) } };
}

function viralLoad(random: Random, drawnDaysAgo: number, high: boolean): DemoLab {
  const daysAgo = drawnDaysAgo - random.between(5, 20);
  if (daysAgo < 1) return { test: 'VL', drawnDaysAgo, result: null };
  if (high || random.chance(0.05)) {
    const value = random.between(1_001, 250_000);
    return { test: 'VL', drawnDaysAgo, result: { daysAgo, comparator: '=', value } };
  }
  const kind = random.weighted([
    ['TND', 5],
    ['<', 3],
    ['=', 2],
  ] as const);
  const value = kind === 'TND' ? null : kind === '<' ? 20 : random.between(21, 1_000);
  return { test: 'VL', drawnDaysAgo, result: { daysAgo, comparator: kind, value } };
}
