import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCaptured } from '../testing/run-captured.ts';

let store: TestStore;
let env: Record<string, string>;
const id = '01930000-0000-7000-8000-000000000001';
beforeAll(async () => {
  store = await testStore();
  env = { DATABASE_URL: store.databaseUrl, REDIS_URL: store.redisUrl, NIGHTSHIFT_NS: store.namespace };
  const tenant = await store.addTenant('gym', 'iron-works');
  await store.admin.query(
    `INSERT INTO ops.notifications (id, tenant_id, dedupe_key, channel, template, priority, state, outcome, error_class, ended_at, to_enc, data_enc)
     VALUES ($1, $2, 'k', 'email', 'gym.hello', 2, 'failed', 'RCPT TO: 550 no', 'SmtpRefusedError', now(), 'ns1.to', 'ns1.data')`,
    [id, tenant],
  );
});
afterAll(() => store.close());

const nightshift = (...argv: string[]) => runCaptured(argv, env);

test('notifications are listed, and one that failed is sent again', async () => {
  const listed = await nightshift('notifications', '--tenant', 'iron-works', '--state', 'failed');
  expect(listed.stdout).toContain('RCPT TO: 550 no');
  expect((await nightshift('notifications', '--json')).json()).toMatchObject([
    { id, tenant: 'iron-works', state: 'failed' },
  ]);
  expect((await nightshift('notifications', '--json')).stdout).not.toContain('ns1.');
  expect((await nightshift('notifications', 'resend', id)).stdout).toContain('waits to be sent again');
  expect((await nightshift('notifications', 'resend', id)).stderr).toContain(
    'is waiting: there is nothing to send again',
  );
  expect((await nightshift('notifications', '--state', 'failed')).stdout).toContain('There is no such notification.');
  expect((await nightshift('notifications', 'resend', 'nothing')).stderr).toContain(
    "There is no notification 'nothing'.",
  );
});

test('a user’s preferences are set and listed', async () => {
  expect((await nightshift('notifications', 'preferences', 'iron-works')).stdout).toContain(
    'Everybody wants everything',
  );
  const quiet = await nightshift('notifications', 'prefer', 'iron-works', 'u1', 'email', '--quiet', '22:00-07:00');
  expect(quiet.stdout).toMatch(/u1 +email +yes +22:00 and 07:00/);
  await nightshift('notifications', 'prefer', 'iron-works', 'u1', 'webhook', '--off');
  expect((await nightshift('notifications', 'preferences', 'gym/iron-works', '--json')).json()).toMatchObject([
    { userKey: 'u1', channel: 'email', enabled: true, quietFrom: '22:00', quietUntil: '07:00' },
    { userKey: 'u1', channel: 'webhook', enabled: false, quietFrom: null },
  ]);
  const wrong = await nightshift('notifications', 'prefer', 'iron-works', 'u1', 'email', '--quiet', 'at night');
  expect(wrong.stderr).toContain('22:00-07:00');
  const both = await nightshift('notifications', 'prefer', 'iron-works', 'u1', 'email', '--quiet', '22:00-22:00');
  expect(both.stderr).toContain('begin and end at once');
});
