import type { CHANNELS } from '@nightshift/db/medication';
import type { NewNotification, RequestContext } from '@nightshift/engine';

/** How a user can be written to; envelopes as they are stored. */
export interface Recipient {
  readonly userId: string;
  readonly channel: (typeof CHANNELS)[number];
  readonly emailEnc: string | null;
  readonly phoneEnc: string | null;
  readonly remindersOptIn: boolean;
  readonly namesInTexts: boolean;
}

/** Columns of a `Recipient`, of `medication.users AS u`. */
export const RECIPIENT_COLUMNS = `u.id AS "userId", u.channel, u.email_enc AS "emailEnc", u.phone_enc AS "phoneEnc",
  u.reminders_opt_in AS "remindersOptIn", u.names_in_texts AS "namesInTexts"`;

/** Why nothing is sent to a user, or null. */
export function silence(user: Recipient): string | null {
  if (!user.remindersOptIn) return 'the user wants no messages';
  return addressOf(user).envelope === null ? `no ${user.channel} address` : null;
}

function addressOf(user: Recipient): { readonly column: string; readonly envelope: string | null } {
  switch (user.channel) {
    case 'email':
      return { column: 'email_enc', envelope: user.emailEnc };
    case 'whatsapp':
      return { column: 'phone_enc', envelope: user.phoneEnc };
    default:
      return user.channel satisfies never;
  }
}

type Message = Pick<NewNotification, 'dedupeKey' | 'template' | 'data'> & Partial<NewNotification>;

/** Messages to users that are not silent, their addresses decrypted together. Errors: `DecryptionError`. */
export async function notifyUsers(
  ctx: Pick<RequestContext, 'crypto' | 'notify'>,
  tenantId: string,
  messages: readonly { readonly user: Recipient; readonly message: Message }[],
): Promise<void> {
  if (messages.length === 0) return;
  const addresses = await ctx.crypto.decryptAll(
    messages.map(({ user }) => {
      const { column, envelope } = addressOf(user);
      return { ref: { tenantId, place: `medication.users.${column}`, row: user.userId }, envelope: envelope ?? '' };
    }),
  );
  await ctx.notify(
    messages.map(({ user, message }, i) => ({
      tenantId,
      channel: user.channel,
      to: addresses[i] ?? '',
      userKey: user.userId,
      ...message,
    })),
  );
}
