import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { mailServer } from '../testing/mail-server.ts';
import { type SmtpFault, type SmtpStub, smtpStub } from '../testing/smtp-stub.ts';
import type { Outgoing } from './channel.ts';
import { bareAddress, createEmailChannel, emailProblem } from './email.ts';
import { html } from './html.ts';
import { defineTemplate, render } from './template.ts';

const reminder = defineTemplate({
  name: 'tiny.reminder',
  data: z.object({ title: z.string(), link: z.string() }),
  subject: (d) => `Reminder: ${d.title}`,
  text: (d) => `${d.title}\n\nOpen: ${d.link}\n`,
  html: (d) => html`<p>${d.title}</p><p><a href="${d.link}">Open</a></p>`,
});

const message = (title = 'case 7', to = 'ada@example.org'): Outgoing => ({
  id: '01930000-0000-7000-8000-000000000001',
  to,
  createdAt: new Date('2026-11-22T10:00:00Z'),
  content: render(reminder, { title, link: 'https://app.example.org/hearings/7?tab=1&x=2' }),
});

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function faulty(
  fault: SmtpFault,
  limitMs = 2_000,
): Promise<{ stub: SmtpStub; send: () => ReturnType<ReturnType<typeof createEmailChannel>['send']> }> {
  const stub = await smtpStub(fault);
  closing.push(stub.close);
  const url = fault.auth === undefined ? stub.url : stub.url.replace('//', '//user:wrong@');
  const channel = createEmailChannel({ url, from: 'jobs@example.org', limitMs });
  return { stub, send: () => channel.send(message()) };
}

describe('a mail that a real server takes', () => {
  async function receive(sent: Outgoing) {
    const server = await mailServer();
    closing.push(server.close);
    const channel = createEmailChannel({
      url: `smtp://ada:p%40ss@127.0.0.1:${server.port}`,
      from: 'Nightshift <jobs@example.org>',
    });
    const outcome = await channel.send(sent);
    const [mail] = server.mails;
    if (mail === undefined) throw new Error(`no mail came: ${JSON.stringify(outcome)}`);
    return { outcome, mail };
  }

  test('arrives with subject, recipient, both bodies, links and a Message-ID of its own', async () => {
    const { outcome, mail } = await receive(message('Zoë & <Co>'));
    expect(outcome).toMatchObject({ kind: 'sent' });
    expect(mail).toMatchObject({ envelope: { to: ['ada@example.org'], from: 'jobs@example.org' }, user: 'ada' });
    expect(mail.subject).toBe('Reminder: Zoë & <Co>');
    expect(mail.messageId).toBe('<01930000-0000-7000-8000-000000000001@example.org>');
    expect(mail.from).toMatchObject({ name: 'Nightshift', address: 'jobs@example.org' });
    expect(mail.to).toMatchObject([{ address: 'ada@example.org' }]);
    expect(mail.text).toContain('Open: https://app.example.org/hearings/7?tab=1&x=2');
    expect(mail.html).toContain('<p>Zoë &amp; &lt;Co&gt;</p>');
    expect(mail.html).toContain('<a href="https://app.example.org/hearings/7?tab=1&amp;x=2">Open</a>');
    expect(new Date(mail.date ?? '').toISOString()).toBe('2026-11-22T10:00:00.000Z');
    expect(mail.headers.find((header) => header.key === 'auto-submitted')?.value).toBe('auto-generated');
  });

  test('gets no header of its own from a line break in the subject', async () => {
    const { mail } = await receive(message('x\r\nBcc: eve@example.org'));
    expect(mail.subject).toBe('Reminder: x Bcc: eve@example.org');
    expect(mail.bcc ?? []).toEqual([]);
  });
});

describe('what a server answers decides', () => {
  test.each([
    ['421 to the greeting', { greeting: '421 busy' }, { kind: 'again' }],
    [
      '450 to the recipient',
      { rcpt: '450 4.2.1 later, ada@example.org' },
      { kind: 'again', errorClass: 'SmtpDeferredError' },
    ],
    [
      '550 to the recipient',
      { rcpt: '550 5.1.1 no ada@example.org here' },
      { kind: 'failed', errorClass: 'SmtpRefusedError' },
    ],
    ['552 after the mail', { afterData: '552 too big' }, { kind: 'failed', errorClass: 'SmtpRefusedError' }],
    ['451 after the mail', { afterData: '451 try later' }, { kind: 'again', errorClass: 'SmtpDeferredError' }],
    ['554 to the greeting', { greeting: '554 no' }, { kind: 'again', channelRefused: true }],
    [
      '535 to the password',
      { auth: '535 5.7.8 wrong' },
      { kind: 'again', errorClass: 'SmtpSignInError', channelRefused: true },
    ],
  ] satisfies [string, SmtpFault, object][])('%s', async (_name, fault, expected) => {
    const { send } = await faulty(fault);
    const outcome = await send();
    expect(outcome).toMatchObject(expected);
    expect(outcome.answer).toContain(Object.values(fault)[0]?.slice(0, 3));
    expect(outcome.answer).not.toContain('ada@');
  });

  test('nothing, after the whole mail: nobody knows', async () => {
    const { stub, send } = await faulty({ afterData: 'silence' }, 150);
    expect(await send()).toMatchObject({ kind: 'unknown', errorClass: 'NoAnswerError' });
    expect(stub.received).toHaveLength(1);
  });

  test('a reset in place of 250: nobody knows', async () => {
    const { stub, send } = await faulty({ afterData: 'reset' });
    expect(await send()).toMatchObject({ kind: 'unknown', errorClass: 'NoAnswerError' });
    expect(stub.received).toHaveLength(1);
  });

  test('a byte now and then keeps the slot no longer than the limit', async () => {
    const { stub, send } = await faulty({ dripMs: 40 }, 250);
    expect(await send()).toMatchObject({ kind: 'again', errorClass: 'SmtpConnectionError' });
    expect(stub.received).toEqual([]);
  });

  test('nobody there: another time', async () => {
    const stub = await smtpStub();
    await stub.close();
    const channel = createEmailChannel({ url: stub.url, from: 'jobs@example.org' });
    expect(await channel.send(message())).toMatchObject({ kind: 'again', errorClass: 'SmtpConnectionError' });
  });

  test('no encryption from a server elsewhere: no password and no mail in clear text', () => {
    const url = (text: string) => () => createEmailChannel({ url: text, from: 'jobs@example.org' });
    expect(url('http://mail.example.org')).toThrow('expected SMTP_URL to begin with smtp:// or smtps://');
    expect(url('smtp://mail.example.org')).not.toThrow();
  });
});

test('addresses are one address each', () => {
  for (const good of ['ada@example.org', 'a.b+c@sub.example.org', "o'neil@example.org", 'zoë@exämple.org'])
    expect(emailProblem(good), good).toBeNull();
  for (const bad of ['', 'ada', 'a@b, c@d', 'a b@c', '<a@b>', 'a@b\r\nRCPT TO:<c@d>', `${'x'.repeat(65)}@a.b`])
    expect(emailProblem(bad), bad).not.toBeNull();
  expect(bareAddress('Nightshift <jobs@example.org>')).toBe('jobs@example.org');
  expect(() => bareAddress('Nightshift')).toThrow('MAIL_FROM');
});
