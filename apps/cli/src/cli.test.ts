import { jwtVerify } from 'jose';
import { expect, test } from 'vitest';
import { runCaptured } from './testing/run-captured.ts';

const NOWHERE = { NIGHTSHIFT_HOME: '/nonexistent/nightshift-home' };
const SECRET = 'a-secret-that-is-long-enough-for-a-test';
const TENANT = '0190a0b0-0000-7000-8000-000000000001';

test('jobs --json is an array of objects with a name, and nothing else is on stdout', async () => {
  const { exitCode, json, stderr } = await runCaptured(['jobs', '--json'], NOWHERE);
  const jobs = json<{ name: string; schedule: { cron: string; after?: string } | null; kind: string }[]>();
  expect(exitCode).toBe(0);
  expect(stderr).toBe('');
  expect(jobs.map((job) => job.name)).toEqual([
    'ops.canary',
    'clinic.refresh-summaries',
    'clinic.generate-tasks',
    'clinic.refresh-dashboard',
    'gym.commitment-scores',
    'gym.at-risk-detection',
    'gym.coach-actions',
    'medication.medication-reminder',
    'medication.refill-check',
    'medication.interaction-check',
    'medication.supply-monitor',
    'medication.analytics-roll-up',
    'medication.backup',
    'zakat.cleanup-cache',
    'zakat.generate-reminders',
    'zakat.regenerate-summaries',
    'litigation.check-sla-and-overdue',
    'litigation.send-hearing-reminders',
    'litigation.analytics-snapshot',
    'litigation.check-upcoming-deadlines',
    'litigation.automation-health-check',
  ]);
  expect(jobs.find((job) => job.name === 'gym.coach-actions')).toMatchObject({
    kind: 'sweep',
    priority: 'HIGH',
    scope: 'tenant',
    schedule: { cron: '0 4 * * *', after: 'gym.at-risk-detection' },
    retry: { retries: 3, delayMs: 300_000 },
    inputSchema: { type: 'object', additionalProperties: false },
  });
});

test.each([
  [['nihgt'], 'night'],
  [['runs', '--jbo', 'x'], '--job'],
  [['token'], '--role'],
  [['token', '--role', 'king'], 'Allowed choices are viewer, operator, admin, service'],
  [['token', '--role', 'admin', '--expires', '2y'], 'It must look like 30m, 12h or 7d.'],
  [['token', '--role', 'admin', '--expires', '31d'], 'between 1s and 30d'],
  [['run', 'ops.canary', '--input', '{'], 'It must be JSON'],
  [['run', 'ops.canary', '--wait', 'soon'], 'whole number'],
  [['run', 'ops.canary', '--batch-size', '0'], '>=1'],
  [['run', 'ops.canary', '--batch-size', '10001'], '<=10000'],
  [['run', 'ops.canary', '--batch-size', '1.5'], 'whole number'],
  [['run', 'ops.canary', '--batch-delay', '60001'], '<=60000'],
  [['run', 'ops.canary', '--timeout', '0'], '>=100'],
  [['run', 'ops.canary', '--timeout', '99'], '>=100'],
  [['run', 'ops.canary', '--retries', '1000'], '<=20'],
  [['run', 'ops.canary', '--retries=-1'], 'whole number'],
  [['token', '--role', 'admin', '--sub', ''], '1 to 200 characters'],
  [['token', '--role', 'admin', '--sub', ' '], '1 to 200 characters'],
  [['token', '--role', 'admin', '--sub', 'a\nb'], 'control character'],
  [['import', 'gym.visits', 'a.csv'], '--tenant'],
  [['import', 'gym.visit', '-', '--tenant', 'x'], "Did you mean 'gym.visits'?"],
  [['seed', '--gyms', '0'], 'whole number above 0'],
  [['runs', '--limit', '0'], '1 to 9999'],
  [['runs', '--status', 'done'], 'Allowed choices'],
])('%j is a usage error that says %s', async (argv, said) => {
  const { exitCode, stdout, stderr } = await runCaptured(argv, NOWHERE);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toContain(said);
});

test.each([[['night']], [['runs']], [['schedules']], [['doctor']], [['run', 'ops.canary']]])(
  '%j with nothing running says what to do',
  async (argv) => {
    const { exitCode, stderr } = await runCaptured(argv, NOWHERE);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^Nothing is running in .*; start it with npm start/);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  },
);

test('an error under --json is JSON on stdout and a sentence on stderr', async () => {
  const { exitCode, json, stderr } = await runCaptured(['runs', '--json'], NOWHERE);
  expect(exitCode).toBe(1);
  expect(json()).toEqual({ error: { code: 'nothing-running', message: stderr.trim() } });
});

test('migrate and seed ask for the administrator', async () => {
  for (const command of ['migrate', 'seed']) {
    expect(await runCaptured([command], NOWHERE)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('ADMIN_DATABASE_URL'),
    });
  }
});

test('help lists every command', async () => {
  const { exitCode, stdout } = await runCaptured(['--help'], NOWHERE);
  expect(exitCode).toBe(0);
  for (const command of [
    'night',
    'jobs',
    'run',
    'runs',
    'schedules',
    'token',
    'import',
    'seed',
    'migrate',
    'backup',
    'doctor',
  ]) {
    expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  }
});

test('a token has the claims that the API checks', async () => {
  const env = { ...NOWHERE, JWT_SECRET: SECRET };
  const argv = ['token', '--role', 'operator', '--tenant', TENANT, '--sub', 'mira', '--expires', '30m'];
  const { stdout } = await runCaptured(argv, env);
  const { payload, protectedHeader } = await jwtVerify(stdout.trim(), new TextEncoder().encode(SECRET), {
    issuer: 'nightshift',
    audience: 'nightshift',
  });
  expect(protectedHeader).toEqual({ alg: 'HS256', typ: 'JWT' });
  expect(payload).toMatchObject({ sub: 'mira', role: 'operator', tenant: TENANT });
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(1_800);
});

test('without a tenant a token is for the platform; issuer and audience are settable', async () => {
  const env = { ...NOWHERE, JWT_SECRET: SECRET, JWT_ISSUER: 'me', JWT_AUDIENCE: 'you' };
  const { json } = await runCaptured(['token', '--role', 'admin', '--json'], env);
  const { token } = json<{ token: string }>();
  const { payload } = await jwtVerify(token, new TextEncoder().encode(SECRET), { issuer: 'me', audience: 'you' });
  expect(payload).not.toHaveProperty('tenant');
});

test('in production no token is made', async () => {
  const env = { ...NOWHERE, JWT_SECRET: SECRET, NODE_ENV: 'production' };
  expect(await runCaptured(['token', '--role', 'admin'], env)).toMatchObject({ exitCode: 1, stdout: '' });
});

test('without a secret the way to one is told', async () => {
  const { exitCode, stderr } = await runCaptured(['token', '--role', 'admin'], NOWHERE);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('JWT_SECRET');
});
