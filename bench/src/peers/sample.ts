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
  const clean = samples.filter((sample) => sample.otherLoad <= MUCH_OTHER_LOAD);
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
