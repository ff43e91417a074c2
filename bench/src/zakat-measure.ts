import type { RunDetail } from '@nightshift/engine/accept';
import { findRun } from '@nightshift/engine/accept';
import pg from 'pg';
import type { BenchPlatform } from './bench-platform.ts';

export interface ZakatMeasured {
  readonly job: string;
  readonly seconds: number;
  /** Longest statement of a worker that was seen, ms; looked for every 10 ms. */
  readonly longestStatementMs: number;
  readonly result: Readonly<Record<string, unknown>>;
}

const LOOK_EVERY_MS = 10;

/** Runs one job of system scope through the platform's worker. Errors: a run that did not complete, with its outcome. */
export async function measureJob(platform: BenchPlatform, job: string): Promise<ZakatMeasured> {
  const watch = await watchStatements(platform.adminUrl);
  const startedAt = performance.now();
  const { producer } = platform;
  const { id } = await producer.accept({ job, tenant: null, input: {} }, 'bench');
  await producer.waitFor([id], { timeoutMs: 900_000 });
  const seconds = (performance.now() - startedAt) / 1000;
  const longestStatementMs = await watch.stop();
  const run: RunDetail = await findRun(producer.pools, id, null);
  if (run.status !== 'completed') {
    throw new Error(`${job} is ${run.status}: ${run.errorMessage ?? JSON.stringify(run.result).slice(0, 500)}`);
  }
  return { job, seconds, longestStatementMs, result: run.result as Record<string, unknown> };
}

async function watchStatements(adminUrl: string): Promise<{ stop(): Promise<number> }> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  let longest = 0;
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      const { rows } = await client.query<{ ms: number | null }>(
        `SELECT max(extract(epoch FROM clock_timestamp() - query_start) * 1000)::float8 AS ms FROM pg_stat_activity
         WHERE state = 'active' AND application_name LIKE 'nightshift-worker%'`,
      );
      longest = Math.max(longest, rows[0]?.ms ?? 0);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  })();
  return {
    async stop() {
      stopped = true;
      await watching;
      await client.end();
      return Math.round(longest);
    },
  };
}
