import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import type { Platform } from './gym-platform.ts';
import { SINGLE_STATEMENTS } from './gym-statements.ts';

export type GymJob = keyof typeof SINGLE_STATEMENTS;
export const GYM_JOBS = Object.keys(SINGLE_STATEMENTS) as GymJob[];

/** Takes a job's effect away, so that each measurement does the whole work. */
export const UNDO: Record<GymJob, string> = {
  'gym.commitment-scores': 'UPDATE gym.members SET commitment_score = NULL, commitment_scored_at = NULL',
  'gym.at-risk-detection': 'UPDATE gym.members SET churn_risk = NULL, risk_level = NULL, risk_scored_at = NULL',
  'gym.coach-actions': 'TRUNCATE gym.coach_actions',
};

export const FINGERPRINT: Record<GymJob, string> = {
  'gym.commitment-scores': `SELECT md5(string_agg(id || ':' || commitment_score, ',' ORDER BY id)) AS effect FROM gym.members`,
  'gym.at-risk-detection': `SELECT md5(string_agg(id || ':' || churn_risk || risk_level, ',' ORDER BY id)) AS effect FROM gym.members`,
  'gym.coach-actions': `SELECT md5(string_agg(coach_id || ':' || member_id || kind || churn_risk, ',' ORDER BY coach_id, member_id)) AS effect FROM gym.coach_actions`,
};

/** The worker's connections for runs and their leases; its loops have transactions too, of a few milliseconds. */
const IN_TRANSACTION = `SELECT count(*)::integer AS n FROM pg_stat_activity WHERE application_name = 'nightshift-worker' AND xact_start IS NOT NULL`;

export interface Measured {
  readonly seconds: number;
  /** Hash of what the tables then hold. */
  readonly effect: string;
}

export interface Bench {
  /** Through API-side accept, dispatch and the worker, until the end is announced. */
  job(job: GymJob, options: { batchSize: number; batchDelayMs: number }): Promise<Measured>;
  /** Connections of the worker that a run's transactions held at once, at most, as seen while jobs ran. */
  connectionsHeld(): number;
  /** As ns_app under the same row-level security. */
  statement(job: GymJob): Promise<Measured>;
  close(): Promise<void>;
}

/** Errors: a run that did not complete, with its outcome. */
export async function createBench(platform: Platform): Promise<Bench> {
  const admin = new pg.Client({ connectionString: platform.adminUrl });
  const app = new pg.Client({ connectionString: platform.adminUrl });
  const watcher = new pg.Client({ connectionString: platform.adminUrl });
  await Promise.all([admin.connect(), app.connect(), watcher.connect()]);
  const { rows } = await admin.query<{ id: string; zone: string }>(
    `SELECT id, zone FROM ops.tenants WHERE system = 'gym'`,
  );
  const gym = rows[0];
  if (gym === undefined) throw new Error('the database has no gym: seeding must come first');
  await app.query(`SET ROLE ns_app; SET app.tenants = '${gym.id}'`);

  async function measure(job: GymJob, work: () => Promise<unknown>): Promise<Measured> {
    await admin.query(UNDO[job]);
    await admin.query('VACUUM gym.members');
    await admin.query('CHECKPOINT');
    const startedAt = performance.now();
    await work();
    const seconds = (performance.now() - startedAt) / 1000;
    const effect = (await admin.query<{ effect: string }>(FINGERPRINT[job])).rows[0]?.effect ?? 'nothing';
    return { seconds, effect };
  }

  let held = 0;
  /** Looks every 5 ms until told to end. */
  function watchConnections(): () => Promise<void> {
    let ended = false;
    const watching = (async () => {
      while (!ended) {
        const { rows } = await watcher.query<{ n: number }>(IN_TRANSACTION);
        held = Math.max(held, rows[0]?.n ?? 0);
        await wait(5);
      }
    })();
    return () => {
      ended = true;
      return watching;
    };
  }

  async function runJob(job: GymJob, options: { batchSize: number; batchDelayMs: number }): Promise<void> {
    const { producer } = platform;
    const stopWatching = watchConnections();
    const started = await producer.start({ kind: 'manual', job, options }, 'bench');
    const ids = started.runs.map((run) => run.runId);
    const ended = await producer.waitFor(ids, { timeoutMs: 900_000 });
    await stopWatching();
    for (const id of ids) {
      const status = ended.get(id);
      if (status !== 'completed')
        throw new Error(`run '${id}' of ${job} is ${status ?? 'still open'}, expected completed`);
    }
  }

  return {
    connectionsHeld: () => held,
    job: (job, options) => measure(job, () => runJob(job, options)),
    statement: (job) => measure(job, () => app.query(SINGLE_STATEMENTS[job], [gym.id, new Date(), gym.zone])),
    async close() {
      await Promise.all([admin.end(), app.end(), watcher.end()]);
    },
  };
}
