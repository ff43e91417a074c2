import { createHmac } from 'node:crypto';

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PATCH';
  /** Sent as JSON; text is sent as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: a platform admin's. Null: none. */
  readonly token?: string | null;
  /** Default 30 s. */
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect out of it
  readonly body: any;
  readonly ms: number;
}

/** Speaks to the APIs that are up, in turn. */
export interface Caller {
  /** Errors: fetch's, when nobody answers. */
  call(path: string, call?: Call): Promise<HttpAnswer>;
  token(claims: Readonly<Record<string, unknown>>): string;
}

const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** HS256, an hour. */
export function signToken(secret: string, claims: Readonly<Record<string, unknown>>): string {
  const now = Math.floor(Date.now() / 1_000);
  const all = { iss: 'nightshift', aud: 'nightshift', iat: now, exp: now + 3_600, ...claims };
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url(all)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

export function createCaller(urls: () => readonly string[], jwtSecret: string): Caller {
  const token = (claims: Readonly<Record<string, unknown>>) => signToken(jwtSecret, claims);
  const admin = token({ sub: 'fleet', role: 'admin' });
  let turn = 0;
  return {
    token,
    async call(path, { method = 'GET', body, headers = {}, token: given = admin, timeoutMs = 30_000 } = {}) {
      const up = urls();
      const url = up[turn++ % up.length];
      if (url === undefined) throw new Error('no API is up');
      const startedAt = performance.now();
      const response = await fetch(`${url}${path}`, {
        method,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          ...(given === null ? {} : { authorization: `Bearer ${given}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const json = response.headers.get('content-type')?.includes('json') === true;
      return {
        status: response.status,
        headers: response.headers,
        body: json ? JSON.parse(text) : text,
        ms: performance.now() - startedAt,
      };
    },
  };
}
