import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { TEST_ENCRYPTION_KEYS, type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const children = new Set<ChildProcess>();
let store: TestStore;
beforeAll(async () => {
  store = await testStore();
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});
afterAll(() => store.close());

function environment(more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    PORT: '0',
    LOG_LEVEL: 'info',
    DATABASE_URL: store.databaseUrl,
    REDIS_URL: store.redisUrl,
    NIGHTSHIFT_NS: 'e2e-api',
    JWT_SECRET: 'Zk3vJ8wq0pLr7sYt2uXe5nBc9mAd4fGh',
    FUNCTIONS_API_KEY: 'Hw7Nq2Xc9Lf4Tb6Rz1Kd8Vm3Ps5Gj0Ya-',
    CRON_SECRET: 'q8Rw2Lk5Vx0Tn7Jm3Hb6Pd9Sf4Gc1Zy-',
    ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
    ...more,
  };
}

function start(env: Record<string, string>): { child: ChildProcess; output: () => string } {
  const child = fork(MAIN, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] });
  children.add(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += String(chunk)));
  return { child, output: () => text };
}

async function started(): Promise<{ child: ChildProcess; url: string; port: number; output: () => string }> {
  const { child, output } = start(environment());
  const [message] = (await once(child, 'message')) as [{ type: string; port: number }];
  expect(message.type).toBe('ready');
  return { child, output, port: message.port, url: `http://127.0.0.1:${message.port}` };
}

test('says when it listens, answers, and ends with 0 on SIGTERM', async () => {
  const { child, url, output } = await started();
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  expect(
    (await fetch(`${url}/v1/runs?access_token=hunter2`, { headers: { Authorization: 'Bearer hunter2' } })).status,
  ).toBe(401);
  child.kill('SIGTERM');
  expect((await once(child, 'exit'))[0]).toBe(0);
  const lines = output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { msg: string; req?: { path: string } });
  expect(lines.map((line) => line.msg)).toEqual(expect.arrayContaining(['Listening', 'Stopping', 'Stopped']));
  expect(lines.filter((line) => line.msg === 'request completed' && line.req?.path === '/v1/runs')).toHaveLength(1);
  expect(output()).not.toContain('hunter2');
});

test('ends when its parent is gone', async () => {
  const { child } = await started();
  child.disconnect();
  expect((await once(child, 'exit'))[0]).toBe(0);
});

test('a slow sender is cut off, and others are served meanwhile', async () => {
  const { port, url } = await started();
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => (answer += String(chunk)));
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nA: ');
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  await once(socket, 'close');
  expect(answer).toMatch(/^HTTP\/1.1 408 /);
});

test('refuses an environment it cannot work with, naming every problem and no value', async () => {
  const { child, output } = start({
    ...environment(),
    NODE_ENV: 'production',
    CRON_SECRET: 'change-me-change-me',
    PORT: 'x',
  });
  expect((await once(child, 'exit'))[0]).toBe(1);
  for (const name of ['PORT', 'PUBLIC_URL', 'BOARD_PASSWORD', 'CRON_SECRET']) expect(output()).toContain(`- ${name}`);
  expect(output()).not.toMatch(/change-me|at .*\.js/);
});

test('refuses in production a login that row-level security does not bind', async () => {
  // Another name for the superuser: the URL alone doesn't tell.
  await store.admin.query(`CREATE ROLE api_e2e_bypass LOGIN SUPERUSER PASSWORD 'of-the-test'`);
  try {
    const url = new URL(store.databaseUrl);
    url.username = 'api_e2e_bypass';
    url.password = 'of-the-test';
    const production = {
      NODE_ENV: 'production',
      PUBLIC_URL: 'https://jobs.example.org',
      BOARD_PASSWORD: 'Wm4-Tq9-Lz2-Kx7',
    };
    const { child, output } = start(environment({ ...production, DATABASE_URL: url.href }));
    expect((await once(child, 'exit'))[0]).toBe(1);
    expect(output()).toMatch(/row-level security does not bind/);
  } finally {
    await store.admin.query('DROP ROLE api_e2e_bypass');
  }
});

test('a taken port is one sentence', async () => {
  const { port } = await started();
  const { child, output } = start(environment({ PORT: String(port) }));
  expect((await once(child, 'exit'))[0]).toBe(1);
  expect(output()).toContain(
    `cannot listen on 127.0.0.1:${port}: another process listens there; set PORT to a free one.`,
  );
});
