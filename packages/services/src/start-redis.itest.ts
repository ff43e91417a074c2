import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AlreadyRunningError } from './errors.ts';
import { type RedisServer, startRedis } from './start-redis.ts';

let root: string;
let started: RedisServer[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nightshift-redis-'));
});

afterEach(async () => {
  for (const server of started) await server.remove();
  started = [];
  rmSync(root, { recursive: true, force: true });
});

async function start(name = 'a'): Promise<RedisServer> {
  const server = await startRedis({ dir: join(root, name) });
  started.push(server);
  return server;
}

/** Sends inline commands over one connection; the raw answers. */
function talk(server: RedisServer, commands: string[], password = new URL(server.url).password): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
    socket.end(`${[`AUTH ${password}`, ...commands, 'QUIT'].join('\r\n')}\r\n`);
  });
}

test('a second start keeps data, port and password', async () => {
  const first = await start();
  expect(await talk(first, ['SET kept 42'])).toContain('+OK');
  await first.stop();
  const second = await start();
  expect(second.url).toBe(first.url);
  expect(await talk(second, ['GET kept'])).toContain('42');
});

test('it is set up to lose nothing quietly, and wants its password', async () => {
  const server = await start();
  const answer = await talk(server, ['CONFIG GET maxmemory-policy', 'CONFIG GET appendonly', 'CONFIG GET bind']);
  expect(answer).toContain('noeviction');
  expect(answer).toContain('yes');
  expect(answer).toContain('127.0.0.1');
  expect(await talk(server, ['GET kept'], 'guess')).toMatch(/WRONGPASS[\s\S]*NOAUTH/);
  expect(statSync(join(root, 'a', 'redis.conf')).mode & 0o077).toBe(0);
});

test('after kill it starts again; a running directory is refused; two run side by side', async () => {
  const first = await start();
  await expect(start()).rejects.toThrow(AlreadyRunningError);
  await first.kill();
  const [again, other] = await Promise.all([start(), start('b')]);
  expect(again.port).not.toBe(other.port);
});
