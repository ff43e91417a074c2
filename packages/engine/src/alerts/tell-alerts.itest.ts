import { inTransaction } from '@nightshift/db';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { DATA_PLACE, TO_PLACE } from '../notifications/notify.ts';
import { render } from '../notifications/template.ts';
import { mailServer, runJob, TEST_ENCRYPTION_KEYS, type TestEngine, testEngine, until } from '../testing/index.ts';
import { tinyRequest } from '../testing/tiny.ts';
import { raiseAlert } from './raise-alert.ts';
import { type AlertMail, alertsTemplate, tellAlerts } from './tell-alerts.ts';

let engine: TestEngine;
let crypto: FieldCrypto;
beforeAll(async () => {
  engine = await testEngine({ jobs: [], workers: 0 });
  crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: engine.producer.pools.ops });
});
afterAll(() => engine.close());
afterEach(() => engine.store.admin.query('DELETE FROM ops.alerts; DELETE FROM ops.notifications'));

const MAIL: AlertMail = { to: ['ops@example.org', 'boss@example.org'], publicUrl: 'https://jobs.example.org' };

const tell = (mail = MAIL) =>
  inTransaction(engine.producer.pools.ops, [], (client) => tellAlerts(client, crypto, mail));
const raise = (key: string, severity: 'CRITICAL' | 'WARNING' | 'INFO', message = `condition ${key}`) =>
  raiseAlert(engine.store.admin, { key, severity, message });

/** What waits in the outbox, as it would be sent. */
async function mails() {
  const { rows } = await engine.store.admin.query(
    'SELECT id, tenant_id, to_enc, data_enc, dedupe_key FROM ops.notifications ORDER BY created_at, id',
  );
  return Promise.all(
    rows.map(async ({ id, tenant_id: tenantId, to_enc, data_enc }) => {
      const [to = '', data = ''] = await crypto.decryptAll([
        { ref: { tenantId, place: TO_PLACE, row: id }, envelope: to_enc },
        { ref: { tenantId, place: DATA_PLACE, row: id }, envelope: data_enc },
      ]);
      return { to, ...render(alertsTemplate, JSON.parse(data)) };
    }),
  );
}

test('an opening is told once to each, and its end once', async () => {
  await raise('a:1', 'CRITICAL', 'the <disk> is full');
  await tell();
  await raise('a:1', 'CRITICAL', 'the <disk> is full');
  await tell();
  const opened = await mails();
  expect(opened.map((mail) => mail.to).sort()).toEqual(['boss@example.org', 'ops@example.org']);
  const { rows } = await engine.store.admin.query('SELECT id FROM ops.alerts');
  const url = `https://jobs.example.org/v1/alerts/${rows[0]?.id}`;
  expect(opened[0]).toMatchObject({ subject: '[CRITICAL] the <disk> is full', text: expect.stringContaining(url) });
  expect(opened[0]?.html).toContain('the &lt;disk&gt; is full');
  expect(opened[0]?.html).toContain(`href="${url}"`);

  await engine.producer.alerts.resolve(rows[0]?.id, 'ada', null);
  await tell();
  await tell();
  const all = await mails();
  expect(all).toHaveLength(4);
  expect(all[3]).toMatchObject({
    subject: 'Resolved: the <disk> is full',
    text: expect.stringMatching(/Opened .+Z, seen 2 times, resolved by ada\./),
  });

  await raise('a:1', 'CRITICAL', 'the disk is full again');
  await tell();
  expect((await mails()).map((mail) => mail.subject).filter((one) => one.includes('again'))).toHaveLength(2);
});

test('many at once are one mail, the gravest first', async () => {
  await raise('a:info', 'INFO');
  for (let i = 0; i < 60; i++) await raise(`a:${i}`, 'WARNING');
  await raise('a:worst', 'CRITICAL');
  await tell({ to: ['ops@example.org'] });
  const sent = await mails();
  expect(sent).toHaveLength(1);
  expect(sent[0]?.subject).toBe('[CRITICAL] 62 alerts, the first: condition a:worst');
  expect(sent[0]?.text).toContain('12 more: nightshift alerts --all');
  expect(sent[0]?.text).not.toContain('http');
  await tell();
  expect(await mails()).toHaveLength(1);
});

test('one that opened and ended between two looks is told once; what was over long ago is no news', async () => {
  for (const key of ['a:short', 'a:old']) await raise(key, 'WARNING');
  await engine.store.admin.query(
    `UPDATE ops.alerts SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = 'platform';
     UPDATE ops.alerts SET opened_at = opened_at - interval '25 hours' WHERE key = 'a:old'`,
  );
  await tell({ to: ['ops@example.org'] });
  await tell({ to: ['ops@example.org'] });
  expect(await mails()).toMatchObject([
    { subject: '[WARNING] condition a:short', text: expect.stringContaining('over by itself') },
  ]);
});

test('a mail that cannot be written leaves its alert untold; a worker tells it', async () => {
  await raise('a:1', 'WARNING');
  const broken = { encryptAll: () => Promise.reject(new Error('no keys')) };
  const failing = inTransaction(engine.producer.pools.ops, [], (client) => tellAlerts(client, broken, MAIL));
  await expect(failing).rejects.toThrow('no keys');
  expect(await mails()).toEqual([]);
  const worker = await engine.addWorker({ alertMail: MAIL });
  await until('two mails', async () => (await mails()).length === 2);
  await worker.stop();
});

test('three failed runs arrive as a mail at a real server', async () => {
  const server = await mailServer();
  const broken = tinyRequest('broken', {
    retry: { retries: 0 },
    handle: () => Promise.reject(new Error('it is broken today')),
  });
  const failing = await testEngine({ jobs: [broken], workers: 0 });
  try {
    await failing.store.addTenant('tiny', 'north');
    const runner = await failing.addWorker();
    for (let i = 0; i < 3; i++) await runJob(failing, { job: 'tiny.broken', tenant: 'north', input: {} });
    await runner.stop();
    // Its first look comes at its start, and sees the three.
    await failing.addWorker({
      alertMail: { to: ['ops@example.org'], publicUrl: 'https://jobs.example.org' },
      notifications: server.sending,
    });
    const mail = await until('the mail', async () => server.mails[0]);
    const { rows } = await failing.store.admin.query('SELECT id FROM ops.alerts');
    expect(mail.envelope.to).toEqual(['ops@example.org']);
    expect(mail.subject).toMatch(/^\[CRITICAL\] tiny\.broken for north failed 3 times in a row/);
    expect(mail.text).toContain(`https://jobs.example.org/v1/alerts/${rows[0]?.id}`);
    expect(mail.html).toContain(`href="https://jobs.example.org/v1/alerts/${rows[0]?.id}"`);
    expect(server.mails).toHaveLength(1);
  } finally {
    await failing.close();
    await server.close();
  }
});
