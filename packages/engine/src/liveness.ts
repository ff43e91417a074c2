import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { redisOptions } from './broker.ts';
import { createLoop, type Loop } from './loop.ts';
import { queuePrefix } from './redis-names.ts';

/** Looks in the time after which a worker is stuck: a process that was stopped or busy for long makes no looks, so it is not taken for stuck when it goes on. */
const LOOKS = 6;

/** What a process sees of its own work on one queue. */
export interface ClaimRounds {
  /** Something was taken: a dispatch, a mirror, a probe. */
  began(): void;
  ended(): void;
}

interface Watched {
  readonly queue: string;
  readonly slots: number;
  busy: number;
  /** Claim rounds begun or ended so far, and at the last look. */
  rounds: number;
  seen: number;
  strikes: number;
}

export interface Liveness extends Pick<Loop, 'stop'> {
  /** To be told of each claim round of the queue. */
  watch(queue: string, slots: number): ClaimRounds;
}

export interface LivenessOptions {
  readonly redisUrl: string;
  readonly namespace: string;
  readonly log: Logger;
  /** A worker that takes nothing for so long, though it has room and work waits in Redis, is stuck. */
  readonly stuckAfterMs: number;
  /** Called once, with the queue: the process should exit and be started again. */
  readonly onStuck: (queue: string) => void;
}

/**
 * Liveness from work, not from sockets: looks at the queues over a connection of its own, made for each look, since a connection that was
 * open all along may be dead without a word. Redis away is no reason to exit: the next process would find it away too.
 */
export function createLiveness(options: LivenessOptions): Liveness {
  const everyMs = options.stuckAfterMs / LOOKS;
  const watched: Watched[] = [];
  let told = false;

  async function look(): Promise<number> {
    const idle = watched.filter((one) => {
      const quiet = one.rounds === one.seen && one.busy < one.slots;
      one.seen = one.rounds;
      if (!quiet) one.strikes = 0;
      return quiet;
    });
    const waiting =
      idle.length === 0
        ? new Set<string>()
        : await queuesThatWait(
            options,
            idle.map((one) => one.queue),
          );
    for (const one of idle) one.strikes = waiting.has(one.queue) && one.rounds === one.seen ? one.strikes + 1 : 0;
    const stuck = idle.find((one) => one.strikes >= LOOKS);
    if (stuck !== undefined && !told) {
      told = true;
      options.log.fatal(
        { queue: stuck.queue, forMs: options.stuckAfterMs },
        'this worker takes nothing although work waits and slots are free',
      );
      options.onStuck(stuck.queue);
    }
    return everyMs;
  }

  const loop = createLoop('liveness', options.log, look);
  return {
    stop: loop.stop,
    watch(queue, slots) {
      const one: Watched = { queue, slots, busy: 0, rounds: 0, seen: -1, strikes: 0 };
      watched.push(one);
      return {
        began() {
          one.busy += 1;
          one.rounds += 1;
        },
        ended() {
          one.busy -= 1;
          one.rounds += 1;
        },
      };
    },
  };
}

/** Queues with BullMQ jobs that anybody may take; none when Redis does not answer. */
async function queuesThatWait(options: LivenessOptions, queues: readonly string[]): Promise<Set<string>> {
  const redis = new Redis({
    ...redisOptions(options.redisUrl),
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: 1_000,
    commandTimeout: 1_500,
  });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    const pipeline = redis.pipeline();
    for (const queue of queues) {
      const key = `${queuePrefix(options.namespace, queue)}:${queue}`;
      pipeline.llen(`${key}:wait`).zcard(`${key}:prioritized`).hexists(`${key}:meta`, 'paused');
    }
    const answers = (await pipeline.exec()) ?? [];
    const number = (i: number) => Number(answers[i]?.[1] ?? 0);
    return new Set(queues.filter((_, i) => number(3 * i) + number(3 * i + 1) > 0 && number(3 * i + 2) === 0));
  } catch {
    return new Set();
  } finally {
    redis.disconnect();
  }
}
