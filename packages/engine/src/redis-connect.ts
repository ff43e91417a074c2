import { Redis } from 'ioredis';
import type { Logger } from 'pino';

/**
 * A connection is asked this often for a sign of life, ms. Without it nobody would notice that one is half-open (the other side gone
 * without a word): who only subscribes sends nothing, and a command that timed out leaves its connection as it is.
 */
const PING_EVERY_MS = 5_000;

/**
 * Connection that fails fast, for whoever must answer somebody: nothing is queued while Redis is away, no reply is waited for over 1.5 s. A
 * socket that stays silent for 2.5 s while it owes a reply is made anew.
 */
export function connectProducer(url: string, log: Logger): Redis {
  return withListeners(
    new Redis(url, {
      lazyConnect: true,
      maxRetriesPerRequest: 1,
      commandTimeout: 1_500,
      socketTimeout: 2_500,
      connectTimeout: 1_000,
      enableOfflineQueue: false,
      retryStrategy,
    }),
    log,
  );
}

/** Connection for consumers and subscribers, which wait for Redis as long as it takes; a half-open socket is noticed in 15 s. */
export function connectConsumer(url: string, log: Logger): Redis {
  return withListeners(
    new Redis(url, { lazyConnect: true, maxRetriesPerRequest: null, socketTimeout: 15_000, retryStrategy }),
    log,
  );
}

function retryStrategy(times: number): number {
  return Math.min(100 * 2 ** Math.min(times, 5), 2_000);
}

/** An ioredis 'error' without a listener ends the process; the same error each retry would fill the log. */
function withListeners(redis: Redis, log: Logger): Redis {
  let last = '';
  redis.on('error', (error) => {
    if (error.message === last) return;
    last = error.message;
    log.warn({ err: { message: error.message } }, 'Redis does not answer; trying again until it does');
  });
  redis.on('ready', () => {
    if (last !== '') log.info('Redis answers again');
    last = '';
  });
  const beat = setInterval(() => {
    if (redis.status === 'ready') redis.ping().catch(() => undefined);
  }, PING_EVERY_MS);
  beat.unref();
  redis.once('end', () => clearInterval(beat));
  redis.connect().catch(() => undefined);
  return redis;
}
