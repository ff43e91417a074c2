import { lookup } from 'node:dns/promises';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';

/** Bytes of an answer that are read; the rest is left. */
const ANSWER_MAX = 64 * 1024;
/** How long the rest of an answer is waited for once its status is known, ms. */
const BODY_WAIT_MS = 2_000;

export interface Post {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Of the whole call, ms. */
  readonly limitMs: number;
  /** Says of each address that the host resolves to whether it may be called. */
  readonly allows: (address: string) => boolean;
}

export type Answer =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfter: string | null; readonly body: string }
  /** `handedOver` false: the request certainly did not get there. */
  | { readonly kind: 'no-answer'; readonly handedOver: boolean; readonly why: string }
  | { readonly kind: 'refused-address' };

class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError';
}

/** One POST over a connection of its own: no redirect is followed, time and answer are bounded. Never rejects. */
export function post({ url, headers, body, limitMs, allows }: Post): Promise<Answer> {
  return new Promise((resolve) => {
    let connected = false;
    let request: ClientRequest | null = null;
    const settle = (answer: Answer) => {
      clearTimeout(timer);
      request?.destroy();
      resolve(answer);
    };
    const timer = setTimeout(
      () => settle({ kind: 'no-answer', handedOver: connected, why: `no answer in ${limitMs} ms` }),
      limitMs,
    );
    const begin = url.protocol === 'https:' ? httpsRequest : httpRequest;
    request = begin(url, {
      method: 'POST',
      agent: false,
      lookup: checkedLookup(allows),
      headers: { ...headers, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
    });
    request.on('socket', (socket) => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true;
      });
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (error instanceof RefusedAddressError) settle({ kind: 'refused-address' });
      else settle({ kind: 'no-answer', handedOver: connected, why: error.code ?? error.message });
    });
    request.on('response', (response) => {
      clearTimeout(timer);
      void readBody(response, Math.min(limitMs, BODY_WAIT_MS)).then((text) =>
        settle({
          kind: 'answered',
          status: response.statusCode ?? 0,
          retryAfter: response.headers['retry-after'] ?? null,
          body: text,
        }),
      );
    });
    request.end(body);
  });
}

/** The address that was checked is the one that is called: a name cannot answer differently the second time. */
function checkedLookup(allows: (address: string) => boolean): LookupFunction {
  return (host, options, callback) => {
    lookup(host, {
      all: true,
      family: options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : (options.family ?? 0),
    }).then(
      (found) => {
        if (found.length === 0 || !found.every(({ address }) => allows(address))) {
          callback(new RefusedAddressError('the host resolves to an address that may not be called'), '', 4);
        } else if (options.all) callback(null, found);
        else callback(null, found[0]?.address ?? '', found[0]?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 4),
    );
  };
}

/** As much of the body as comes in time and fits. */
function readBody(response: IncomingMessage, waitMs: number): Promise<string> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let size = 0;
    const done = () => {
      clearTimeout(timer);
      resolve(Buffer.concat(parts).subarray(0, ANSWER_MAX).toString('utf8'));
    };
    const timer = setTimeout(done, waitMs);
    response.on('data', (part: Buffer) => {
      parts.push(part);
      size += part.length;
      if (size >= ANSWER_MAX) done();
    });
    response.on('end', done);
    response.on('error', done);
    response.on('close', done);
  });
}

/** Ms that a Retry-After asks for, an hour at most; null when it says nothing readable. */
export function retryAfterMs(value: string | null, now: Date): number | null {
  if (value === null) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - now.getTime();
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), 3_600_000);
}
