import type { WorkerMemory } from './bench-platform.ts';
import type { GymJob } from './gym-measure.ts';

/** For 50,000 members, 2,000,000 visits, on 2 cores. */
const TARGET = { seconds: 30, ratio: 3, workerMb: 300 };
/** What one run may take, the largest sweep too. */
const RUN = { addedMb: 200, connections: 2 };

export interface GymRow {
  readonly job: GymJob;
  /** One of each a round. */
  readonly jobSeconds: readonly number[];
  readonly statementSeconds: readonly number[];
  readonly sameEffect: boolean;
  /** With the seed's defaults, if measured. */
  readonly defaultSeconds: number | null;
}

export interface GymReport {
  readonly text: string;
  readonly met: boolean;
}

export function reportGym(
  rows: readonly GymRow[],
  worker: { readonly memory: WorkerMemory | null; readonly connections: number },
): GymReport {
  const lines = rows.map((row) => {
    const job = median(row.jobSeconds);
    const statement = median(row.statementSeconds);
    const met = job <= TARGET.seconds && job / statement <= TARGET.ratio && row.sameEffect;
    return {
      met,
      cells: [
        row.job,
        job.toFixed(2),
        `${Math.min(...row.jobSeconds).toFixed(2)}–${Math.max(...row.jobSeconds).toFixed(2)}`,
        statement.toFixed(2),
        `${(job / statement).toFixed(2)}×`,
        row.sameEffect ? 'yes' : 'NO',
        row.defaultSeconds === null ? '' : row.defaultSeconds.toFixed(1),
      ],
    };
  });
  const table = align([
    ['job', 'job s', 'min–max', 'best SQL s', 'ratio', 'same rows', 'at 50/100 ms s'],
    ...lines.map(({ cells }) => cells),
  ]);
  const { memory, connections } = worker;
  const text = memory === null ? 'unknown here' : `${memory.peak} MB, of which runs added ${memory.added} MB`;
  const small = memory === null || (memory.peak < TARGET.workerMb && memory.added <= RUN.addedMb);
  const met = lines.every((line) => line.met) && small && connections <= RUN.connections;
  const targets = `targets: ≤ ${TARGET.seconds} s, ≤ ${TARGET.ratio}×, worker < ${TARGET.workerMb} MB, a run adds ≤ ${RUN.addedMb} MB and holds ≤ ${RUN.connections} connections`;
  return {
    text: `${table}\nworker's peak memory: ${text}\nconnections that a run held at once: ${connections}\n${targets}: ${met ? 'met' : 'MISSED'}`,
    met,
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2;
}

function align(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
    .join('\n');
}
