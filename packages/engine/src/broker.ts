import { type AdvancedRepeatOptions, type JobsOptions, Queue, type RedisOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import type { TenantRef } from './define-job.ts';
import type { NewDispatch } from './dispatch-queries.ts';
import { queuePrefix } from './redis-names.ts';
import { type DstRule, nextInstant } from './schedule/cron.ts';

/** What a dispatch's BullMQ job carries. Ids and safe labels, never a payload. */
export interface DispatchData {
  readonly runs: readonly string[];
  readonly job: string;
  readonly tenantIds: readonly string[];
  /** Slug; of several tenants theirs, with commas. */
  readonly tenant: string;
  readonly priority: number;
  readonly timeoutMs?: number;
  /** True: it only shows a retry that waits in Postgres, and wakes the clock when that is due. */
  readonly mirror?: boolean;
  /** True: it asks for a sign of life and carries no run. */
  readonly probe?: boolean;
}

/** Finished BullMQ jobs are kept for Bull Board's sake alone; the record is in Postgres. */
export const KEPT = { completed: 300, failed: 1_000 };

export const DISPATCH_OPTIONS: JobsOptions = {
  attempts: 1,
  removeOnComplete: { count: KEPT.completed },
  removeOnFail: { count: KEPT.failed },
  stackTraceLimit: 1,
};

/** BullMQ's schedulers compute their next time as the clock loop does, so that both show the same. */
export const SCHEDULER_SETTINGS: AdvancedRepeatOptions = {
  repeatStrategy: (millis, options) =>
    options.pattern === undefined
      ? undefined
      : nextInstant(options.pattern, options.tz ?? 'UTC', new Date(millis), dstOf(options)).getTime(),
};

/** How a mirrored schedule repeats. BullMQ keeps the options of a scheduler with each of its jobs and hands them back, unknown ones too. */
export interface MirrorRepeat {
  readonly pattern: string;
  readonly tz: string;
  readonly dst: DstRule;
}

function dstOf(options: object): DstRule {
  return (options as Partial<MirrorRepeat>).dst ?? 'once';
}

/** Connection options for BullMQ's own clients, from a URL. */
export function redisOptions(url: string): RedisOptions {
  const parsed = new URL(url);
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: Number(parsed.port || 6379),
    db: Number(parsed.pathname.slice(1) || 0),
    ...(parsed.username === '' ? {} : { username: decodeURIComponent(parsed.username) }),
    ...(parsed.password === '' ? {} : { password: decodeURIComponent(parsed.password) }),
    ...(parsed.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

/** The queues of a process, made when first asked for, over one fail-fast connection. */
export function createBroker(deps: { redis: Redis; namespace: string }) {
  const queues = new Map<string, Queue>();

  function queue(name: string): Queue {
    let found = queues.get(name);
    if (found === undefined) {
      found = new Queue(name, {
        connection: deps.redis,
        prefix: queuePrefix(deps.namespace, name),
        skipVersionCheck: true,
        skipWaitingForReady: true,
        settings: SCHEDULER_SETTINGS,
      });
      found.on('error', () => undefined);
      queues.set(name, found);
    }
    return found;
  }

  return {
    queue,
    isReady: (): boolean => deps.redis.status === 'ready',

    /** Adds dispatches. Errors: Redis'; some may have been added all the same. */
    async add(
      name: string,
      dispatches: readonly NewDispatch[],
      tenants: ReadonlyMap<string, TenantRef>,
    ): Promise<void> {
      const jobs = dispatches.map((dispatch) => {
        const data: DispatchData = {
          runs: dispatch.runs,
          job: dispatch.job,
          tenantIds: dispatch.tenantIds,
          tenant: dispatch.tenantIds.map((id) => tenants.get(id)?.slug ?? '').join(', '),
          priority: dispatch.priority,
          timeoutMs: dispatch.timeoutMs,
        };
        return {
          name: dispatch.job,
          data,
          // What is spread comes last: with keys behind it V8 makes each object a hidden class of its own (decision 0022).
          opts: { jobId: dispatch.id, priority: dispatch.priority, ...DISPATCH_OPTIONS },
        };
      });
      const [only] = jobs;
      // A lone job needs no transaction around it: half the latency.
      if (jobs.length === 1 && only !== undefined) await queue(name).add(only.name, only.data, only.opts);
      else await queue(name).addBulk(jobs);
    },

    /** Makes dispatches that wait in Redis the next to start. */
    async lift(name: string, ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        const job = await queue(name).getJob(id);
        // It may have started or ended meanwhile: then there is nothing to lift.
        await job?.changePriority({ priority: 1 }).catch(() => undefined);
      }
    },

    /** Of these dispatches, those that BullMQ no longer has or has finished with. */
    async gone(name: string, ids: readonly string[]): Promise<string[]> {
      const prefix = `${queuePrefix(deps.namespace, name)}:${name}`;
      const pipeline = deps.redis.pipeline();
      for (const id of ids) pipeline.hmget(`${prefix}:${id}`, 'timestamp', 'finishedOn');
      const answers = (await pipeline.exec()) ?? [];
      return ids.filter((_, i) => {
        const [error, fields] = answers[i] ?? [];
        if (error) throw error;
        const [timestamp, finishedOn] = (fields ?? []) as (string | null)[];
        return !timestamp || Boolean(finishedOn);
      });
    },

    async close(): Promise<void> {
      await Promise.all([...queues.values()].map((q) => q.close().catch(() => undefined)));
    },
  };
}

export type Broker = ReturnType<typeof createBroker>;
