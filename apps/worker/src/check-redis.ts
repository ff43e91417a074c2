import { Redis } from 'ioredis';

/**
 * Refuses a Redis that may throw jobs away. Resolves at once when Redis is away: accepted runs wait in Postgres meanwhile, and
 * `nightshift doctor` tells.
 * Errors: the setting, its value and the one that is needed.
 */
export async function refuseEviction(url: string): Promise<void> {
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
    commandTimeout: 1_500,
    retryStrategy: () => null,
  });
  redis.on('error', () => undefined);
  let memory: string;
  try {
    await redis.connect();
    memory = await redis.info('memory');
  } catch {
    return;
  } finally {
    redis.disconnect();
  }
  const policy = /maxmemory_policy:(\S+)/.exec(memory)?.[1];
  if (policy !== 'noeviction') {
    throw new Error(
      `Redis has maxmemory-policy '${policy}', which throws jobs away when memory is short. Set it to 'noeviction'.`,
    );
  }
}
