import { createPool, type Pool } from '@nightshift/db';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { raiseAlert } from '../alerts/raise-alert.ts';
import { createCatalogue } from '../catalogue.ts';
import { newId } from '../id.ts';
import { type TestStore, testStore, until } from '../testing/index.ts';
import { smtpStub } from '../testing/smtp-stub.ts';
import { TEST_ENCRYPTION_KEYS } from '../testing/test-engine.ts';
import { createGate } from '../testing/tiny.ts';
import type { Channel, Outgoing, SendOutcome } from './channel.ts';
import { createEmailChannel } from './email.ts';
import { createNotify, type NewNotification } from './notify.ts';
import { deleteExpired, resendNotification } from './outbox.ts';
import { createSender, nextAttemptMs, type Sender, type SenderOptions } from './sender.ts';
import { defineTemplate } from './template.ts';

const hello = defineTemplate({
  name: 'tiny.hello',
  data: z.object({ name: z.string() }),
  subject: (d) => `Hello ${d.name}`,
  text: (d) => `Hello ${d.name}.`,
});
const catalogue = createCatalogue([], [hello]);
const log = pino({ level: 'silent' });
const fine: SendOutcome = { kind: 'sent', providerId: 'p', answer: '250' };

let store: TestStore;
let ops: Pool;
let crypto: FieldCrypto;
let tenant: string;
let slug = 0;
const senders: Sender[] = [];
beforeAll(async () => {
  store = await testStore();
  ops = createPool({ url: store.databaseUrl, role: 'ns_ops', max: 6, name: 'test' });
  crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: ops });
});
beforeEach(async () => {
  await store.admin.query('TRUNCATE ops.notifications, ops.notification_preferences, ops.alerts');
  await store.admin.query('UPDATE ops.notification_channels SET tokens = 1000');
  tenant = await store.addTenant('tiny', `t${slug++}`);
});
afterEach(async () => {
  await Promise.all(senders.splice(0).map((sender) => sender.stop(1_000)));
});
afterAll(async () => {
  await ops.end();
  await store.close();
});

interface Fake extends Channel {
  readonly sent: Outgoing[];
}

function fake(
  answer: (message: Outgoing) => SendOutcome | Promise<SendOutcome> = () => fine,
  idempotent = false,
): Fake {
  const sent: Outgoing[] = [];
  return {
    idempotent,
    sent,
    addressProblem: (to) => (to.includes('bad') ? 'it is bad' : null),
    send: async (message) => {
      sent.push(message);
      return answer(message);
    },
  };
}

function options(channel: Channel | null, more: Partial<SenderOptions> = {}, perSecond = 1_000): SenderOptions {
  const one = { channel, variables: 'SMTP_URL and MAIL_FROM', perSecond };
  return {
    channels: { email: one, whatsapp: one, webhook: one },
    inHand: 4,
    unset: 'failed',
    retry: { attempts: 3, delayMs: 1 },
    ...more,
  };
}

function start(
  channel: Channel | null,
  more: Partial<SenderOptions> = {},
  pool: Pool = ops,
  perSecond = 1_000,
): Sender {
  const sender = createSender({
    ...options(channel, more, perSecond),
    ops: pool,
    catalogue,
    crypto,
    worker: `w${senders.length}`,
    log,
  });
  senders.push(sender);
  return sender;
}

async function notify(n: number, more: Partial<NewNotification> = {}, runId: string | null = null): Promise<void> {
  const make = createNotify(
    ops,
    { templates: catalogue.templates, crypto },
    { runId, job: 'tiny.x', priority: 2, dryRun: false },
  );
  const key = more.dedupeKey ?? newId();
  await make(
    Array.from({ length: n }, (_, i) => ({
      tenantId: tenant, channel: 'email' as const, to: `u${i}@example.org`, template: 'tiny.hello', data: { name: `u${i}` }, ...more, dedupeKey: `${key}:${i}`,
    })), // biome-ignore format: names
  );
}

interface Row {
  readonly id: string;
  readonly state: string;
  readonly attempts: number;
  readonly outcome: string | null;
  readonly error_class: string | null;
  readonly provider_id: string | null;
  readonly due_at: Date;
}

const rows = async () => (await store.admin.query<Row>('SELECT * FROM ops.notifications ORDER BY id')).rows;

/** Resolves to the rows once none is on its way. */
function settled(): Promise<Row[]> {
  return until('every notification to end', async () => {
    const all = await rows();
    return all.every((row) => !['waiting', 'sending'].includes(row.state)) && all;
  });
}

describe('what is due', () => {
  test('is sent once, decrypted and filled in, and the answer is written down', async () => {
    await notify(1);
    const channel = fake();
    start(channel);
    expect(await settled()).toMatchObject([
      { state: 'sent', attempts: 1, provider_id: 'p', outcome: '250', error_class: null },
    ]);
    expect(channel.sent).toMatchObject([{ to: 'u0@example.org', content: { subject: 'Hello u0', text: 'Hello u0.' } }]);
  });

  test('is sent once by two workers side by side', async () => {
    await notify(60);
    const channel = fake();
    start(channel);
    start(channel);
    await settled();
    expect(channel.sent).toHaveLength(60);
    expect(new Set(channel.sent.map((message) => message.id)).size).toBe(60);
  });

  test('goes out by priority, and of a priority in turns among tenants', async () => {
    await notify(4, { priority: 'HIGH' });
    const flooding = tenant;
    tenant = await store.addTenant('tiny', `t${slug++}`);
    await notify(1, { priority: 'HIGH', data: { name: 'other' } });
    tenant = flooding;
    await notify(1, { priority: 'CRITICAL', data: { name: 'urgent' } });
    const channel = fake();
    start(channel, { inHand: 1 });
    await settled();
    const order = channel.sent.map((message) => message.content.subject.replace('Hello ', ''));
    expect(order[0]).toBe('urgent');
    // The flood came first and has four; the other's only one is not behind them.
    expect(order.indexOf('other')).toBeLessThanOrEqual(2);
    expect(order.filter((name) => name.startsWith('u') && name !== 'urgent')).toEqual(['u0', 'u1', 'u2', 'u3']);
  });

  test('waits for its time, and is not sent when it is too late', async () => {
    await notify(1, { dedupeKey: 'later', notBefore: new Date(Date.now() + 3_600_000) });
    await notify(1, { dedupeKey: 'late', notAfter: new Date(Date.now() - 1_000) });
    const channel = fake();
    start(channel);
    await until('the late one to expire', async () => (await rows()).some((row) => row.state === 'expired'));
    expect((await rows()).map((row) => row.state).sort()).toEqual(['expired', 'waiting']);
    expect(channel.sent).toEqual([]);
  });

  test('goes no faster than the channel may, whatever the number of workers', async () => {
    await store.admin.query('UPDATE ops.notification_channels SET tokens = 2, refilled_at = clock_timestamp()');
    await notify(4);
    const channel = fake();
    // A token in 100 s: within this test none is added.
    start(channel, {}, ops, 0.01);
    start(channel, {}, ops, 0.01);
    await until('the bucket to be empty', async () => {
      const { rows: found } = await store.admin.query<{ tokens: number }>(
        `SELECT tokens FROM ops.notification_channels WHERE channel = 'email'`,
      );
      return (found[0]?.tokens ?? 1) < 1;
    });
    await Promise.all(senders.splice(0).map((sender) => sender.stop(1_000)));
    // What is saved up is a second's worth, and one at least.
    expect(channel.sent).toHaveLength(1);
  });
});

describe('what a user wants', () => {
  const prefer = (values: string) =>
    store.admin.query(`INSERT INTO ops.notification_preferences (tenant_id, user_key, channel, ${values}`, [tenant]);

  test('counts at the time of sending too', async () => {
    await notify(1, { userKey: 'ada' });
    await prefer(`enabled) VALUES ($1, 'ada', 'email', false)`);
    const channel = fake();
    start(channel);
    expect(await settled()).toMatchObject([{ state: 'suppressed', outcome: 'the user wants no email' }]);
    expect(channel.sent).toEqual([]);
  });

  test('in quiet hours puts it off to their end, but for what is critical', async () => {
    await notify(1, { userKey: 'ada', dedupeKey: 'normal' });
    await notify(1, { userKey: 'ada', dedupeKey: 'critical', priority: 'CRITICAL' });
    // From an hour ago to an hour from now, in the tenant's zone.
    await prefer(
      `quiet_from, quiet_until) VALUES ($1, 'ada', 'email', (now() AT TIME ZONE 'UTC')::time - interval '1 hour', (now() AT TIME ZONE 'UTC')::time + interval '1 hour')`,
    );
    const channel = fake();
    start(channel);
    await until('the critical one', async () => (await rows()).some((row) => row.state === 'sent'));
    const put = await until('the other to be put off', async () =>
      (await rows()).find((row) => row.state === 'waiting' && row.due_at.getTime() > Date.now() + 60_000),
    );
    expect(put.due_at.getTime() - Date.now()).toBeLessThanOrEqual(3_600_000);
    expect(channel.sent).toHaveLength(1);
  });

  test.each([
    ['within the day', '2026-11-22T13:00:00Z', '12:00', '14:00', '2026-11-22T14:00:00Z'],
    ['at their end', '2026-11-22T14:00:00Z', '12:00', '14:00', null],
    ['before midnight', '2026-11-22T23:00:00Z', '22:00', '07:00', '2026-11-23T07:00:00Z'],
    ['after midnight', '2026-11-22T03:00:00Z', '22:00', '07:00', '2026-11-22T07:00:00Z'],
    ['by day', '2026-11-22T12:00:00Z', '22:00', '07:00', null],
  ])('quiet hours: %s', async (_name, at, from, to, expected) => {
    const { rows: found } = await store.admin.query<{ until: Date | null }>(
      `SELECT ops.quiet_until($1, 'UTC', $2, $3) AS until`,
      [at, from, to],
    );
    expect(found[0]?.until?.toISOString().replace('.000', '') ?? null).toBe(expected);
  });

  test('quiet hours over the spring change end at the same local time', async () => {
    const { rows: found } = await store.admin.query<{ until: Date }>(
      `SELECT ops.quiet_until('2026-03-28T22:30:00Z', 'Europe/Berlin', '22:00', '07:00') AS until`,
    );
    expect(found[0]?.until.toISOString()).toBe('2026-03-29T05:00:00.000Z');
  });
});

describe('what cannot be delivered', () => {
  test('for now is tried again, and then given up', async () => {
    await notify(1);
    const channel = fake(() => ({ kind: 'again', errorClass: 'SmtpDeferredError', answer: '450 later' }));
    start(channel);
    expect(await settled()).toMatchObject([
      {
        state: 'failed',
        attempts: 3,
        error_class: 'SmtpDeferredError',
        outcome: 'given up after 3 attempts: 450 later',
      },
    ]);
    expect(new Set(channel.sent.map((message) => message.id)).size).toBe(1);
  });

  test('for good is a failure of the run that made it, which a replay leaves alone', async () => {
    const run = newId();
    await notify(2, { dedupeKey: 'k' }, run);
    start(
      fake((message) =>
        message.to.startsWith('u0')
          ? { kind: 'failed', errorClass: 'SmtpRefusedError', answer: 'RCPT TO: 550 no' }
          : fine,
      ),
    );
    expect((await settled()).map((row) => row.state).sort()).toEqual(['failed', 'sent']);
    const { rows: failures } = await store.admin.query(
      'SELECT run_id, item_key, error_class, error_message, notification_id FROM ops.item_failures',
    );
    expect(failures).toMatchObject([
      {
        run_id: run,
        item_key: 'notification:k:0',
        error_class: 'SmtpRefusedError',
        error_message: 'email not delivered: RCPT TO: 550 no',
      },
    ]);
  });

  test('because the address is none is not tried', async () => {
    await notify(1, { to: 'bad' });
    const channel = fake();
    start(channel);
    expect(await settled()).toMatchObject([
      { state: 'failed', error_class: 'InvalidRecipientError', outcome: 'the recipient: it is bad' },
    ]);
    expect(channel.sent).toEqual([]);
  });

  test('because the channel is not set up fails with the variables, or is suppressed in development', async () => {
    await notify(1);
    start(null);
    expect(await settled()).toMatchObject([
      {
        state: 'failed',
        error_class: 'ChannelNotConfiguredError',
        outcome: 'email is not set up: set SMTP_URL and MAIL_FROM',
      },
    ]);
    const { rows: alerts } = await store.admin.query('SELECT key FROM ops.alerts');
    expect(alerts).toEqual([{ key: 'notifications:email:not-set-up' }]);
    await Promise.all(senders.splice(0).map((sender) => sender.stop(1_000)));
    await store.admin.query('TRUNCATE ops.notifications');
    await notify(1);
    start(null, { unset: 'suppressed' });
    expect(await settled()).toMatchObject([{ state: 'suppressed' }]);
  });

  test('because the server refuses the password raises an alert, once', async () => {
    await notify(2);
    start(fake(() => ({ kind: 'again', errorClass: 'SmtpSignInError', answer: '535', channelRefused: true })));
    await settled();
    const { rows: alerts } = await store.admin.query('SELECT key, state, count FROM ops.alerts');
    expect(alerts).toEqual([{ key: 'notifications:email:refused', state: 'open', count: 6 }]);
  });

  test('ends its alerts when the channel delivers again: not by what was handed over before, nor those of another channel', async () => {
    for (const key of ['notifications:email:not-set-up', 'notifications:whatsapp:refused'])
      await raiseAlert(ops, { key, severity: 'CRITICAL', message: 'x' });
    const gate = createGate();
    const refused: SendOutcome = { kind: 'again', errorClass: 'SmtpSignInError', answer: '535', channelRefused: true };
    let broken = true;
    const sender = start(
      fake(async ({ to }) => {
        if (to !== 'early@example.org') return broken ? refused : fine;
        await gate.pass();
        return fine;
      }),
    );
    const states = async () => {
      const { rows: alerts } = await store.admin.query('SELECT key, state, resolved_by FROM ops.alerts ORDER BY key');
      return alerts.map((one) => `${one.key.slice('notifications:'.length)} ${one.state} ${one.resolved_by}`);
    };
    await notify(1, { to: 'early@example.org' });
    sender.wake();
    await gate.reached;
    await raiseAlert(ops, { key: 'notifications:email:not-set-up', severity: 'CRITICAL', message: 'x' });
    await notify(1);
    sender.wake();
    await until('the refusal', async () => (await rows()).some((row) => row.state === 'failed'));
    gate.open();
    await settled();
    const [other, ...open] = ['whatsapp:refused open null', 'email:not-set-up open null', 'email:refused open null'];
    expect(await states()).toEqual([...open, other]);
    broken = false;
    await notify(1);
    sender.wake();
    await settled();
    expect(await states()).toEqual(['email:not-set-up resolved platform', 'email:refused resolved platform', other]);
  });

  test('is sent again when a person asks, on record', async () => {
    await notify(1);
    let broken = true;
    start(fake(() => (broken ? { kind: 'failed', errorClass: 'E', answer: '550' } : fine)));
    const [failed] = await settled();
    broken = false;
    const id = failed?.id ?? '';
    const theirs = await store.addTenant('tiny', `t${slug++}`);
    await expect(resendNotification(ops, id, 'ada', theirs)).rejects.toThrow('There is no notification');
    await resendNotification(ops, id, 'ada', tenant);
    expect(await settled()).toMatchObject([{ state: 'sent', attempts: 2, error_class: null }]);
    await expect(resendNotification(ops, id, 'ada', null)).rejects.toThrow('is sent: there is nothing to send again');
    const { rows: audit } = await store.admin.query(
      `SELECT actor, details FROM ops.audit_log WHERE action = 'notification.resent'`,
    );
    expect(audit).toEqual([{ actor: 'ada', details: { notification: id, was: 'failed' } }]);
  });
});

describe('a worker that dies between sending and writing it down', () => {
  /** Never stores what became of a message, as if its process were gone. */
  function dead(): Pool {
    return new Proxy(ops, {
      get(target, property) {
        const value = Reflect.get(target, property, target);
        if (property === 'query')
          return (text: string, values?: unknown[]) =>
            String(text).includes('sent_at = CASE') ? new Promise(() => undefined) : target.query(text, values);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }
  const expireLeases = () =>
    store.admin.query(
      `UPDATE ops.notifications SET lease_until = clock_timestamp() - interval '1 second' WHERE state = 'sending'`,
    );

  test('leaves a mail of unknown outcome, which is not sent again', async () => {
    const stub = await smtpStub();
    const channel = createEmailChannel({ url: stub.url, from: 'jobs@example.org' });
    await notify(1);
    const first = start(channel, {}, dead());
    await until('the mail to arrive', async () => stub.received.length === 1);
    await first.stop(0);
    await expireLeases();
    start(channel);
    expect(await settled()).toMatchObject([{ state: 'unknown', error_class: 'WorkerDiedError', attempts: 1 }]);
    expect(stub.received).toHaveLength(1);
    await stub.close();
  });

  test('has its webhook sent again, with the same key', async () => {
    const channel = fake(() => fine, true);
    await notify(1, { channel: 'webhook', to: 'https://hooks.example.org/' });
    const first = start(channel, {}, dead());
    await until('the call', async () => channel.sent.length === 1);
    await first.stop(0);
    await expireLeases();
    start(channel);
    expect(await settled()).toMatchObject([{ state: 'sent', attempts: 2 }]);
    expect(new Set(channel.sent.map((message) => message.id)).size).toBe(1);
  });

  test('and was only slow corrects what others took for unknown', async () => {
    const gate = createGate();
    const channel = fake(async () => {
      await gate.pass();
      return fine;
    });
    await notify(1);
    start(channel);
    await gate.reached;
    await expireLeases();
    await until('it to be taken for lost', async () => (await rows()).some((row) => row.state === 'unknown'));
    gate.open();
    await until('the correction', async () => (await rows()).some((row) => row.state === 'sent'));
    expect(channel.sent).toHaveLength(1);
  });

  test('stopped in time, writes down what it has in hand', async () => {
    const gate = createGate();
    await notify(1);
    const sender = start(
      fake(async () => {
        await gate.pass();
        return fine;
      }),
    );
    await gate.reached;
    const stopped = sender.stop(10_000);
    gate.open();
    await stopped;
    expect(await rows()).toMatchObject([{ state: 'sent' }]);
  });
});

test('waits grow from attempt to attempt, half an hour at most, and as long as was asked', () => {
  const retry = { attempts: 10, delayMs: 15_000 };
  expect([1, 2, 3, 8, 9, 10].map((tries) => nextAttemptMs(tries, retry, null))).toEqual([
    15_000,
    30_000,
    60_000,
    1_800_000,
    1_800_000,
    null,
  ]);
  expect(nextAttemptMs(1, retry, 120_000)).toBe(120_000);
});

test('what ended long ago is deleted, what waits is not', async () => {
  await notify(3);
  await store.admin.query(
    `UPDATE ops.notifications SET state = 'sent', ended_at = clock_timestamp() - interval '401 days' WHERE id = (SELECT id FROM ops.notifications ORDER BY id LIMIT 1)`,
  );
  await store.admin.query(
    `UPDATE ops.notifications SET state = 'sent', ended_at = clock_timestamp() - interval '399 days' WHERE id = (SELECT id FROM ops.notifications ORDER BY id DESC LIMIT 1)`,
  );
  expect(await deleteExpired(ops, 400)).toBe(1);
  expect((await rows()).map((row) => row.state)).toEqual(['waiting', 'sent']);
});
