import { MEASURES } from './measures/index.ts';
import { type Cell, cellOf, MUCH_OTHER_LOAD, type Sample } from './sample.ts';
import type { SystemName } from './system.ts';
import { judge, type Verdict } from './targets.ts';

export interface Report {
  /** Markdown tables. */
  readonly text: string;
  readonly verdicts: readonly Verdict[];
}

/** A measure's medians by system. */
export function cellsOf(samples: readonly Sample[]): Map<string, Map<SystemName, Cell>> {
  const cells = new Map<string, Map<SystemName, Cell>>();
  for (const { name, systems } of MEASURES) {
    const row = new Map<SystemName, Cell>();
    for (const system of systems) {
      const own = samples.filter((sample) => sample.measure === name && sample.system === system);
      if (own.length > 0) row.set(system, cellOf(own));
    }
    if (row.size > 0) cells.set(name, row);
  }
  return cells;
}

export function reportPeers(samples: readonly Sample[], problems: readonly string[]): Report {
  const cells = cellsOf(samples);
  const verdicts = judge(cells, samples);
  const parts = [verdictTable(verdicts)];
  for (const [name, row] of cells) {
    const title = MEASURES.find((measure) => measure.name === name)?.title ?? name;
    parts.push(`### ${title}\n\n${measureTable(row)}`);
  }
  const disturbed = samples.filter((sample) => sample.otherLoad > MUCH_OTHER_LOAD).length;
  if (disturbed > 0) parts.push(disturbedWarning(disturbed, samples.length));
  if (problems.length > 0) parts.push(`Not measured:\n\n${problems.map((problem) => `- ${problem}`).join('\n')}`);
  return { text: parts.join('\n\n'), verdicts };
}

export function disturbedWarning(disturbed: number, of: number): string {
  const percent = MUCH_OTHER_LOAD * 100;
  return `**Other processes used more than ${percent} % of the machine during ${disturbed} of ${of} measurements: take the figures as noise.**`;
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const word = (met: boolean | null) => (met === null ? 'not measured' : met ? 'yes' : '**no**');
  return table(
    ['claim', 'target', 'found', 'met'],
    verdicts.map((verdict) => [verdict.claim, verdict.target, verdict.found, word(verdict.met)]),
  );
}

const HEADINGS: Readonly<Record<string, string>> = {
  rate: 'per second',
  cpu: 'CPU s per 1,000',
  cpuProducer: 'producer',
  cpuWorker: 'workers',
  cpuRedis: 'Redis',
  cpuPostgres: 'Postgres',
  shallowRate: 'per second, 10,000 waiting',
  deepRate: 'per second, 1,000,000 waiting',
  redisMb: 'MB of Redis',
  fillRate: 'filled per second',
  recovery: 'goes on after, s',
  drained: 'all ended after, s',
  again: 'begun again',
  begun: 'all begun after, ms',
};

function measureTable(row: ReadonlyMap<SystemName, Cell>): string {
  const names = [...new Set([...row.values()].flatMap((cell) => Object.keys(cell.figures)))];
  const body = [...row].map(([system, cell]) => [
    system,
    ...names.map((name) => {
      const value = cell.figures[name];
      if (value === undefined || Number.isNaN(value)) return '';
      const span =
        name === 'rate' && cell.rounds > 1 ? ` (${number(cell.least[name])}–${number(cell.most[name])})` : '';
      return number(value) + span;
    }),
  ]);
  return table(['system', ...names.map((name) => HEADINGS[name] ?? name)], body);
}

function number(value = Number.NaN): string {
  if (value === 0) return '0';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '--:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}
