import type { Request } from 'express';
import { expect, test } from 'vitest';
import { refuseCrossSite } from '../board/same-site.ts';
import { bearerOf } from './authenticate.ts';
import { canonicalJson, idempotencyOf } from './idempotency.ts';
import { waitSeconds } from './prefer.ts';
import { isSameSecret } from './same-secret.ts';

const principal = { sub: 'ada', roles: ['operator'] as const, tenantId: null };

function request(headers: Record<string, string>, more: Partial<Request> = {}): Request {
  const rawHeaders = Object.entries(headers).flat();
  return { headers, rawHeaders, method: 'POST', path: '/v1/jobs/x/runs', ...more } as unknown as Request;
}

test.each([
  [{ authorization: 'Bearer abc' }, 'abc'],
  [{ authorization: 'bearer  abc' }, 'abc'],
  [{ authorization: 'Basic YTpi' }, null],
  [{ authorization: 'Bearer ' }, null],
  [{ authorization: 'Bearer a b' }, null],
  [{ authorization: 'Bearer a, Bearer b' }, null],
  [{}, null],
])('bearer of %j is %s', (headers, expected) => {
  expect(bearerOf(request(headers as Record<string, string>))).toBe(expected);
});

test('two Authorization headers prove nothing', () => {
  const req = {
    headers: { authorization: 'Bearer a' },
    rawHeaders: ['Authorization', 'Bearer a', 'authorization', 'Bearer b'],
  };
  expect(bearerOf(req as unknown as Request)).toBeNull();
});

test('secrets are compared whatever their lengths', () => {
  expect(isSameSecret('abc', 'abc')).toBe(true);
  for (const other of ['', 'ab', 'abcd', 'abd', 'x'.repeat(1_000_000)]) expect(isSameSecret(other, 'abc')).toBe(false);
});

test('spacing and order of fields make no other request; job, caller and values do', () => {
  const digest = (body: unknown, more: Partial<Request> = {}) =>
    idempotencyOf(request({ 'idempotency-key': 'k' }, more), principal, body)?.bodySha256.toString('hex');
  expect(digest({ a: 1, b: { c: [1, 2], d: 2 } })).toBe(digest({ b: { d: 2, c: [1, 2] }, a: 1 }));
  expect(digest({ a: 1 })).not.toBe(digest({ a: 2 }));
  expect(digest({ a: [1, 2] })).not.toBe(digest({ a: [2, 1] }));
  expect(digest({ a: 1 })).not.toBe(digest({ a: 1 }, { path: '/v1/jobs/y/runs' } as Partial<Request>));
});

test('canonical JSON reads back as the same value', () => {
  const value = { z: [{ b: 1, a: null }], a: 'x', n: 1.5, t: true };
  expect(JSON.parse(canonicalJson(value))).toEqual(value);
});

test.each(['', 'a b', 'k'.repeat(256), 'schlüssel', 'a\tb'])('Idempotency-Key %j is 400', (key) => {
  expect(() => idempotencyOf(request({ 'idempotency-key': key }), principal, {})).toThrow(/Idempotency-Key/);
});

test('no key is no idempotency', () => {
  expect(idempotencyOf(request({}), principal, {})).toBeUndefined();
});

test.each([
  [undefined, null],
  ['respond-async', null],
  ['wait=5', 5],
  ['respond-async, wait="10"', 10],
  ['Wait=7; x=1', 7],
  ['wait=999999', 300],
  ['wait=0', 0],
])('Prefer: %s waits %s s', (header, expected) => {
  expect(waitSeconds(header)).toBe(expected);
});

test.each(['wait=-1', 'wait=1.5', 'wait=soon', 'wait', 'wait='])('Prefer: %s is 400', (header) => {
  expect(() => waitSeconds(header)).toThrow(/whole number/);
});

test.each([
  ['a form of ours', 'POST', { 'sec-fetch-site': 'same-origin', host: 'a' }, true],
  ['a form of another site', 'POST', { 'sec-fetch-site': 'cross-site', host: 'a' }, false],
  ['a form of a sibling', 'POST', { 'sec-fetch-site': 'same-site', host: 'a' }, false],
  ['a form from nowhere', 'POST', { 'sec-fetch-site': 'none', host: 'a' }, false],
  ['an old browser on our page', 'POST', { origin: 'https://jobs.org', host: 'jobs.org' }, true],
  ['an old browser elsewhere', 'POST', { origin: 'https://evil.tld', host: 'jobs.org' }, false],
  ['a sandboxed page', 'POST', { origin: 'null', host: 'jobs.org' }, false],
  ['a look-alike', 'POST', { origin: 'https://jobs.org.evil.tld', host: 'jobs.org' }, false],
  ['behind a proxy that renames the host', 'POST', { origin: 'https://public.org', host: 'inner:3000' }, true],
  ['no browser', 'POST', { host: 'a' }, true],
  ['a link elsewhere', 'GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, true],
  ['a picture elsewhere', 'GET', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, false],
  ['an address typed in', 'GET', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }, true],
])('cross-site: %s', (_name, method, headers, allowed) => {
  let passed = false;
  const check = () =>
    refuseCrossSite('https://public.org')(
      request(headers as Record<string, string>, { method } as Partial<Request>),
      {} as never,
      () => {
        passed = true;
      },
    );
  if (allowed) {
    check();
    expect(passed).toBe(true);
  } else expect(check).toThrow(/other sites/);
});
