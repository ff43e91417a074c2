import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import PostalMime from 'postal-mime';

/** A mail as the inbox shows it. */
export interface Mail {
  /** Ascends with arrival. */
  readonly id: string;
  readonly receivedAt: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly messageId: string;
  readonly text: string;
  /** Null where the mail has none. */
  readonly html: string | null;
}

/** Mails that are kept; the oldest go first. */
const KEPT = 1_000;

/** The mails of a folder, as files that any mail program opens. */
export interface Mailbox {
  /** Newest first. */
  list(): readonly Mail[];
  find(id: string): Mail | undefined;
  add(raw: Buffer, recipients: readonly string[]): Promise<Mail>;
}

/** Opens the folder, made if missing, with what is in it. */
export async function openMailbox(dir: string): Promise<Mailbox> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const mails: Mail[] = [];
  for (const name of readdirSync(dir).sort()) {
    const id = /^(\d{13}-\d{4,})\.eml$/.exec(name)?.[1];
    if (id !== undefined) mails.push(await parse(id, readFileSync(join(dir, name)), []));
  }
  let count = 0;
  return {
    list: () => mails.toReversed(),
    find: (id) => mails.find((mail) => mail.id === id),
    async add(raw, recipients) {
      count += 1;
      const id = `${Date.now()}-${String(count).padStart(4, '0')}`;
      const mail = await parse(id, raw, recipients);
      writeFileSync(join(dir, `${id}.eml`), raw, { mode: 0o600 });
      mails.push(mail);
      for (const old of mails.splice(0, Math.max(0, mails.length - KEPT)))
        rmSync(join(dir, `${old.id}.eml`), { force: true });
      return mail;
    },
  };
}

async function parse(id: string, raw: Buffer, recipients: readonly string[]): Promise<Mail> {
  const parsed = await PostalMime.parse(raw);
  const named = (parsed.to ?? []).map((one) => one.address ?? one.name);
  return {
    id,
    receivedAt: new Date(Number(id.slice(0, 13))).toISOString(),
    from:
      parsed.from === undefined
        ? ''
        : [parsed.from.name, parsed.from.address && `<${parsed.from.address}>`].filter(Boolean).join(' '),
    to: recipients.length > 0 ? recipients : named,
    subject: parsed.subject ?? '',
    messageId: parsed.messageId ?? '',
    text: parsed.text ?? '',
    html: parsed.html ?? null,
  };
}
