import { createSecretKey, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boundTo, seal, unseal } from './seal.ts';

const key = createSecretKey(randomBytes(32));

test('whatever is sealed comes back, and never looks the same twice', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.array(fc.string()), (text, parts) => {
      const sealed = seal(key, text, boundTo(...parts));
      expect(unseal(key, sealed, boundTo(...parts))?.toString('utf8')).toBe(text);
      expect(seal(key, text, boundTo(...parts))).not.toBe(sealed);
    }),
  );
});

test('one bit changed anywhere, and nothing comes back', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), fc.nat(7), (plain, at, bit) => {
      const bytes = seal(key, plain, boundTo('a'))
        .split('.')
        .map((part) => Buffer.from(part, 'base64url'));
      const [iv, rest] = bytes as [Buffer, Buffer];
      const target = at % (iv.length + rest.length) < iv.length ? iv : rest;
      const i = at % target.length;
      target[i] = (target[i] ?? 0) ^ (1 << bit);
      expect(unseal(key, `${iv.toString('base64url')}.${rest.toString('base64url')}`, boundTo('a'))).toBeNull();
    }),
  );
});

test('no two lists of parts are bound alike', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (a, b) => {
      fc.pre(a.length !== b.length || a.some((part, i) => part !== b[i]));
      expect(boundTo(...a).equals(boundTo(...b))).toBe(false);
      expect(unseal(key, seal(key, 'x', boundTo(...a)), boundTo(...b))).toBeNull();
    }),
  );
});

test('a cut text opens nothing', () => {
  const sealed = seal(key, 'plain', boundTo('a'));
  for (let i = 0; i < sealed.length; i++) expect(unseal(key, sealed.slice(0, i), boundTo('a'))).toBeNull();
});
