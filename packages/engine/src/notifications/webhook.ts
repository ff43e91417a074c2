import { isIP } from 'node:net';
import { type Channel, SEND_LIMIT_MS, type SendOutcome } from './channel.ts';
import { type Answer, post, retryAfterMs } from './http-post.ts';
import { isLoopbackAddress, isPublicAddress } from './public-address.ts';

export interface WebhookSettings {
  /** True in development: addresses on this machine may be called, over http too and on any port. */
  readonly allowLoopback: boolean;
  readonly limitMs?: number;
}

/** Why a URL may not be called as a webhook; null when it may. What a name resolves to is checked when it is called. */
export function webhookProblem(text: string, { allowLoopback }: Pick<WebhookSettings, 'allowLoopback'>): string | null {
  if (!URL.canParse(text)) return 'it is no URL';
  // The parser turns 127.1, 0x7f000001 and full-width digits into plain addresses.
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (url.username !== '' || url.password !== '') return 'it has a user name or password in it';
  if (allowLoopback && (url.protocol === 'http:' || url.protocol === 'https:')) {
    if (isLoopbackAddress(host) || host === 'localhost') return null;
  }
  if (url.protocol !== 'https:') return 'it must begin with https://';
  if (url.port !== '') return 'it must use port 443';
  if (isIP(host) !== 0) return isPublicAddress(host) ? null : 'its address is not public';
  return host.includes('.') && !/\.(localhost|local|internal)$/.test(host) ? null : 'its host is not a public name';
}

/** Slack-compatible `{text}` with an Idempotency-Key that stays the same at every attempt. */
export function createWebhookChannel(settings: WebhookSettings): Channel {
  const allows = (address: string) =>
    isPublicAddress(address) || (settings.allowLoopback && isLoopbackAddress(address));
  return {
    idempotent: true,
    addressProblem: (to) => webhookProblem(to, settings),
    async send(message) {
      const answer = await post({
        url: new URL(message.to),
        headers: { 'Idempotency-Key': message.id, 'User-Agent': 'Nightshift' },
        body: JSON.stringify({ text: message.content.text }),
        limitMs: settings.limitMs ?? SEND_LIMIT_MS,
        allows,
      });
      return (
        httpOutcome(answer, { idempotent: true }) ?? {
          kind: 'sent',
          providerId: null,
          answer: `HTTP ${statusOf(answer)}`,
        }
      );
    },
  };
}

function statusOf(answer: Answer): number {
  return answer.kind === 'answered' ? answer.status : 0;
}

/** What an answer other than success means; null for success. */
export function httpOutcome(answer: Answer, { idempotent }: { idempotent: boolean }): SendOutcome | null {
  if (answer.kind === 'refused-address')
    return {
      kind: 'failed',
      errorClass: 'AddressNotPublicError',
      answer: 'the host resolves to an address that is not public',
    };
  if (answer.kind === 'no-answer') {
    const uncertain = answer.handedOver && !idempotent;
    return {
      kind: uncertain ? 'unknown' : 'again',
      errorClass: uncertain ? 'NoAnswerError' : 'HttpConnectionError',
      answer: answer.why,
    };
  }
  const { status } = answer;
  const said = `HTTP ${status}`;
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400)
    return { kind: 'failed', errorClass: 'RedirectError', answer: `${said}: redirects are not followed` };
  // A gateway says so of a server that may have done it.
  if ((status === 502 || status === 504) && !idempotent)
    return { kind: 'unknown', errorClass: 'NoAnswerError', answer: said };
  if (status === 408 || status === 425 || status === 429 || status >= 500)
    return {
      kind: 'again',
      errorClass: 'HttpDeferredError',
      answer: said,
      afterMs: retryAfterMs(answer.retryAfter, new Date()),
    };
  return { kind: 'failed', errorClass: 'HttpRefusedError', answer: said };
}
