import type { Metered } from './cpu.ts';
import type { SystemName } from './system.ts';

/** What one measure found for one system in one round. */
export interface Sample {
  readonly measure: string;
  readonly system: SystemName;
  readonly round: number;
  readonly figures: Readonly<Record<string, number>>;
  /** Share of the machine that others used meanwhile, 0 to 1. */
  readonly otherLoad: number;
}

export type Measured = Pick<Sample, 'figures' | 'otherLoad'>;

/** Above this a round says little. */
export const MUCH_OTHER_LOAD = 0.2;

/** CPU seconds a thousand jobs, all processes and each part. */
export function cpuFigures(metered: Metered, jobs: number): Record<string, number> {
  const { producer, worker, redis, postgres } = metered.cpu;
  const each = (seconds: number) => (seconds / jobs) * 1_000;
  return {
    cpu: each(producer + worker + redis + postgres),
    cpuProducer: each(producer),
    cpuWorker: each(worker),
    cpuRedis: each(redis),
    cpuPostgres: each(postgres),
  };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

/** The medians of a measure and system over its rounds. Rounds disturbed by others are left out where two clean ones remain. */
export interface Cell {
  readonly figures: Readonly<Record<string, number>>;
  readonly least: Readonly<Record<string, number>>;
  readonly most: Readonly<Record<string, number>>;
  readonly rounds: number;
}

export function cellOf(samples: readonly Sample[]): Cell {
  const clean = samples.filter(isClean);
  const kept = clean.length >= 2 ? clean : samples;
  const names = new Set(kept.flatMap((sample) => Object.keys(sample.figures)));
  const over = (reduce: (values: number[]) => number) =>
    Object.fromEntries([...names].map((name) => [name, reduce(kept.flatMap((sample) => sample.figures[name] ?? []))]));
  return {
    figures: over(median),
    least: over((values) => Math.min(...values)),
    most: over((values) => Math.max(...values)),
    rounds: kept.length,
  };
}

/**
 * How many times as fast one measure was as another, by the same system: the median of the rounds' own ratios, since in a round the two ran
 * one behind the other. NaN where no round has both. Rounds disturbed by others are left out as in `cellOf`.
 */
export function ratioByRound(samples: readonly Sample[], system: SystemName, measure: string, to: string): number {
  const pairs = samples
    .filter((one) => one.system === system && one.measure === measure)
    .flatMap((one) => {
      const other = samples.find((s) => s.system === system && s.measure === to && s.round === one.round);
      return other === undefined ? [] : [{ clean: isClean(one) && isClean(other), ratio: rateOf(one) / rateOf(other) }];
    });
  const clean = pairs.filter((pair) => pair.clean);
  return median((clean.length >= 2 ? clean : pairs).map(({ ratio }) => ratio));
}

const rateOf = (sample: Sample) => sample.figures.rate ?? Number.NaN;

function isClean({ otherLoad }: Sample): boolean {
  return otherLoad <= MUCH_OTHER_LOAD;
}
