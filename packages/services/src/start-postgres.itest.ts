import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AlreadyRunningError } from './errors.ts';
import { identifyProcess } from './process-identity.ts';
import {
  type PostgresServer,
  removePostgresDirectory,
  type StartPostgresOptions,
  startPostgres,
} from './start-postgres.ts';

const FAST = { fsync: 'off', shared_buffers: '16MB', max_connections: 20 };
let root: string;
let started: PostgresServer[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'nightshift-postgres-'));
  chmodSync(root, 0o755);
});

afterEach(async () => {
  for (const server of started) await server.remove();
  started = [];
  rmSync(root, { recursive: true, force: true });
});

async function start(options: Partial<StartPostgresOptions> = {}): Promise<PostgresServer> {
  const server = await startPostgres({ dir: join(root, 'a'), settings: FAST, ...options });
  started.push(server);
  return server;
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

test('a second start keeps data, port and password', async () => {
  const first = await start();
  await query(first.adminUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
  await first.stop();
  const second = await start();
  expect(second.adminUrl).toBe(first.adminUrl);
  expect(await query(second.adminUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
});

test('it listens on 127.0.0.1 alone, wants the password, and keeps it to its owner', async () => {
  const server = await start();
  const wrong = new URL(server.adminUrl);
  wrong.password = 'guess';
  await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);
  const settings = await query(
    server.adminUrl,
    `SELECT current_setting('listen_addresses') AS l, current_setting('unix_socket_directories') AS u,
            current_setting('server_version_num')::int >= 170000 AS recent`,
  );
  expect(settings).toEqual([{ l: '127.0.0.1', u: '', recent: true }]);
  expect(statSync(join(root, 'a', 'password')).mode & 0o077).toBe(0);
});

test('a second start of a running directory names the process that runs it', async () => {
  await start();
  await expect(start()).rejects.toThrow(AlreadyRunningError);
  await expect(start()).rejects.toThrow(new RegExp(`process ${process.pid}\\b`));
});

test('two directories run side by side', async () => {
  const [one, two] = await Promise.all([start(), start({ dir: join(root, 'b') })]);
  expect(one.port).not.toBe(two.port);
  expect(await query(two.adminUrl, 'SELECT 1 AS up')).toEqual([{ up: 1 }]);
});

test('after a crash it recovers, and the claim of the dead server is free', async () => {
  const first = await start();
  await query(first.adminUrl, 'CREATE TABLE kept AS SELECT 1 AS one');
  await first.kill();
  expect(await first.exited).toMatchObject({ signal: 'SIGKILL', expected: true });
  const second = await start();
  expect(await query(second.adminUrl, 'SELECT one FROM kept')).toEqual([{ one: 1 }]);
});

test('a taken port is replaced by a free one', async () => {
  const one = await start();
  const two = await start({ dir: join(root, 'b'), port: one.port });
  expect(two.port).not.toBe(one.port);
});

test('no value of a failing statement reaches the log', async () => {
  const server = await start();
  await query(server.adminUrl, 'CREATE TABLE people (phone text PRIMARY KEY)');
  const client = new pg.Client({ connectionString: server.adminUrl });
  await client.connect();
  const insert = () => client.query('INSERT INTO people VALUES ($1)', ['555-0199']);
  await insert();
  await expect(insert()).rejects.toThrow(/duplicate key/);
  await client.end();
  const log = readFileSync(server.logFile, 'utf8');
  expect(log).toContain('duplicate key');
  expect(log).not.toContain('555-0199');
});

test.runIf(process.getuid?.() === 0)(
  'in a directory that only root can enter, it lives below /var/tmp and says so',
  async () => {
    chmodSync(root, 0o700);
    const lines: string[] = [];
    const dir = join(root, 'closed');
    mkdirSync(dir);
    const server = await start({ dir, log: (line) => lines.push(line) });
    expect(server.dataDir).toMatch(/^\/var\/tmp\/nightshift-[0-9a-f]{12}\//);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('/var/tmp/nightshift-');
    await query(server.adminUrl, 'CREATE TABLE kept AS SELECT 7 AS seven');
    await server.stop();
    const again = await start({ dir, log: () => {} });
    expect(await query(again.adminUrl, 'SELECT seven FROM kept')).toEqual([{ seven: 7 }]);
    await again.stop();
    removePostgresDirectory(dir);
    expect(existsSync(server.dataDir)).toBe(false);
  },
);

test('remove leaves neither process nor file', async () => {
  const server = await start();
  await server.remove();
  started = [];
  expect(identifyProcess(server.pid)).toBeNull();
  expect(existsSync(join(root, 'a'))).toBe(false);
});
