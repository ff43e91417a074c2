import type { SentMail } from './seed.ts';

/** All that the inbox at this address holds. Errors: fetch's. */
export async function readMails(inboxUrl: string): Promise<readonly SentMail[]> {
  const reply = await fetch(`${inboxUrl}/mails.json`);
  return (await reply.json()) as readonly SentMail[];
}
