import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort, type RedisServer, type RedisSettings, startRedis } from '@nightshift/services';
import { afterEach, expect, test } from 'vitest';
import { REPOSITORY_ROOT } from '../home.ts';
import { checkRedis } from './check-redis.ts';

let server: RedisServer | undefined;
afterEach(async () => {
  await server?.remove();
  server = undefined;
});

async function problemsOf(settings: RedisSettings): Promise<string[]> {
  server = await startRedis({ dir: mkdtempSync(join(tmpdir(), 'nightshift-doctor-')), settings });
  const findings = await checkRedis(server.url);
  return findings.filter((finding) => !finding.ok).map((finding) => finding.check);
}

test('our own Redis is well', async () => {
  expect(await problemsOf({})).toEqual([]);
});

test('a Redis that evicts and keeps nothing is named for both', async () => {
  expect(await problemsOf({ 'maxmemory-policy': 'allkeys-lru', appendonly: 'no' })).toEqual([
    'redis eviction',
    'redis persistence',
  ]);
});

test('the settings of the compose file are well', async () => {
  // Where it listens and stores is the container's affair.
  const ours = ['bind', 'port', 'protected-mode', 'dir'];
  const lines = readFileSync(join(REPOSITORY_ROOT, 'deploy/redis.conf'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line): [string, string] => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]);
  expect(await problemsOf(Object.fromEntries(lines.filter(([name]) => !ours.includes(name))))).toEqual([]);
});

test('a Redis that is not there is one problem, without its password', async () => {
  const port = await findFreePort();
  const findings = await checkRedis(`redis://:hidden-password@127.0.0.1:${port}`);
  expect(findings).toMatchObject([{ check: 'redis', ok: false, found: expect.stringContaining('ECONNREFUSED') }]);
  expect(JSON.stringify(findings)).not.toContain('hidden-password');
});
