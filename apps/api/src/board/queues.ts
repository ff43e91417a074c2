import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { queuePrefix, SCHEDULES_QUEUE } from '@nightshift/engine/accept';
import { type Job, Queue } from 'bullmq';
import type { Application, RequestHandler } from 'express';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';

export const BOARD_PATH = '/admin/queues';

export interface BoardQueues {
  /** Serves Bull Board once Redis has answered; null while it does not. */
  handler(): Promise<RequestHandler | null>;
  /** The runs that a BullMQ job carries; null when Redis no longer has the job. Rejects when Redis is away. */
  runsOf(queue: string, jobId: string): Promise<readonly string[] | null>;
  close(): Promise<void>;
}

export interface BoardQueuesOptions {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly queues: readonly string[];
  readonly log: Logger;
}

/** A board over one connection that never waits: while Redis is away every command fails at once. */
export function createBoardQueues(options: BoardQueuesOptions): BoardQueues {
  const redis = connect(options);
  const names = [...new Set([...options.queues, SCHEDULES_QUEUE])].sort();
  let queues: ReadonlyMap<string, Queue> | null = null;
  let board: RequestHandler | null = null;

  function openQueues(): ReadonlyMap<string, Queue> {
    queues ??= new Map(
      names.map((name) => {
        // The board only reads: without skipMetasUpdate it would write its own version into each queue.
        const queue = new Queue(name, {
          connection: redis,
          prefix: queuePrefix(options.namespace, name),
          skipMetasUpdate: true,
        });
        queue.on('error', () => undefined);
        return [name, queue];
      }),
    );
    return queues;
  }

  return {
    async handler() {
      if (!(await answers(redis))) return null;
      board ??= createHandler([...openQueues().values()]);
      return board;
    },
    async runsOf(queue, jobId) {
      if (!(await answers(redis))) throw new RedisAwayError();
      const job = await openQueues().get(queue)?.getJob(jobId);
      return job === undefined ? null : runIdsOf(job.data);
    },
    async close() {
      for (const queue of queues?.values() ?? []) await queue.close().catch(() => undefined);
      redis.disconnect();
    },
  };
}

export class RedisAwayError extends Error {
  override readonly name = 'RedisAwayError';
  constructor() {
    super('Redis does not answer.');
  }
}

function connect({ redisUrl, log }: BoardQueuesOptions): Redis {
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    maxRetriesPerRequest: 1,
    commandTimeout: 1_500,
    // A connection that went silent is noticed, closed and made anew.
    socketTimeout: 2_500,
    connectTimeout: 1_000,
    enableOfflineQueue: false,
    retryStrategy: (times) => Math.min(100 * 2 ** Math.min(times, 5), 2_000),
  });
  // Without a listener an 'error' would end the process.
  redis.on('error', (error) => log.debug({ reason: error.name }, 'The board has no connection to Redis'));
  redis.connect().catch(() => undefined);
  return redis;
}

/** Longest that a page waits to learn whether Redis is there, ms. */
const PING_MS = 1_000;

async function answers(redis: Redis): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), PING_MS);
  });
  const pong = ready(redis).then(
    () => true,
    () => false,
  );
  const answered = await Promise.race([pong, late]);
  clearTimeout(timer);
  return answered;
}

/** A connection that is being made counts: the first page after start need not fail. */
async function ready(redis: Redis): Promise<void> {
  if (redis.status === 'connecting' || redis.status === 'connect') {
    await new Promise((resolve, reject) => {
      redis.once('ready', resolve);
      redis.once('close', reject);
    });
  }
  await redis.ping();
}

function createHandler(queues: readonly Queue[]): RequestHandler {
  const adapter = new BoardAdapter();
  adapter.setBasePath(BOARD_PATH);
  createBullBoard({
    queues: queues.map((queue) => new RunQueueAdapter(queue)),
    serverAdapter: adapter,
    options: {
      uiConfig: {
        boardTitle: 'Nightshift',
        boardLogo: { path: '/assets/icon.svg', width: 24, height: 24 },
        favIcon: { default: '/assets/icon.svg', alternative: '/assets/icon.svg' },
        miscLinks: [
          { text: 'API', url: '/docs' },
          { text: 'Sign out', url: '/admin/sign-out' },
        ],
        hideDocsLink: true,
        hideRedisDetails: true,
        showWorkers: false,
      },
    },
  });
  return adapter.getRouter() as Application;
}

/** Bull Board as this house serves it: nothing from other hosts, and errors that say nothing of the inside. */
class BoardAdapter extends ExpressAdapter {
  override setViewsPath(path: string): this {
    super.setViewsPath(path);
    this.app.disable('x-powered-by');
    const engines = (this.app as unknown as { engines: Record<string, ViewEngine> }).engines;
    const render = engines['.ejs'];
    if (render !== undefined) {
      this.app.engine('ejs', (file, values, done) =>
        render(file, values, (error, text) => done(error, text === undefined ? undefined : selfHosted(text))),
      );
    }
    return this;
  }

  override setErrorHandler(): this {
    return super.setErrorHandler(() => ({ status: 500, body: { error: 'The queue could not be read.' } })) as this;
  }
}

type ViewEngine = (file: string, values: object, done: (error: unknown, text?: string) => void) => void;

/** The page as shipped loads its fonts from another host; the system's own are used instead. */
export function selfHosted(text: string): string {
  return text.replaceAll(/<link[^>]+href="https?:[^>]*>/g, '');
}

/** A queue shown for reading: jobs link to their runs, and stack traces (paths of the machine, values) stay out. */
class RunQueueAdapter extends BullMQAdapter {
  constructor(queue: Queue) {
    super(queue, {
      readOnlyMode: true,
      allowRetries: false,
      ...(queue.name === SCHEDULES_QUEUE ? {} : { externalJobUrl: (job) => linkOf(queue.name, job) }),
    });
  }

  override async getJob(id: string): Promise<Job | undefined> {
    const job = await super.getJob(id);
    return job === undefined ? undefined : withoutStack(job);
  }

  override async getJobs(...asked: Parameters<BullMQAdapter['getJobs']>): Promise<Job[]> {
    return (await super.getJobs(...asked)).map((job) => withoutStack(job));
  }
}

function withoutStack(job: Job): Job {
  if (job !== null) job.stacktrace = [];
  return job;
}

function linkOf(
  queue: string,
  job: { readonly id?: unknown; readonly data: unknown },
): { href: string; displayText: string } {
  const runs = runIdsOf(job.data);
  const [only] = runs;
  if (runs.length === 1 && only !== undefined) return { href: `/admin/runs/${only}`, displayText: 'Run' };
  const href = `/admin/bundles/${encodeURIComponent(queue)}/${encodeURIComponent(String(job.id))}`;
  return { href, displayText: `${runs.length} runs` };
}

function runIdsOf(data: unknown): readonly string[] {
  const { runs } = (data ?? {}) as { runs?: unknown };
  return Array.isArray(runs) ? runs.filter((id): id is string => typeof id === 'string') : [];
}
