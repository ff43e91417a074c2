import { parseArgs } from 'node:util';
import { seedDemo } from '@nightshift/db/demo';
import pg from 'pg';
import { documented } from './documented.ts';
import { type Platform, type Seed, startPlatform } from './gym-platform.ts';

const USAGE = `Times the three clinic jobs over many facilities through a real worker, and once more when nothing is left to do.
  --facilities N  facilities (20)
  --clients N     clients of each (5000)
  --batch N       items a batch, without delay (2000)`;
const JOBS = ['clinic.refresh-summaries', 'clinic.generate-tasks', 'clinic.refresh-dashboard'] as const;
/** What each may take, s (SPEC 3's maximum). */
const TARGET_SECONDS = 60;

const say = (line: string) => void process.stdout.write(`${line}\n`);
const { values } = parseArgs({
  options: {
    facilities: { type: 'string', default: '20' },
    clients: { type: 'string', default: '5000' },
    batch: { type: 'string', default: '2000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) say(USAGE);
else process.exitCode = (await measureAll()) ? 0 : 1;

/** Returns whether each job met its target. */
async function measureAll(): Promise<boolean> {
  const batchSize = count('batch', values.batch);
  const platform = await startPlatform(
    seedFacilities(count('facilities', values.facilities), count('clients', values.clients)),
    say,
  );
  try {
    let met = true;
    for (const round of ['first run', 'second run']) {
      for (const job of JOBS) {
        const { seconds, changed } = await timed(platform, job, batchSize);
        met &&= seconds <= TARGET_SECONDS;
        say(
          `${round.padEnd(10)}  ${job.padEnd(26)}  ${seconds.toFixed(2).padStart(6)} s  ${changed} changed (${documented(job)})`,
        );
      }
      await sayViews(platform);
    }
    const memory = platform.workerMemory();
    say(`worker: ${memory?.peak ?? '?'} MB at most, ${memory?.added ?? '?'} MB of them for the runs`);
    say(met ? `each within ${TARGET_SECONDS} s` : `MISSED: over ${TARGET_SECONDS} s`);
    return met;
  } finally {
    await platform.stop();
  }
}

function seedFacilities(facilities: number, clients: number): Seed {
  return async (adminUrl) => {
    const { clinic } = await seedDemo({ adminUrl, gyms: 1, members: 1, days: 1, facilities, clients });
    return {
      visits: clinic.visits,
      loaded: `${clinic.clients} clients of ${clinic.facilities} facilities, ${clinic.visits} visits, ${clinic.labResults} lab results`,
    };
  };
}

/** From the start of the runs to the announcement of the last end. Errors: a run that did not complete, with its outcome. */
async function timed(
  { producer }: Platform,
  job: (typeof JOBS)[number],
  batchSize: number,
): Promise<{ seconds: number; changed: number }> {
  const startedAt = performance.now();
  const started = await producer.start({ kind: 'manual', job, options: { batchSize, batchDelayMs: 0 } }, 'bench');
  const ids = started.runs.map((run) => run.runId);
  const ended = await producer.waitFor(ids, { timeoutMs: 900_000 });
  const seconds = (performance.now() - startedAt) / 1000;
  for (const id of ids) {
    if (ended.get(id) !== 'completed')
      throw new Error(`run '${id}' of ${job} is ${ended.get(id) ?? 'still open'}, expected completed`);
  }
  const { rows } = await producer.pools.ops.query<{ changed: number }>(
    'SELECT sum(changed)::int AS changed FROM ops.run_view WHERE id = ANY ($1::uuid[])',
    [ids],
  );
  return { seconds, changed: rows[0]?.changed ?? 0 };
}

/** Each view's time in the last refresh. */
async function sayViews({ adminUrl }: Platform): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  const { rows } = await admin.query<{ view: string; rows: number; durationMs: number }>(
    `SELECT v.* FROM ops.runs AS r JOIN ops.run_payloads AS p ON p.run_id = r.id,
       jsonb_to_recordset(p.result->'views') AS v(view text, rows int, "durationMs" int)
     WHERE r.job = 'clinic.refresh-dashboard' AND r.id = (SELECT max(id::text)::uuid FROM ops.runs WHERE job = 'clinic.refresh-dashboard')`,
  );
  await admin.end();
  for (const { view, rows: n, durationMs } of rows)
    say(`            ${view.padEnd(26)}  ${(durationMs / 1000).toFixed(2).padStart(6)} s  ${n} rows`);
}

function count(flag: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new RangeError(`--${flag} must be a whole number of at least 1, got '${value}'`);
  return number;
}
