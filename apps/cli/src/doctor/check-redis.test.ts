import { expect, test } from 'vitest';
import { parseInfo, settingsFindings } from './check-redis.ts';

const INFO = [
  '# Server',
  'redis_version:7.4.1',
  'used_memory:1500000',
  'maxmemory:0',
  'maxmemory_policy:noeviction',
  'aof_enabled:1',
  'aof_last_write_status:ok',
  'rdb_last_bgsave_status:ok',
].join('\r\n');

function problems(changes: Record<string, string> = {}): string[] {
  const fields = new Map([...parseInfo(INFO), ...Object.entries(changes)]);
  return settingsFindings(fields)
    .filter((finding) => !finding.ok)
    .map((finding) => finding.check);
}

test('a Redis set as it should be has no problem', () => {
  expect(problems()).toEqual([]);
});

test.each([
  [{ maxmemory_policy: 'allkeys-lru' }, 'redis eviction'],
  [{ aof_enabled: '0' }, 'redis persistence'],
  [{ redis_version: '5.0.14' }, 'redis version'],
  [{ redis_version: '6.0.16' }, 'redis version'],
  [{ aof_last_write_status: 'err' }, 'redis disk'],
  [{ maxmemory: '1600000' }, 'redis memory'],
])('%j is named as %s', (changes, check) => {
  expect(problems(changes)).toEqual([check]);
});

test('Valkey is known by its own version', () => {
  const [version] = settingsFindings(new Map([...parseInfo(INFO), ['valkey_version', '8.1.0']]));
  expect(version).toMatchObject({ ok: true, found: 'Valkey 8.1.0' });
});
