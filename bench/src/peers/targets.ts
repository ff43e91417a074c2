import { type Cell, ratioByRound, type Sample } from './sample.ts';
import type { SystemName } from './system.ts';

/** A median of a measure and system, NaN where it was not measured. */
export type Figures = (measure: string, system: SystemName, figure: string) => number;

export interface Verdict {
  readonly claim: string;
  readonly target: string;
  readonly found: string;
  /** Null: not measured. */
  readonly met: boolean | null;
}

/** What must hold on two cores, everything on. */
export function judge(
  cells: ReadonlyMap<string, ReadonlyMap<SystemName, Cell>>,
  samples: readonly Sample[],
): Verdict[] {
  const of: Figures = (measure, system, figure) => cells.get(measure)?.get(system)?.figures[figure] ?? Number.NaN;
  const rate = (measure: string, system: SystemName) => of(measure, system, 'rate');
  const ns = 'nightshift';
  const bestUpdate = Math.max(
    ...(['bullmq', 'graphile-worker', 'pg-boss', 'bullmq-postgres'] as const)
      .map((system) => rate('update', system))
      .filter((value) => !Number.isNaN(value)),
  );
  return [
    atLeast('no-op drain, one worker, against raw BullMQ', rate('drain', ns) / rate('drain', 'bullmq'), 1.5),
    atLeast('no-op drain against graphile-worker batched', rate('drain', ns) / rate('drain', 'graphile-worker'), 1),
    atLeast('useful job against the best peer', rate('update', ns) / bestUpdate, 4),
    atMost('CPU s per 1,000 no-op runs, all processes', of('drain', ns, 'cpu'), 0.09, ' s'),
    atLeast('bulk accept against raw addBulk', rate('bulk', ns) / rate('bulk', 'bullmq'), 2.5),
    atLeast('single accept, 100 in flight, against raw add', rate('single', ns) / rate('single', 'bullmq'), 0.9),
    atLeast('single accept against pg-boss', rate('single', ns) / rate('single', 'pg-boss'), 4),
    atMost('idle latency p50 against raw BullMQ', of('idle', ns, 'p50') / of('idle', 'bullmq', 'p50'), 4, '×'),
    atMost('idle latency p99', of('idle', ns, 'p99'), 15, ' ms'),
    atLeast('1,000 tenants × 40 runs against raw BullMQ', rate('tenants', ns) / rate('tenants', 'bullmq'), 1),
    atLeast('drain under an open snapshot against without', rate('snapshot', ns) / rate('drain', ns), 0.5),
    atMost('Redis for 1,000,000 waiting runs', of('depth', ns, 'redisMb'), 20, ' MB'),
    atLeast(
      'rate with 1,000,000 waiting against 10,000',
      of('depth', ns, 'deepRate') / of('depth', ns, 'shallowRate'),
      0.9,
    ),
    atLeast('four workers against one', ratioByRound(samples, ns, 'drain4', 'alone'), 1),
    atMost('10,000 schedules in one second: tick to commit, p99', of('schedules', ns, 'p99') / 1_000, 2, ' s'),
    atMost(`single run under another tenant's flood, p95`, of('flood', ns, 'p95') / 1_000, 1, ' s'),
    atMost('FLUSHALL with 100,000 waiting: goes on after', of('flush', ns, 'recovery'), 30, ' s'),
    atMost('FLUSHALL: runs lost', of('flush', ns, 'lost'), 0, ''),
  ];
}

function atLeast(claim: string, value: number, bound: number): Verdict {
  const met = Number.isFinite(value) ? value >= bound : null;
  // What misses its bound must not be rounded up to it.
  const digits = met === false && Number(value.toFixed(2)) >= bound ? 4 : 2;
  return { claim, target: `≥ ${bound}×`, found: met === null ? '' : `${value.toFixed(digits)}×`, met };
}

function atMost(claim: string, value: number, bound: number, unit: string): Verdict {
  const met = Number.isFinite(value) ? value <= bound : null;
  const digits = value >= 100 ? 0 : bound < 1 && bound > 0 ? 3 : 2;
  return { claim, target: `≤ ${bound}${unit}`, found: met === null ? '' : `${value.toFixed(digits)}${unit}`, met };
}
