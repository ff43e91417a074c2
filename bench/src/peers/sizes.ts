/** How much of everything a round does. */
export interface Sizes {
  /** Jobs of a no-op drain, of a drain of useful ones, of a bulk fill. */
  readonly drain: number;
  readonly update: number;
  readonly bulk: number;
  readonly singles: number;
  /** Jobs that a worker ends before anything is measured: code that is not compiled yet is another program. */
  readonly warmUp: number;
  readonly idle: number;
  readonly ratesPerSecond: readonly number[];
  readonly rateSeconds: number;
  readonly shallow: number;
  readonly shallowTimes: number;
  readonly deep: number;
  /** Jobs measured of a deep backlog. */
  readonly deepWindow: number;
  readonly flush: number;
  readonly schedules: number;
  readonly flood: number;
  readonly manyTenants: number;
  readonly runsEach: number;
}

export const FULL: Sizes = {
  drain: 100_000,
  update: 50_000,
  bulk: 200_000,
  singles: 20_000,
  // A system that takes 400 jobs at a time has compiled its code after 100 of them, not after 25.
  warmUp: 40_000,
  idle: 300,
  ratesPerSecond: [100, 500, 2_000],
  rateSeconds: 5,
  shallow: 10_000,
  shallowTimes: 5,
  deep: 1_000_000,
  deepWindow: 100_000,
  flush: 100_000,
  schedules: 10_000,
  flood: 100_000,
  manyTenants: 1_000,
  runsEach: 40,
};

/** To see that everything works; its figures say nothing. */
export const QUICK: Sizes = {
  drain: 5_000,
  update: 3_000,
  bulk: 5_000,
  singles: 1_000,
  warmUp: 500,
  idle: 30,
  ratesPerSecond: [100, 500],
  rateSeconds: 2,
  shallow: 2_000,
  shallowTimes: 2,
  deep: 30_000,
  deepWindow: 10_000,
  flush: 10_000,
  schedules: 1_000,
  flood: 10_000,
  manyTenants: 200,
  runsEach: 10,
};

/** Rows of the useful job's table: every id that a drain of useful jobs or its warm-up names. */
export function rowsNeeded(sizes: Sizes): number {
  return sizes.update + sizes.warmUp;
}
