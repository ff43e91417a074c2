import { createEmailChannel } from './email.ts';
import type { SenderOptions } from './sender.ts';
import { createWebhookChannel } from './webhook.ts';
import { createWhatsAppChannel } from './whatsapp.ts';

/** What the environment says about sending. */
export interface SendingSettings {
  readonly production: boolean;
  readonly smtpUrl?: string | undefined;
  readonly mailFrom?: string | undefined;
  readonly whatsapp: {
    readonly url: string;
    readonly token?: string | undefined;
    readonly phoneId?: string | undefined;
  };
  /** Messages a second, of the whole fleet. */
  readonly perSecond: { readonly email: number; readonly whatsapp: number; readonly webhook: number };
  readonly inHand: number;
}

/** The channels as the environment sets them. Errors: `TypeError` for an SMTP_URL or MAIL_FROM that cannot work. */
export function senderOptions(settings: SendingSettings): SenderOptions {
  const { smtpUrl, mailFrom, whatsapp, perSecond, production } = settings;
  const { url, token, phoneId } = whatsapp;
  return {
    inHand: settings.inHand,
    unset: production ? 'failed' : 'suppressed',
    channels: {
      email: {
        channel: smtpUrl && mailFrom ? createEmailChannel({ url: smtpUrl, from: mailFrom }) : null,
        variables: 'SMTP_URL and MAIL_FROM',
        perSecond: perSecond.email,
      },
      whatsapp: {
        channel: token && phoneId ? createWhatsAppChannel({ url, token, phoneId }) : null,
        variables: 'WHATSAPP_TOKEN and WHATSAPP_PHONE_ID',
        perSecond: perSecond.whatsapp,
      },
      webhook: {
        channel: createWebhookChannel({ allowLoopback: !production }),
        variables: 'nothing',
        perSecond: perSecond.webhook,
      },
    },
  };
}
