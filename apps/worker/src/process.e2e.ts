import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { TEST_ENCRYPTION_KEYS, type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const ROLE = 'worker_e2e_bypass';
const PASSWORD = 'of-the-test';
const children = new Set<ChildProcess>();
let store: TestStore;
beforeAll(async () => {
  store = await testStore();
  // Another name for the superuser: the URL alone doesn't tell.
  await store.admin.query(`DROP ROLE IF EXISTS ${ROLE}`);
  await store.admin.query(`CREATE ROLE ${ROLE} LOGIN SUPERUSER PASSWORD '${PASSWORD}'`);
});
afterEach(async () => {
  for (const child of children) {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.kill('SIGKILL');
    await ended;
  }
  children.clear();
});
afterAll(async () => {
  await store.admin.query(`DROP ROLE ${ROLE}`);
  await store.close();
});

function start(more: Record<string, string>): { child: ChildProcess; output: () => string } {
  const env = {
    PATH: process.env.PATH ?? '',
    LOG_LEVEL: 'info',
    DATABASE_URL: store.databaseUrl,
    REDIS_URL: store.redisUrl,
    NIGHTSHIFT_NS: 'e2e-worker',
    NIGHTSHIFT_CLOCK: 'off',
    NIGHTSHIFT_SENDING: '0',
    ENCRYPTION_KEYS: TEST_ENCRYPTION_KEYS,
    BACKUP_ROOT: '/nonexistent/backups',
    ...more,
  };
  const child = fork(MAIN, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] });
  children.add(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += String(chunk)));
  return { child, output: () => text };
}

function unsafeUrl(): string {
  const url = new URL(store.databaseUrl);
  url.username = ROLE;
  url.password = PASSWORD;
  return url.href;
}

test('refuses in production a login that row-level security does not bind', async () => {
  const { child, output } = start({ NODE_ENV: 'production', DATABASE_URL: unsafeUrl() });
  expect((await once(child, 'exit'))[0]).toBe(1);
  expect(output()).toMatch(/The worker cannot start:\n {2}- DATABASE_URL .*row-level security does not bind/);
  expect(output()).not.toMatch(new RegExp(`${PASSWORD}|at .*\\.js`));
});

test.each([
  ['the login of the platform in production', () => ({ NODE_ENV: 'production' })],
  ['any login in development', () => ({ NODE_ENV: 'development', DATABASE_URL: unsafeUrl() })],
])('takes %s, and ends with 0 on SIGTERM', async (_what, env) => {
  const { child } = start(env());
  expect((await once(child, 'message'))[0]).toEqual({ type: 'ready' });
  child.kill('SIGTERM');
  expect((await once(child, 'exit'))[0]).toBe(0);
});
