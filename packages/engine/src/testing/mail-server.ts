import type { AddressInfo } from 'node:net';
import PostalMime, { type Email } from 'postal-mime';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import { senderOptions } from '../notifications/channels.ts';
import type { SenderOptions } from '../notifications/sender.ts';

/** A mail as its server got it, and as its reader sees it. */
export interface ReceivedMail extends Email {
  /** Addresses of the envelope: who really gets it, and who is told that it could not be delivered. */
  readonly envelope: { readonly to: readonly string[]; readonly from: string };
  /** Who signed in. */
  readonly user: string | undefined;
}

/** A real SMTP server on loopback that keeps what it was given. */
export interface MailServer {
  /** In the order in which they came. */
  readonly mails: readonly ReceivedMail[];
  readonly port: number;
  /** `notifications` of a worker that sends its mails here. */
  readonly sending: SenderOptions;
  close(): Promise<void>;
}

export async function mailServer(): Promise<MailServer> {
  const mails: ReceivedMail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    allowInsecureAuth: true,
    disabledCommands: ['STARTTLS'],
    disableReverseLookup: true,
    onAuth: (auth, _session, done) => done(null, { user: auth.username }),
    onData(stream, session, done) {
      receive(stream, session).then(
        (mail) => {
          mails.push(mail);
          done();
        },
        (error: Error) => done(error),
      );
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  return {
    mails,
    port,
    sending: senderOptions({
      production: false,
      smtpUrl: `smtp://127.0.0.1:${port}`,
      mailFrom: 'Nightshift <jobs@example.org>',
      whatsapp: { url: '' },
      perSecond: { email: 10_000, whatsapp: 1, webhook: 1 },
      inHand: 100,
    }),
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function receive(stream: SMTPServerDataStream, session: SMTPServerSession): Promise<ReceivedMail> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  const { mailFrom, rcptTo } = session.envelope;
  return {
    ...(await PostalMime.parse(Buffer.concat(parts))),
    envelope: { to: rcptTo.map((one) => one.address), from: mailFrom === false ? '' : mailFrom.address },
    user: session.user as string | undefined,
  };
}
