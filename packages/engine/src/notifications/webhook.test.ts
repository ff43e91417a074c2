import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retryAfterMs } from './http-post.ts';
import { isPublicAddress } from './public-address.ts';
import { webhookProblem } from './webhook.ts';
import { phoneProblem } from './whatsapp.ts';

describe('a webhook URL', () => {
  test.each([
    'https://127.1/x', 'https://2130706433/', 'https://0x7f000001/', 'https://0177.0.0.1/', 'https://１２７.０.０.１/', 'https://[::ffff:7f00:1]/',
    'https://0/', 'https://169.254.169.254/latest/meta-data', 'https://localhost./', 'https://localhost/', 'https://[::1]/', 'https://[fe80::1]/',
    'https://[fd00::1]/', 'https://10.1.2.3/', 'https://user@hooks.example.org/', 'https://hooks.example.org@evil.example/', 'file:///etc/passwd',
    'gopher://example.org/', 'http://hooks.example.org/', 'https://hooks.example.org:8443/', 'https://db.internal/', 'https://redis/', 'nonsense',
    'https://[64:ff9b::7f00:1]/', 'https://[2002:7f00:1::]/',
  ])('refuses %s', (url) => {
    expect(webhookProblem(url, { allowLoopback: false })).not.toBeNull();
  }); // biome-ignore format: a list

  test('takes public https on its port', () => {
    for (const url of [
      'https://hooks.slack.com/services/T/B/x',
      'https://8.8.8.8/',
      'https://[2606:4700::1111]/',
      'https://hooks.example.org:443/',
    ])
      expect(webhookProblem(url, { allowLoopback: false }), url).toBeNull();
  });

  test('takes loopback in development, and nothing else that is private', () => {
    expect(webhookProblem('http://127.0.0.1:8080/x', { allowLoopback: true })).toBeNull();
    expect(webhookProblem('http://localhost:8080/x', { allowLoopback: true })).toBeNull();
    expect(webhookProblem('http://10.0.0.1/x', { allowLoopback: true })).not.toBeNull();
    expect(webhookProblem('file://localhost/x', { allowLoopback: true })).not.toBeNull();
  });
});

test('no address that wraps, or is, a private IPv4 address is public', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('10', '127', '0', '169.254', '192.168', '172.16', '224'),
      fc.nat(255),
      fc.nat(255),
      fc.nat(255),
      (prefix, a, b, c) => {
        const address = [...prefix.split('.'), a, b, c].slice(0, 4).join('.');
        expect(isPublicAddress(address)).toBe(false);
        expect(isPublicAddress(`::ffff:${address}`)).toBe(false);
      },
    ),
  );
  expect(isPublicAddress('1.1.1.1')).toBe(true);
  expect(isPublicAddress('not an address')).toBe(false);
});

test('Retry-After is seconds or a date, an hour at most', () => {
  const now = new Date('2026-11-22T10:00:00Z');
  expect(retryAfterMs('30', now)).toBe(30_000);
  expect(retryAfterMs('Sun, 22 Nov 2026 10:01:00 GMT', now)).toBe(60_000);
  expect(retryAfterMs('Sun, 22 Nov 2026 09:00:00 GMT', now)).toBe(0);
  expect(retryAfterMs('86400', now)).toBe(3_600_000);
  expect(retryAfterMs('soon', now)).toBeNull();
  expect(retryAfterMs(null, now)).toBeNull();
});

test('numbers are E.164', () => {
  expect(phoneProblem('+919876543210')).toBeNull();
  for (const bad of ['919876543210', '+0123456789', '+12', '+1234567890123456', '+91 98765 43210'])
    expect(phoneProblem(bad), bad).not.toBeNull();
});
