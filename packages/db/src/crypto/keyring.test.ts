import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { KeyringError, parseKeyring } from './index.ts';

const key = () => randomBytes(32).toString('base64');

test('the first key is active, all can be found', () => {
  const ring = parseKeyring(`2026-11:${key()}, old:${key()}`);
  expect(ring.active.id).toBe('2026-11');
  expect(ring.ids).toEqual(['2026-11', 'old']);
  expect(ring.find('old')?.key.symmetricKeySize).toBe(32);
  expect(ring.find('older')).toBeUndefined();
});

describe('a keyring that cannot be used names the key and the fix, never the value', () => {
  const short = randomBytes(16).toString('base64');
  const good = key();
  test.each([
    ['nothing', '', /entry 1 of 1 must be id:base64/],
    ['a key without an id', good, /entry 1 of 1 must be id:base64/],
    ['a trailing comma', `a:${good},`, /entry 2 of 2/],
    ['a short key', `a:${short}`, /key 'a' has 16 bytes and needs 32; make one with: openssl rand -base64 32/],
    ['a long key', `a:${randomBytes(33).toString('base64')}`, /key 'a' has 33 bytes/],
    ['no base64', `a:${good.slice(0, 20)} ${good.slice(20)}`, /key 'a' is not base64/],
    ['one id twice', `a:${good},a:${key()}`, /key 'a' stands twice/],
    ['nothing but zeros', `a:${Buffer.alloc(32).toString('base64')}`, /key 'a' is trivial/],
  ])('%s', (_name, text, expected) => {
    const parse = () => parseKeyring(text);
    expect(parse).toThrow(KeyringError);
    expect(parse).toThrow(expected);
    for (const value of [good, short]) expect(parse).not.toThrow(value);
  });

  test('all problems at once', () => {
    expect(() => parseKeyring(`a:${short},b,c:${short}`)).toThrow(/'a'.*entry 2 of 3.*'c'/);
  });
});
