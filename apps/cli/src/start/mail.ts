import { join } from 'node:path';
import type { Environment } from '../home.ts';
import { type MailSink, startMailSink } from '../mail/mail-sink.ts';
import type { Steps } from './steps.ts';

/** Where such tools usually listen. */
const SMTP_PORT = 1025;
const WEB_PORT = 8025;
/** `.localhost` can be nobody's mail domain (RFC 6761). */
const MAIL_FROM = 'Nightshift <jobs@nightshift.localhost>';

/** A mail server that delivers nothing, for development; null in production and where SMTP_URL names a server. */
export async function startMail(
  home: string,
  env: Environment,
  production: boolean,
  steps: Steps,
): Promise<MailSink | null> {
  if (production || env.SMTP_URL) return null;
  let mail: MailSink | null = null;
  await steps.run('mail', async () => {
    mail = await startMailSink({ dir: join(home, 'mail'), smtpPort: SMTP_PORT, webPort: WEB_PORT });
    return `kept here, read it at ${mail.webUrl}`;
  });
  return mail;
}

/** Variables of workers that send to it; it minds no speed, and whoever tries the night wants to read its mail. */
export function mailVariables(mail: MailSink | null, env: Environment): Record<string, string> {
  return mail === null
    ? {}
    : {
        SMTP_URL: mail.smtpUrl,
        MAIL_FROM: env.MAIL_FROM || MAIL_FROM,
        EMAIL_PER_SECOND: env.EMAIL_PER_SECOND || '200',
      };
}
