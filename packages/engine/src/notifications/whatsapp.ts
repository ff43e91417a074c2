import { type Channel, type Outgoing, SEND_LIMIT_MS, type SendOutcome } from './channel.ts';
import { type Answer, post } from './http-post.ts';
import { httpOutcome } from './webhook.ts';

export interface WhatsAppSettings {
  /** Of the Graph API with its version, such as `https://graph.facebook.com/v23.0`. */
  readonly url: string;
  readonly token: string;
  /** Id of the sending number. */
  readonly phoneId: string;
  readonly limitMs?: number;
}

/** ITU-T E.164: a plus, a country code, 15 digits at most. */
export function phoneProblem(to: string): string | null {
  return /^\+[1-9]\d{6,14}$/.test(to) ? null : 'it is no number like +919876543210';
}

/** The WhatsApp Cloud API's message endpoint. It knows no idempotency key: what got no answer is never sent again by itself. */
export function createWhatsAppChannel(settings: WhatsAppSettings): Channel {
  const url = new URL(`${settings.url.replace(/\/+$/, '')}/${encodeURIComponent(settings.phoneId)}/messages`);
  return {
    idempotent: false,
    addressProblem: phoneProblem,
    async send(message) {
      const answer = await post({
        url,
        headers: { Authorization: `Bearer ${settings.token}`, 'User-Agent': 'Nightshift' },
        body: JSON.stringify(bodyOf(message)),
        limitMs: settings.limitMs ?? SEND_LIMIT_MS,
        // The operator's own setting, not a tenant's.
        allows: () => true,
      });
      return outcomeOf(answer);
    },
  };
}

function bodyOf({ to, content }: Outgoing): Record<string, unknown> {
  const { whatsapp, text } = content;
  const head = { messaging_product: 'whatsapp', recipient_type: 'individual', to: to.slice(1) };
  if (whatsapp === null) return { ...head, type: 'text', text: { preview_url: false, body: text.slice(0, 4_096) } };
  const parameters = whatsapp.parameters.map((parameter) => ({ type: 'text', text: parameter }));
  return {
    ...head,
    type: 'template',
    template: {
      name: whatsapp.template,
      language: { code: whatsapp.language },
      components: parameters.length === 0 ? [] : [{ type: 'body', parameters }],
    },
  };
}

function outcomeOf(answer: Answer): SendOutcome {
  if (answer.kind === 'answered' && (answer.status === 401 || answer.status === 403)) {
    return {
      kind: 'again',
      errorClass: 'WhatsAppTokenError',
      answer: `HTTP ${answer.status}${codeOf(answer.body)}`,
      channelRefused: true,
    };
  }
  const outcome = httpOutcome(answer, { idempotent: false });
  if (answer.kind !== 'answered')
    return outcome ?? { kind: 'unknown', errorClass: 'NoAnswerError', answer: answer.kind };
  if (outcome !== null) return { ...outcome, answer: `${outcome.answer}${codeOf(answer.body)}` };
  return { kind: 'sent', providerId: messageId(answer.body), answer: `HTTP ${answer.status}` };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function messageId(body: string): string | null {
  const id = (parsed(body) as { messages?: { id?: unknown }[] } | null)?.messages?.[0]?.id;
  return typeof id === 'string' ? id.slice(0, 200) : null;
}

/** The API's own error code; its text may name the number. */
function codeOf(body: string): string {
  const code = (parsed(body) as { error?: { code?: unknown } } | null)?.error?.code;
  return typeof code === 'number' ? `, code ${code}` : '';
}
