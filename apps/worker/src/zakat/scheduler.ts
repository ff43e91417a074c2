import {
  createCatalogue,
  cronProblem,
  type DefinedJob,
  NightshiftError,
  nearest,
  UnknownJobError,
} from '@nightshift/engine';
import { createProducer, findRun, type Producer } from '@nightshift/engine/accept';
import { type RunningWorker, startWorker } from '@nightshift/engine/worker';
import { jobs } from '@nightshift/jobs';
import { type Logger, pino } from 'pino';
import { refuseEviction } from '../check-redis.ts';
import { readEnv } from '../env.ts';

/** What `getJobStatus` tells of each job; the shape is the seed's. */
export interface JobStatus {
  /** The job's title: `Cache Cleanup`. */
  readonly name: string;
  /** False when its schedule was switched off or paused. */
  readonly enabled: boolean;
  /** Cron, in UTC. */
  readonly schedule: string;
}

export interface SchedulerOptions {
  /** Default `process.env`: `DATABASE_URL`, `REDIS_URL`, `ENCRYPTION_KEYS` and what else a worker reads. */
  readonly env?: NodeJS.ProcessEnv;
  readonly log?: Logger;
  /** By id or title. Stored as an edit of the schedule: it holds, for every process, until somebody edits it again. */
  readonly jobs?: Readonly<Record<string, { readonly schedule?: string; readonly enabled?: boolean }>>;
}

/** The stored or given cron of a job cannot be read: nothing is started with it. */
export class BadCronError extends NightshiftError {
  constructor(job: DefinedJob, cron: string, problem: string) {
    super(
      'bad-cron',
      `The schedule of '${job.title}' (${job.name}) is no cron expression: '${cron}': ${problem}. Nothing was started.`,
    );
  }
}

export class NotInitializedError extends NightshiftError {
  constructor() {
    super('not-initialized', 'The jobs are not running: call initializeJobs() first, and wait for it.');
  }
}

/** The run that `triggerJob` started did not complete. */
export class TriggeredRunError extends NightshiftError {
  constructor(job: DefinedJob, runId: string, status: string, reason: string | null) {
    super('run-not-completed', `'${job.title}' is ${status}${reason === null ? '' : `: ${reason}`} (run ${runId}).`);
  }
}

/** The four functions of the seed, over a worker of the zakat jobs inside the caller's own process. */
export interface ZakatScheduler {
  /** Errors: `BadCronError`, `UnknownJobError`, environment and store errors; then nothing is left running. */
  initializeJobs(options?: SchedulerOptions): Promise<void>;
  /** Takes nothing more, lets what is in hand end or stop at its checkpoint, for 30 s at most. Nothing is lost. */
  stopAllJobs(): Promise<void>;
  /**
   * Runs a job now, or joins the run that is open, and waits for its end. Resolves to its summary, such as `{deleted, duration, errors}`.
   * Errors: `UnknownJobError`, `NotInitializedError`, `TriggeredRunError`.
   */
  triggerJob(name: string): Promise<Readonly<Record<string, unknown>>>;
  /** As of the last look at the stored schedules, some seconds ago at most; before `initializeJobs` what is declared. */
  getJobStatus(): JobStatus[];
}

const GRACE_MS = 30_000;
const LOOK_EVERY_MS = 5_000;
const ACTOR = 'zakat:scheduler';

interface Running {
  readonly producer: Producer;
  readonly worker: RunningWorker;
  readonly timer: NodeJS.Timeout;
}

export function createZakatScheduler(): ZakatScheduler {
  const zakatJobs = jobs.filter((job) => job.system === 'zakat');
  let starting: Promise<Running> | null = null;
  let status = zakatJobs.map(declaredStatus);

  const running = async (): Promise<Running> => {
    if (starting === null) throw new NotInitializedError();
    return starting;
  };

  async function look(producer: Producer): Promise<void> {
    const rows = await readSchedules(producer);
    status = zakatJobs.map((job) => {
      const row = rows.find((one) => one.job === job.name);
      return row === undefined
        ? declaredStatus(job)
        : { name: job.title, enabled: row.enabled && row.pausedBy === null, schedule: row.cron };
    });
  }

  async function start(options: SchedulerOptions): Promise<Running> {
    const wanted = wantedSchedules(zakatJobs, options.jobs ?? {});
    const env = readEnv(options.env ?? process.env);
    const log = options.log ?? pino({ level: env.LOG_LEVEL, base: { app: 'zakat', pid: process.pid } });
    await refuseEviction(env.REDIS_URL);
    const shared = {
      databaseUrl: env.DATABASE_URL,
      redisUrl: env.REDIS_URL,
      namespace: env.NIGHTSHIFT_NS,
      catalogue: createCatalogue(zakatJobs),
      log,
      encryptionKeys: env.ENCRYPTION_KEYS,
    };
    const producer = createProducer({ ...shared, poolMax: 2 });
    try {
      await checkStored(producer, zakatJobs);
      await producer.syncSchedules();
      await edit(producer, wanted);
      await look(producer);
      const worker = await startWorker({
        ...shared,
        slots: { short: 1, long: 2 },
        fireSchedules: env.NIGHTSHIFT_CLOCK,
        retentionDays: env.RETENTION_DAYS,
      });
      const timer = setInterval(() => look(producer).catch(() => undefined), LOOK_EVERY_MS);
      timer.unref();
      return { producer, worker, timer };
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  return {
    async initializeJobs(options = {}) {
      starting ??= start(options).catch((error) => {
        starting = null;
        throw error;
      });
      await starting;
    },
    async stopAllJobs() {
      const stopping = starting;
      starting = null;
      if (stopping === null) return;
      const { producer, worker, timer } = await stopping;
      clearInterval(timer);
      await worker.stop(GRACE_MS);
      await producer.close();
    },
    async triggerJob(name) {
      const job = findJob(zakatJobs, name);
      const { producer } = await running();
      const { id } = await producer.accept({ job: job.name, tenant: null, input: {} }, ACTOR);
      const ended = await producer.waitFor([id], { timeoutMs: job.options.timeoutMs });
      const run = await findRun(producer.pools, id, null);
      if (!ended.has(id) || run.status === 'failed' || run.status === 'cancelled')
        throw new TriggeredRunError(job, id, run.status, run.errorMessage);
      return run.result as Readonly<Record<string, unknown>>;
    },
    getJobStatus: () => status.map((one) => ({ ...one })),
  };
}

function declaredStatus(job: DefinedJob): JobStatus {
  return { name: job.title, enabled: job.schedule !== undefined, schedule: job.schedule?.cron ?? '' };
}

/** By id or title. Errors: `UnknownJobError` with the nearest of both. */
function findJob(known: readonly DefinedJob[], name: string): DefinedJob {
  const job = known.find((one) => one.name === name || one.title === name);
  if (job === undefined) {
    throw new UnknownJobError(name, nearest(name, [...known.map((one) => one.name), ...known.map((one) => one.title)]));
  }
  return job;
}

interface WantedSchedule {
  readonly job: string;
  readonly cron: string | undefined;
  readonly enabled: boolean | undefined;
}

function wantedSchedules(known: readonly DefinedJob[], given: NonNullable<SchedulerOptions['jobs']>): WantedSchedule[] {
  return Object.entries(given).map(([name, { schedule, enabled }]) => {
    const job = findJob(known, name);
    if (schedule !== undefined) refuseBadCron(job, schedule);
    return { job: job.name, cron: schedule, enabled };
  });
}

function refuseBadCron(job: DefinedJob, cron: string): void {
  const problem = cronProblem(cron);
  if (problem !== null) throw new BadCronError(job, cron, problem);
}

interface StoredSchedule {
  readonly id: string;
  readonly job: string;
  readonly cron: string;
  readonly enabled: boolean;
  readonly pausedBy: string | null;
}

async function readSchedules(producer: Producer): Promise<StoredSchedule[]> {
  const { rows } = await producer.pools.ops.query<StoredSchedule>(
    `SELECT id, job, cron, enabled, paused_by AS "pausedBy" FROM ops.schedules WHERE job LIKE 'zakat.%' AND owner_tenant IS NULL`,
  );
  return rows;
}

/** What stands in the database may have been written past every check. A schedule with seconds is an operator's, and right. */
async function checkStored(producer: Producer, known: readonly DefinedJob[]): Promise<void> {
  for (const { job: name, cron } of await readSchedules(producer)) {
    const job = known.find((one) => one.name === name);
    const problem = cronProblem(cron, cron.trim().split(/\s+/).length === 6 ? 6 : 5);
    if (job !== undefined && problem !== null) throw new BadCronError(job, cron, problem);
  }
}

async function edit(producer: Producer, wanted: readonly WantedSchedule[]): Promise<void> {
  const stored = await readSchedules(producer);
  for (const { job, cron, enabled } of wanted) {
    const row = stored.find((one) => one.job === job);
    if (row === undefined) continue;
    const patch = {
      ...(cron !== undefined && cron !== row.cron ? { cron } : {}),
      ...(enabled !== undefined && enabled !== row.enabled ? { enabled } : {}),
    };
    if (Object.keys(patch).length > 0) await producer.editSchedule(row.id, patch, ACTOR);
  }
}
