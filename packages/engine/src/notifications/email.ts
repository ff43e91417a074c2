import { Readable } from 'node:stream';
import MailComposer from 'nodemailer/lib/mail-composer';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { scrubbed } from '../store-errors.ts';
import { type Channel, type Outgoing, SEND_LIMIT_MS, type SendOutcome } from './channel.ts';

export interface EmailSettings {
  /** `smtp://user:password@host:587` (STARTTLS, required unless the host is loopback) or `smtps://…`. */
  readonly url: string;
  /** `Name <address>` or an address. */
  readonly from: string;
  /** Longest attempt and longest silence, ms. */
  readonly limitMs?: number;
}

const ADDRESS = /^[^\s@<>()[\]\\,;:"]{1,64}@[^\s@<>()[\]\\,;:"]{1,189}$/u;

export function emailProblem(to: string): string | null {
  return ADDRESS.test(to) ? null : 'it is no mail address';
}

/** The address of `Name <address>`. Errors: `TypeError` for what has none. */
export function bareAddress(from: string): string {
  const address = (/<([^<>]*)>\s*$/.exec(from)?.[1] ?? from).trim();
  if (emailProblem(address) !== null) throw new TypeError('expected MAIL_FROM like: Nightshift <jobs@example.org>');
  return address;
}

/** Mail over SMTP, a connection a message. Errors: `TypeError` for settings that cannot work. */
export function createEmailChannel(settings: EmailSettings): Channel {
  const sender = bareAddress(settings.from);
  const options = connectionOptions(new URL(settings.url), settings.limitMs ?? SEND_LIMIT_MS);
  const host = sender.slice(sender.lastIndexOf('@') + 1);
  return {
    idempotent: false,
    addressProblem: emailProblem,
    async send(message) {
      try {
        const mail = await compose(message, settings.from, `<${message.id}@${host}>`);
        return await deliver(options, { from: sender, to: [message.to], size: mail.length }, mail);
      } catch (error) {
        return { kind: 'failed', errorClass: 'MailNotComposedError', answer: scrubbed(error) };
      }
    },
  };
}

function compose(message: Outgoing, from: string, messageId: string): Promise<Buffer> {
  const { subject, text, html } = message.content;
  const composer = new MailComposer({
    from,
    // An object is taken as it is; a text would be read as a list of addresses.
    to: { name: '', address: message.to },
    subject,
    text,
    ...(html === null ? {} : { html: page(html) }),
    messageId,
    date: message.createdAt,
    // RFC 3834: vacation responders leave it alone.
    headers: { 'Auto-Submitted': 'auto-generated' },
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return composer.compile().build();
}

function page(body: string): string {
  return `<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"></head><body>${body}</body></html>`;
}

interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly requireTLS: boolean;
  readonly ignoreTLS: boolean;
  readonly auth: { readonly user: string; readonly pass: string } | null;
  readonly limitMs: number;
}

function connectionOptions(url: URL, limitMs: number): ConnectionOptions {
  if (url.protocol !== 'smtp:' && url.protocol !== 'smtps:')
    throw new TypeError(`expected SMTP_URL to begin with smtp:// or smtps://, got '${url.protocol}'`);
  const secure = url.protocol === 'smtps:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isLoopback = /^(127\.|::1$|localhost$)/.test(host);
  return {
    host,
    port: Number(url.port) || (secure ? 465 : 587),
    secure,
    // A password or a person's address in clear text leaves this machine to no other.
    requireTLS: !secure && !isLoopback,
    ignoreTLS: isLoopback,
    auth:
      url.username === '' ? null : { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) },
    limitMs,
  };
}

/** How far a delivery got: what an error means depends on it. */
type Stage = 'connecting' | 'signing in' | 'envelope';

function deliver(
  options: ConnectionOptions,
  envelope: { from: string; to: string[]; size: number },
  mail: Buffer,
): Promise<SendOutcome> {
  const { auth, limitMs, ...where } = options;
  const connection = new SMTPConnection({
    ...where,
    connectionTimeout: limitMs,
    greetingTimeout: limitMs,
    socketTimeout: limitMs,
    dnsTimeout: limitMs,
    socketCloseTimeout: 0,
    maxResponseSize: 16_384,
  });
  return new Promise((resolve) => {
    let stage: Stage = 'connecting';
    let handedOver = false;
    const settle = (outcome: SendOutcome) => {
      clearTimeout(timer);
      connection.close();
      resolve(outcome);
    };
    const fail = (error: unknown) => settle(errorOutcome(error as SmtpError, stage, handedOver));
    // Silence is seen by the socket; a byte now and then would keep it awake for ever.
    const timer = setTimeout(() => fail(new Error(`no end after ${limitMs} ms`)), limitMs);
    connection.on('error', fail);
    const send = () => {
      stage = 'envelope';
      // Read once the server has asked for the content; read to its end, the server may have the mail.
      const content = Readable.from([mail]);
      content.on('end', () => {
        handedOver = true;
      });
      connection.send(envelope, content, (error, info) => {
        if (error) return fail(error);
        clearTimeout(timer);
        // The mail is theirs; whether they say goodbye is of no interest.
        connection.quit();
        resolve({
          kind: 'sent',
          providerId: info?.serverMessageId ?? null,
          answer: scrubbed(new Error(info?.response)).slice(0, 200),
        });
      });
    };
    connection.connect((error) => {
      if (error) return fail(error);
      if (auth === null) return send();
      stage = 'signing in';
      connection.login({ credentials: auth }, (refused) => (refused ? fail(refused) : send()));
    });
  });
}

interface SmtpError extends Error {
  readonly code?: string;
  readonly responseCode?: number;
  readonly response?: string;
  readonly command?: string;
}

function errorOutcome(error: SmtpError, stage: Stage, handedOver: boolean): SendOutcome {
  const code = error.responseCode ?? 0;
  const said = error.response ?? error.message;
  const answer = scrubbed(new Error(`${error.command ?? stage}: ${said}`)).slice(0, 200);
  if (code === 0 && handedOver)
    return {
      kind: 'unknown',
      errorClass: 'NoAnswerError',
      answer: `the mail was handed over and no answer came: ${answer}`,
    };
  if (stage !== 'envelope')
    return {
      kind: 'again',
      errorClass: stage === 'signing in' ? 'SmtpSignInError' : 'SmtpConnectionError',
      answer,
      channelRefused: code >= 500,
    };
  if (code >= 500) return { kind: 'failed', errorClass: 'SmtpRefusedError', answer };
  if (code >= 400) return { kind: 'again', errorClass: 'SmtpDeferredError', answer };
  // The library itself refuses an address or a size that the server could not take.
  if (error.code === 'EENVELOPE' || error.code === 'EMESSAGE')
    return { kind: 'failed', errorClass: 'SmtpRefusedError', answer };
  return { kind: 'again', errorClass: 'SmtpConnectionError', answer };
}
