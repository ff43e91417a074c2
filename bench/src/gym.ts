import { createBench, GYM_JOBS, type GymJob, type Measured } from './gym-measure.ts';
import { type GymBenchOptions, readOptions, USAGE } from './gym-options.ts';
import { seedOneGym, startPlatform } from './gym-platform.ts';
import { type GymRow, reportGym } from './gym-report.ts';

const say = (line: string) => void process.stdout.write(`${line}\n`);

const options = readOptions(process.argv.slice(2));
if (options === 'help') say(USAGE);
else process.exitCode = (await runBenchmark(options)) ? 0 : 1;

/** Returns whether every target was met. */
async function runBenchmark(options: GymBenchOptions): Promise<boolean> {
  const platform = await startPlatform(seedOneGym(options), say);
  try {
    const bench = await createBench(platform);
    const jobRuns = new Map<GymJob, Measured[]>(GYM_JOBS.map((job) => [job, []]));
    const statementRuns = new Map<GymJob, Measured[]>(GYM_JOBS.map((job) => [job, []]));
    for (let round = 1; round <= options.rounds; round++) {
      for (const job of GYM_JOBS) {
        const byJob = async () =>
          jobRuns.get(job)?.push(await bench.job(job, { batchSize: options.batchSize, batchDelayMs: 0 }));
        const byStatement = async () => statementRuns.get(job)?.push(await bench.statement(job));
        // Who goes first has colder caches: they take turns.
        for (const measure of round % 2 === 1 ? [byJob, byStatement] : [byStatement, byJob]) await measure();
      }
      say(`round ${round} of ${options.rounds} done`);
    }
    const memory = platform.workerMemory();
    const rows: GymRow[] = [];
    for (const job of GYM_JOBS) {
      const all = [...(jobRuns.get(job) ?? []), ...(statementRuns.get(job) ?? [])];
      rows.push({
        job,
        jobSeconds: (jobRuns.get(job) ?? []).map(({ seconds }) => seconds),
        statementSeconds: (statementRuns.get(job) ?? []).map(({ seconds }) => seconds),
        sameEffect: new Set(all.map(({ effect }) => effect)).size === 1,
        defaultSeconds: options.defaults ? (await bench.job(job, { batchSize: 50, batchDelayMs: 100 })).seconds : null,
      });
    }
    const connections = bench.connectionsHeld();
    await bench.close();
    const report = reportGym(rows, { memory, connections });
    say(
      `\n${options.members} members, ${platform.visits} visits, batches of ${options.batchSize}, no delay\n${report.text}`,
    );
    return report.met;
  } finally {
    await platform.stop();
  }
}
