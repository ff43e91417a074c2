import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { databaseUrl } from '@nightshift/db';
import { until } from '@nightshift/engine/testing';
import { findFreePort } from '@nightshift/services';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { REPOSITORY_ROOT } from '../home.ts';
import { compose, environmentOf } from '../testing/compose-file.ts';

// The commands of docker-compose.yml with its environment, on the test run's servers instead of its containers.

const DATABASE = `compose_${process.pid}`;
const children: ChildProcess[] = [];
let port: number;

function given(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run the test through vitest`);
  return value;
}

/** The service's environment, with the containers' addresses replaced by those of the test run. */
function environment(service: string): Record<string, string> {
  const adminUrl = databaseUrl(given('NIGHTSHIFT_TEST_ADMIN_URL'), DATABASE);
  const login = new URL(adminUrl);
  login.username = 'nightshift';
  // The login role is one for the whole server: its password must stay.
  login.password = given('NIGHTSHIFT_TEST_LOGIN_PASSWORD');
  const here: Record<string, string> = {
    ADMIN_DATABASE_URL: adminUrl,
    DATABASE_URL: login.href,
    REDIS_URL: given('NIGHTSHIFT_TEST_REDIS_URL'),
    NIGHTSHIFT_NS: 'compose',
    HOST: '127.0.0.1',
    PORT: String(port),
  };
  const env = environmentOf(service);
  return { PATH: process.env.PATH ?? '', ...env, ...pick(here, Object.keys(env)) };
}

function pick(values: Record<string, string>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name)));
}

/** Runs to its end. Resolves to the exit code. */
function run(command: readonly string[], env: Record<string, string>): Promise<{ code: number; stderr: string }> {
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    execFile(program, args, { cwd: REPOSITORY_ROOT, env }, (error, _stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stderr }),
    );
  });
}

function start(service: string): ChildProcess {
  const [program = '', ...args] = compose.services[service]?.command ?? [];
  const child = spawn(program, args, { cwd: REPOSITORY_ROOT, env: environment(service), stdio: 'ignore' });
  children.push(child);
  return child;
}

const healthOf = (service: string) =>
  run((compose.services[service]?.healthcheck?.test ?? []).slice(1), environment(service));

beforeAll(async () => {
  port = await findFreePort();
});

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  const { default: pg } = await import('pg');
  const server = new pg.Client({ connectionString: given('NIGHTSHIFT_TEST_ADMIN_URL') });
  await server.connect();
  await server.query(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`);
  await server.end();
});

test('migrate, API and worker come up with the environment of the compose file, and are found healthy', async () => {
  expect(await run(compose.services.migrate?.command ?? [], environment('migrate'))).toEqual({ code: 0, stderr: '' });
  expect((await healthOf('worker')).stderr).toContain('no heartbeat');
  expect((await healthOf('api')).stderr).toContain('does not answer');

  const [api, worker] = [start('api'), start('worker')];
  const healthy = async (service: string) => (await healthOf(service)).code === 0;
  await until('a healthy API', () => healthy('api'));
  await until('a healthy worker', () => healthy('worker'));

  // SIGTERM, as Docker sends it: both end by themselves and say that all is well.
  for (const child of [api, worker]) {
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  }
});

test('the command line answers from the root with nothing but JSON on stdout', async () => {
  const { stdout } = await new Promise<{ stdout: string }>((resolve, reject) => {
    const env = { ...process.env, NIGHTSHIFT_HOME: join(REPOSITORY_ROOT, 'no-such-home') };
    execFile(
      process.execPath,
      ['scripts/nightshift.mjs', 'jobs', '--json'],
      { cwd: REPOSITORY_ROOT, env },
      (error, out) => (error === null ? resolve({ stdout: out }) : reject(error)),
    );
  });
  expect(JSON.parse(stdout).map((job: { name: string }) => job.name)).toContain('gym.commitment-scores');
});
