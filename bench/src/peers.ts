// How fast Nightshift is beside other job systems, on one machine and in one run.
import { mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describeMachine } from './peers/machine.ts';
import { MEASURES } from './peers/measures/index.ts';
import { type KeptMemory, keepMemory } from './peers/memory.ts';
import { type PeersOptions, readOptions, USAGE } from './peers/options.ts';
import { installPeers } from './peers/peer-packages.ts';
import { startPlatform } from './peers/platform.ts';
import { reportPeers } from './peers/report.ts';
import { MUCH_OTHER_LOAD, type Sample } from './peers/sample.ts';
import type { Bench } from './peers/session.ts';
import { FULL, QUICK, rowsNeeded } from './peers/sizes.ts';
import type { SystemName } from './peers/system.ts';
import { turnsOf } from './peers/turns.ts';
import { writePage } from './peers/write-page.ts';

const NEED_PEERS: readonly SystemName[] = ['pg-boss', 'pg-boss-batch', 'graphile-worker'];
const say = (line: string) => void process.stdout.write(`${line}\n`);

interface Found {
  readonly samples: readonly Sample[];
  readonly problems: readonly string[];
}

async function measureAll(bench: Bench, options: PeersOptions): Promise<Found> {
  const samples: Sample[] = [];
  const problems: string[] = [];
  const measures = MEASURES.filter(({ name }) => options.only.includes(name));
  for (let round = 1; round <= options.rounds; round++) {
    for (const { measure, system } of turnsOf(round, { measures, systems: options.systems })) {
      try {
        const sample = { measure: measure.name, system, round, ...(await measure.run(bench, system)) };
        samples.push(sample);
        say(lineOf(sample));
      } catch (error) {
        problems.push(`${measure.name}, ${system}, round ${round}: ${(error as Error).message}`);
        say(`! ${problems.at(-1)}`);
      }
    }
  }
  return { samples, problems };
}

function lineOf({ measure, system, round, figures, otherLoad }: Sample): string {
  const parts = Object.entries(figures).map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`);
  const load = otherLoad > MUCH_OTHER_LOAD ? `  other load ${Math.round(otherLoad * 100)} %!` : '';
  return `${measure} ${round} ${system.padEnd(16)} ${parts.join('  ')}${load}`;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === 'help') {
    say(USAGE);
    return 0;
  }
  const peers = options.systems.some((system) => NEED_PEERS.includes(system));
  if (peers) await installPeers(say);
  const sizes = options.quick ? QUICK : FULL;
  const profileDir = options.profile === null ? null : resolve(options.profile);
  if (profileDir !== null) mkdirSync(profileDir, { recursive: true });
  const platform = await startPlatform({
    rows: rowsNeeded(sizes),
    tenants: Math.max(sizes.schedules, sizes.manyTenants),
  });
  const stop = () => void platform.stop().finally(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let memory: KeptMemory | null = null;
  try {
    if (!options.quick) memory = await keepMemory();
    const machine = describeMachine(platform, { peers, keptMib: memory?.mib ?? null });
    for (const line of machine) say(line);
    const { samples, problems } = await measureAll({ platform, sizes, profileDir }, options);
    const { text, verdicts } = reportPeers(samples, problems);
    say(`\n${text}`);
    if (options.json !== null) writeFileSync(options.json, JSON.stringify({ machine, samples, problems, verdicts }));
    const command = ['node bench/dist/peers.js', ...process.argv.slice(2)].join(' ');
    if (options.write) say(`written: ${writePage({ machine, command, text, date: new Date() })}`);
    // Small sizes prove that it works and nothing else.
    const missed = !options.quick && verdicts.some((verdict) => verdict.met === false);
    return problems.length > 0 || missed ? 1 : 0;
  } finally {
    await platform.stop();
    await memory?.release();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${(error as Error).stack ?? error}\n`);
  process.exitCode = 1;
}
