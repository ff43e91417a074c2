import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { listPage, mailPage } from './inbox-pages.ts';
import { type Mailbox, openMailbox } from './mailbox.ts';

const MAIL_MAX_BYTES = 5_000_000;
const LOOPBACK = '127.0.0.1';

/** An SMTP server that delivers nothing, with a web inbox over what it was given. Both on loopback. */
export interface MailSink {
  /** For `SMTP_URL`. */
  readonly smtpUrl: string;
  /** The inbox; `/mails.json` is the same for programs. */
  readonly webUrl: string;
  close(): Promise<void>;
}

/** Starts on these ports (taken, or 0: on any) over the mails in `dir`. */
export async function startMailSink(options: { dir: string; smtpPort: number; webPort: number }): Promise<MailSink> {
  const mailbox = await openMailbox(options.dir);
  const smtp = smtpServer(mailbox);
  const web = createServer((request, response) => respond(mailbox, request, response));
  const smtpPort = await listen(smtp.server, options.smtpPort);
  const webPort = await listen(web, options.webPort);
  return {
    smtpUrl: `smtp://${LOOPBACK}:${smtpPort}`,
    webUrl: `http://${LOOPBACK}:${webPort}`,
    async close() {
      web.closeAllConnections();
      await Promise.all([
        new Promise<void>((resolve) => smtp.close(() => resolve())),
        new Promise((resolve) => web.close(resolve)),
      ]);
    },
  };
}

function smtpServer(mailbox: Mailbox): SMTPServer {
  const server = new SMTPServer({
    banner: 'Nightshift mail sink',
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    size: MAIL_MAX_BYTES,
    closeTimeout: 1_000,
    onData(stream, session, done) {
      const parts: Buffer[] = [];
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => {
        if (stream.sizeExceeded) return done(Object.assign(new Error('the mail is too big'), { responseCode: 552 }));
        const recipients = session.envelope.rcptTo.map((one) => one.address);
        mailbox.add(Buffer.concat(parts), recipients).then(
          () => done(),
          (error: Error) => done(error),
        );
      });
    },
  });
  // Of a connection that its client cut: nobody is there to be told.
  server.on('error', () => undefined);
  return server;
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' && port !== 0) resolve(listen(server, 0));
      else reject(error);
    });
    server.listen(port, LOOPBACK, () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

interface Answer {
  readonly status: number;
  readonly type?: 'text/html' | 'application/json';
  readonly body: string;
  readonly policy?: string;
}

const OWN_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'";
/** What a mail contains is nobody's to trust: no script, no request to anywhere. */
const MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";

function respond(mailbox: Mailbox, request: IncomingMessage, response: ServerResponse): void {
  const { status, type, body, policy } = answerOf(mailbox, request);
  response.writeHead(status, {
    'Content-Type': `${type ?? 'text/plain'}; charset=utf-8`,
    'Content-Security-Policy': policy ?? OWN_POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
    'Referrer-Policy': 'no-referrer',
  });
  response.end(body);
}

function answerOf(mailbox: Mailbox, request: IncomingMessage): Answer {
  // A page elsewhere whose name was made to resolve to this machine must not read the mail.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? ''))
    return { status: 403, body: 'Not this host.' };
  if (request.method !== 'GET') return { status: 405, body: 'Only GET.' };
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  if (path === '/') return { status: 200, type: 'text/html', body: listPage(mailbox.list()) };
  if (path === '/mails.json') return { status: 200, type: 'application/json', body: JSON.stringify(mailbox.list()) };
  const [, id = '', part] = /^\/mails\/([\d-]+)(\/html)?$/.exec(path) ?? [];
  const mail = mailbox.find(id);
  if (mail === undefined) return { status: 404, body: 'There is no such mail.' };
  if (part === undefined) return { status: 200, type: 'text/html', body: mailPage(mail) };
  return { status: 200, type: 'text/html', body: mail.html ?? '', policy: MAIL_POLICY };
}
