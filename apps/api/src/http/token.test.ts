import { createHmac, generateKeyPairSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createVerifyToken, InvalidTokenError } from './token.ts';

const SECRET = 'a-secret-of-more-than-thirty-two-characters';
const key = new TextEncoder().encode(SECRET);
const verify = createVerifyToken({ secret: SECRET, issuer: 'nightshift', audience: 'nightshift' });
const now = () => Math.floor(Date.now() / 1_000);
const GOOD = { sub: 'ada', role: 'operator', iss: 'nightshift', aud: 'nightshift' };

/** Signed as given, whatever it says: libraries refuse to make most of these. */
function forge(header: object, payload: object, secret = SECRET): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}
const hs = { alg: 'HS256', typ: 'JWT' };

test('a good token tells who asks', async () => {
  const tenant = '0192F1C0-0000-7000-8000-00000000ABCD';
  expect(await verify(forge(hs, { ...GOOD, tenant, exp: now() + 60 }))).toEqual({
    sub: 'ada',
    roles: ['operator'],
    tenantId: tenant.toLowerCase(),
  });
});

test('a list of roles does as well, and a header without a type', async () => {
  const { role: _, ...claims } = GOOD;
  const token = forge({ alg: 'HS256' }, { ...claims, roles: ['viewer', 'admin'], exp: now() + 60 });
  expect(await verify(token)).toMatchObject({ roles: ['viewer', 'admin'], tenantId: null });
});

describe('refused', () => {
  const exp = now() + 3_600;
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ ...GOOD, exp })).toString('base64url')}.`;
  test.each([
    ['nothing', ''],
    ['noise', 'abc.def.ghi'],
    ['alg none', unsigned],
    ['another secret', forge(hs, { ...GOOD, exp }, 'another-secret-of-more-than-thirty-two-chars')],
    ['another algorithm', forge({ alg: 'HS512' }, { ...GOOD, exp })],
    ['expired', forge(hs, { ...GOOD, exp: now() - 60 })],
    ['not yet valid', forge(hs, { ...GOOD, exp, nbf: now() + 600 })],
    ['no end', forge(hs, GOOD)],
    ['an end that is text', forge(hs, { ...GOOD, exp: String(exp) })],
    ['another audience', forge(hs, { ...GOOD, aud: 'other', exp })],
    ['no audience', forge(hs, { ...GOOD, aud: undefined, exp })],
    ['another issuer', forge(hs, { ...GOOD, iss: 'other', exp })],
    ['no issuer', forge(hs, { ...GOOD, iss: undefined, exp })],
    ['an unknown critical header', forge({ ...hs, crit: ['x'], x: 1 }, { ...GOOD, exp })],
    ['another type', forge({ ...hs, typ: 'dpop+jwt' }, { ...GOOD, exp })],
    ['no subject', forge(hs, { ...GOOD, sub: undefined, exp })],
    ['a subject that breaks a log line', forge(hs, { ...GOOD, sub: 'ada\nroot', exp })],
    ['no role', forge(hs, { ...GOOD, role: undefined, exp })],
    ['an unknown role', forge(hs, { ...GOOD, role: 'root', exp })],
    ['a tenant that is no id', forge(hs, { ...GOOD, tenant: "x' OR 1=1--", exp })],
  ])('%s', async (_name, token) => {
    await expect(verify(token)).rejects.toBeInstanceOf(InvalidTokenError);
  });
});

describe('with the keys of an identity provider', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  let server: Server;
  let jwksUrl: string;
  beforeAll(async () => {
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
    server = createServer((_req, res) => void res.end(JSON.stringify({ keys: [jwk] })));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  });
  afterAll(() => server.close());
  const options = () => ({ jwksUrl, issuer: 'nightshift', audience: 'nightshift' });
  const signed = () =>
    new SignJWT({ role: 'viewer' }).setProtectedHeader({ alg: 'ES256', kid: 'k1', typ: 'at+jwt' }).setSubject('bob')
      .setIssuer('nightshift').setAudience('nightshift').setExpirationTime('1m').sign(privateKey); // biome-ignore format: a chain

  test('a token of theirs is good', async () => {
    expect(await createVerifyToken(options())(await signed())).toMatchObject({ sub: 'bob', roles: ['viewer'] });
  });

  test('the public key does not pass as an HMAC secret', async () => {
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const token = forge({ alg: 'HS256', kid: 'k1' }, { ...GOOD, exp: now() + 60 }, pem);
    await expect(createVerifyToken(options())(token)).rejects.toBeInstanceOf(InvalidTokenError);
  });

  test('a shared secret may stand beside the keys', async () => {
    const both = createVerifyToken({ ...options(), secret: SECRET });
    expect(await both(await signed())).toMatchObject({ sub: 'bob' });
    const own = await new SignJWT({ role: 'admin' }).setProtectedHeader({ alg: 'HS256' }).setSubject('ada').setIssuer('nightshift')
      .setAudience('nightshift').setExpirationTime('1m').sign(key); // biome-ignore format: a chain
    expect(await both(own)).toMatchObject({ sub: 'ada' });
  });

  test('while the keys cannot be had it is our fault, not the caller’s', async () => {
    const away = createVerifyToken({ ...options(), jwksUrl: 'http://127.0.0.1:1/jwks' });
    await expect(away(await signed())).rejects.toMatchObject({ status: 503, code: 'keys-unavailable' });
  });
});
