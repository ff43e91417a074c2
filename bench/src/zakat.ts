import { parseArgs } from 'node:util';
import { seedDemo } from '@nightshift/db/demo';
import { startBenchPlatform } from './bench-platform.ts';
import { documented } from './documented.ts';
import { addEntries, addUsers, vacuum } from './zakat-data.ts';
import { measureJob, type ZakatMeasured } from './zakat-measure.ts';

const USAGE = `Times the three zakat jobs through a real worker; every user has an anniversary to be reminded of.
  --users N       (100000)
  --entries N     cache entries (3000000)
  --expired N     of them older than a day (2000000)
  --summaries N   users with encrypted amounts whose summaries are made, before the others are there (10000)`;

/** s, on 2 cores; the summaries' limit is SPEC 3's. */
const TARGETS: Readonly<Record<string, number>> = {
  'zakat.cleanup-cache': 60,
  'zakat.generate-reminders': 30,
  'zakat.regenerate-summaries': 60,
};
const LONGEST_STATEMENT_MS = 1_000;
/** The most that a run may add to its worker. */
const ADDED_MB = 200;

const say = (line: string) => void process.stdout.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    users: { type: 'string', default: '100000' },
    entries: { type: 'string', default: '3000000' },
    expired: { type: 'string', default: '2000000' },
    summaries: { type: 'string', default: '10000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) say(USAGE);
else
  process.exitCode = (await runBenchmark({
    users: count('users', values.users),
    entries: count('entries', values.entries),
    expired: count('expired', values.expired),
    summaries: count('summaries', values.summaries),
  }))
    ? 0
    : 1;

interface Sizes {
  readonly users: number;
  readonly entries: number;
  readonly expired: number;
  readonly summaries: number;
}

/** Returns whether every target was met. */
async function runBenchmark({ users, entries, expired, summaries }: Sizes): Promise<boolean> {
  const platform = await startBenchPlatform(async (data) => {
    const seeded = await seedDemo({ ...data, gyms: 1, members: 1, days: 1, zakatUsers: summaries });
    say(`${seeded.zakat.users} users with ${seeded.zakat.snapshots} snapshots, ${seeded.zakat.payments} payments`);
  });
  const { adminUrl } = platform;
  try {
    const measured: ZakatMeasured[] = [];
    const measure = async (job: string) => {
      await vacuum(adminUrl);
      const one = await measureJob(platform, job);
      measured.push(one);
      say(line(one));
    };
    await measure('zakat.regenerate-summaries');
    await addUsers(adminUrl, users);
    await addEntries(adminUrl, entries, expired);
    say(`${users} users, ${entries} cache entries, ${expired} of them expired`);
    for (const job of ['zakat.cleanup-cache', 'zakat.generate-reminders', 'zakat.generate-reminders'])
      await measure(job);
    const memory = platform.workerMemory();
    const met =
      measured.every(
        ({ job, seconds, longestStatementMs }) =>
          seconds <= (TARGETS[job] ?? 0) && longestStatementMs <= LONGEST_STATEMENT_MS,
      ) &&
      (memory === null || memory.added <= ADDED_MB);
    say(`worker's memory: ${memory === null ? 'unknown here' : `${memory.peak} MB, ${memory.added} MB of it added`}`);
    say(
      `targets: 60 s cleanup, 30 s reminders, 60 s summaries, no statement over 1 s, ≤ ${ADDED_MB} MB added: ${met ? 'met' : 'MISSED'}`,
    );
    return met;
  } finally {
    await platform.stop();
  }
}

function line({ job, seconds, longestStatementMs, result }: ZakatMeasured): string {
  const { duration, errors, ...counts } = result;
  return `${job.padEnd(28)} ${seconds.toFixed(2).padStart(7)} s   longest statement ${longestStatementMs} ms   ${JSON.stringify(counts)} (${documented(job)})`;
}

function count(flag: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new RangeError(`--${flag} must be a whole number of at least 1, got '${value}'`);
  return number;
}
