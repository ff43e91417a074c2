import { Redis } from 'ioredis';
import { address } from '../servers.ts';
import { clockFinding, expect, type Finding, ok, problem } from './finding.ts';

/** BullMQ's scripts need what Redis has had since this version. */
const OLDEST = [6, 2] as const;

/** Is Redis there, and does it keep what it is given? Never rejects. */
export async function checkRedis(url: string): Promise<Finding[]> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // The call that waits is rejected with "Connection is closed"; why it is, this event says.
  let why: Error | undefined;
  redis.on('error', (error: Error) => {
    why = error;
  });
  try {
    await redis.connect();
    const info = parseInfo(await redis.info());
    const before = Date.now();
    const [seconds, micros] = await redis.time();
    const clock = clockFinding('redis clock', Number(seconds) * 1000 + Number(micros) / 1000, before, Date.now());
    return [ok('redis', `answers at ${address(url)}`), ...settingsFindings(info), clock];
  } catch (error) {
    const reason = (why ?? (error as Error)).message;
    return [problem('redis', `${address(url)}: ${reason}`, 'Start Redis, or set REDIS_URL to one that answers.')];
  } finally {
    redis.disconnect();
  }
}

/** Findings from the fields of `INFO`. */
export function settingsFindings(info: ReadonlyMap<string, string>): Finding[] {
  const policy = info.get('maxmemory_policy') ?? 'unknown';
  const append = info.get('aof_enabled') === '1';
  return [
    versionFinding(info),
    expect(
      policy === 'noeviction',
      'redis eviction',
      `maxmemory-policy ${policy}`,
      'A full Redis would drop jobs silently: CONFIG SET maxmemory-policy noeviction, and the same line in redis.conf.',
    ),
    expect(
      append,
      'redis persistence',
      `appendonly ${append ? 'yes' : 'no'}`,
      'After a restart every queued job would have to come back from Postgres: CONFIG SET appendonly yes, and the same line in redis.conf.',
    ),
    writeFinding(info),
    memoryFinding(info),
  ];
}

function versionFinding(info: ReadonlyMap<string, string>): Finding {
  const valkey = info.get('valkey_version');
  const version = info.get('redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const recent = major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
  const found = valkey === undefined ? `Redis ${version}` : `Valkey ${valkey}`;
  return expect(recent, 'redis version', found, `Use Redis ${OLDEST.join('.')} or later, or Valkey.`);
}

function writeFinding(info: ReadonlyMap<string, string>): Finding {
  const states = { 'append log': info.get('aof_last_write_status'), snapshot: info.get('rdb_last_bgsave_status') };
  const bad = Object.entries(states).filter(([, state]) => state !== undefined && state !== 'ok');
  return expect(
    bad.length === 0,
    'redis disk',
    bad.length === 0 ? 'last write ok' : `last write of the ${bad.map(([name]) => name).join(' and ')} failed`,
    'Redis refuses writes until this is mended: look for a full disk or missing rights in its log.',
  );
}

function memoryFinding(info: ReadonlyMap<string, string>): Finding {
  const limit = Number(info.get('maxmemory') ?? 0);
  const used = Number(info.get('used_memory') ?? 0);
  const megabytes = `${Math.round(used / 1e6)} MB used`;
  if (limit === 0) return ok('redis memory', `${megabytes}, no limit`);
  return expect(
    used < limit * 0.8,
    'redis memory',
    `${megabytes} of ${Math.round(limit / 1e6)} MB`,
    'A full Redis refuses new jobs: raise maxmemory.',
  );
}

/** Fields of Redis' `INFO`, `name:value` a line. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}
