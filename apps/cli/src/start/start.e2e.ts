import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { removePostgresDirectory } from '@nightshift/services';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { DevFile } from './dev-file.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const PATIENCE = { timeout: 120_000, interval: 100 };

let home: string;
let running: Started[] = [];

interface Started {
  child: ChildProcess;
  output(): string;
  exited: Promise<number | null>;
}

function start(...args: string[]): Started {
  const { PORT: _port, NODE_ENV: _env, DATABASE_URL: _database, REDIS_URL: _redis, ...rest } = process.env;
  const { BACKUP_ROOT: _backups, ...inherited } = rest;
  const child = spawn(process.execPath, [join(ROOT, 'apps/cli/dist/start.js'), ...args], {
    cwd: ROOT,
    env: { ...inherited, NIGHTSHIFT_HOME: home, NIGHTSHIFT_DEMO: 'small' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const started = { child, output: () => output, exited };
  running.push(started);
  return started;
}

/** Every process of this home: apps carry it in their environment, Postgres on its command line, Redis works in it. */
function processesOfHome(): number[] {
  if (!existsSync('/proc')) return [];
  const mentionsHome = (pid: string, file: string) => {
    try {
      const path = `/proc/${pid}/${file}`;
      return (file === 'cwd' ? readlinkSync(path) : readFileSync(path, 'utf8')).includes(home);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => ['environ', 'cmdline', 'cwd'].some((file) => mentionsHome(pid, file)))
    .map(Number);
}

const devPath = () => join(home, 'dev.json');
const readDev = () => JSON.parse(readFileSync(devPath(), 'utf8')) as DevFile;

async function untilUp(started: Started): Promise<DevFile> {
  await vi.waitFor(() => {
    if (started.child.exitCode !== null) throw new Error(`start ended early:\n${started.output()}`);
    expect(started.output()).toContain('Ctrl-C stops everything');
  }, PATIENCE);
  return readDev();
}

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'nightshift-start-'));
  chmodSync(home, 0o755);
});

afterEach(async () => {
  for (const { child, exited } of running) {
    child.kill('SIGKILL');
    await exited;
  }
  running = [];
  await vi.waitFor(() => expect(processesOfHome()).toEqual([]), PATIENCE);
});

afterAll(() => {
  removePostgresDirectory(join(home, 'postgres'));
  rmSync(home, { recursive: true, force: true });
});

/** Jobs in the night's table, in its order. */
const nightOf = (output: string) =>
  [...output.slice(output.lastIndexOf(' schedule ')).matchAll(/^ ?(\w+\.[\w-]+) /gm)].map((match) => match[1]);

test('--once seeds, runs the night of five systems, prints its table, exits 0 and leaves no process', async () => {
  const once = start('--once');
  expect(await once.exited, once.output()).toBe(0);
  expect(once.output()).toMatch(/3 gyms, 120 members/);
  const night = nightOf(once.output());
  expect(night).toHaveLength(19);
  expect(new Set(night.map((job) => job?.split('.')[0]))).toEqual(
    new Set(['clinic', 'gym', 'litigation', 'medication', 'zakat']),
  );
  const gym = ['gym.commitment-scores', 'gym.at-risk-detection', 'gym.coach-actions'];
  expect(night.filter((job) => job?.startsWith('gym.'))).toEqual(gym);
  expect(
    Math.max(
      ...once
        .output()
        .split('\n')
        .map((line) => line.length),
    ),
  ).toBeLessThanOrEqual(120);
  expect(readdirSync(join(home, 'backups')).filter((name) => name.endsWith('.nsbackup'))).toHaveLength(1);
  expect(processesOfHome()).toEqual([]);
  expect(existsSync(devPath())).toBe(false);
});

test('killed in the middle of its night, it takes everything with it', async () => {
  const up = start();
  await vi.waitFor(() => expect(up.output()).toContain('Tonight, now'), PATIENCE);
  expect(statSync(devPath()).mode & 0o777).toBe(0o600);
  expect(processesOfHome().length).toBeGreaterThan(5);
  up.child.kill('SIGKILL');
  await vi.waitFor(() => expect(processesOfHome()).toEqual([]), PATIENCE);
});

test('the next start finds its data, stays up, replaces a killed worker, refuses a second start, and stops cleanly on Ctrl-C', async () => {
  const up = start();
  const dev = await untilUp(up);
  expect(up.output()).toMatch(/demo data +kept/);
  expect(Object.keys(dev).sort()).toEqual([
    'adminDatabaseUrl',
    'apiUrl',
    'cronSecret',
    'databaseUrl',
    'functionsApiKey',
    'jwtSecret',
    'mailUrl',
    'pids',
    'redisUrl',
    'smtpUrl',
  ]);
  expect(dev.pids.api).toHaveLength(1);
  expect(dev.pids.worker).toHaveLength(2);
  expect((await fetch(`${dev.apiUrl}/readyz`)).status).toBe(200);

  const second = start();
  const [victim, other] = dev.pids.worker;
  process.kill(victim ?? 0, 'SIGKILL');
  await vi.waitFor(() => {
    const workers = readDev().pids.worker;
    expect(workers).toHaveLength(2);
    expect(workers).toContain(other);
    expect(workers).not.toContain(victim);
  }, PATIENCE);
  expect(await second.exited).toBe(1);
  expect(second.output()).toContain(`already running under process ${up.child.pid}`);

  up.child.kill('SIGINT');
  expect(await up.exited, up.output()).toBe(0);
  expect(existsSync(devPath())).toBe(false);
  expect(processesOfHome()).toEqual([]);
});
