import { parseArgs } from 'node:util';
import { startFleet } from '../fleet/fleet.ts';
import { createRandom } from './random.ts';
import { type FaultReport, runFault } from './run-fault.ts';
import { ALL_FAULTS, NO_FAULT } from './scenarios.ts';

const FLEET = { apis: 2, workers: 3, gyms: { count: 3, members: 1_000 } };
const LATEST_MS = 1_500;

const usage = `node bench/dist/faults/main.js [--minutes 3] [--seed 1] [--only <part of a fault's name>]
Faults at seeded random instants under load, each printed with what it cost. Exits 1 when anything was lost or done twice.`;

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly only: string;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '3' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string', default: '' },
    },
  });
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
  if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error(`minutes must be above 0, seed whole.\n${usage}`);
  return { minutes, seed, only: values.only.toLowerCase() };
}

const COLUMNS = [
  ['fault', 40],
  ['accepted', 9],
  ['completed', 10],
  ['failed', 7],
  ['lost', 5],
  ['dup runs', 9],
  ['dup effects', 12],
  ['missing', 8],
  ['open', 5],
  ['sent again', 11],
  ['recovery s', 11],
  ['settled s', 10],
] as const;

function line(cells: readonly (string | number)[]): string {
  return cells
    .map((cell, i) => (i === 0 ? String(cell).padEnd(40) : String(cell).padStart(COLUMNS[i]?.[1] ?? 8)))
    .join('');
}

function row(r: FaultReport): string {
  return line([
    r.fault,
    r.accepted,
    r.completed,
    r.failed,
    r.lost,
    r.doubledRuns,
    r.duplicateEffects,
    r.missingEffects,
    r.open,
    r.sentAgain,
    r.recoverySeconds,
    r.settledSeconds,
  ]);
}

function isClean(r: FaultReport): boolean {
  return r.lost + r.doubledRuns + r.duplicateEffects + r.missingEffects + r.open + r.failed === 0;
}

async function main(): Promise<number> {
  const { minutes, seed, only } = readOptions();
  const say = (text: string) => void process.stdout.write(`${text}\n`);
  const random = createRandom(seed);
  const faults = [NO_FAULT, ...ALL_FAULTS].filter((fault) => fault.name.toLowerCase().includes(only));
  if (faults.length === 0) throw new Error(`no fault's name contains '${only}'.\n${usage}`);
  say(`seed ${seed}, ${minutes} minutes: ${FLEET.apis} APIs, ${FLEET.workers} workers, ${FLEET.gyms.count} gyms`);
  const fleet = await startFleet(FLEET);
  const reports: FaultReport[] = [];
  try {
    say(line(COLUMNS.map(([name]) => name)));
    // In turn, so that each is met as often as the next; only the instants are random.
    for (const end = Date.now() + minutes * 60_000; Date.now() < end; ) {
      const fault = faults[reports.length % faults.length] ?? NO_FAULT;
      const load = { canaries: random.between(300, 900), inFlight: 8 };
      const report = await runFault(fleet, fault, load, random.between(0, LATEST_MS));
      reports.push(report);
      say(row(report));
    }
  } finally {
    await fleet.close();
  }
  const bad = reports.filter((report) => !isClean(report));
  const recoveries = reports.map((report) => report.recoverySeconds).sort((a, b) => a - b);
  say(
    `${reports.length} faults, ${bad.length} not clean; recovery p50 ${recoveries[recoveries.length >> 1]} s, longest ${recoveries.at(-1)} s`,
  );
  return bad.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
