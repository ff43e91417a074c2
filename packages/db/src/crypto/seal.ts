import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
/** 96 bits, drawn anew each time (SP 800-38D 8.2.2): a key may seal 2^32 times. */
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** What a ciphertext is bound to, with no two lists of parts alike. */
export function boundTo(...parts: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(parts));
}

/** `<iv>.<ciphertext and tag>`, both base64url. */
export function seal(key: KeyObject, plain: string | Uint8Array, aad: Buffer): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad);
  const first = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
  return `${iv.toString('base64url')}.${Buffer.concat([first, cipher.final(), cipher.getAuthTag()]).toString('base64url')}`;
}

/** The plain bytes, or null: another key, another `aad`, or one bit changed. */
export function unseal(key: KeyObject, sealed: string, aad: Buffer): Buffer | null {
  const dot = sealed.indexOf('.');
  const iv = Buffer.from(sealed.slice(0, dot), 'base64url');
  const rest = Buffer.from(sealed.slice(dot + 1), 'base64url');
  if (dot === -1 || iv.length !== IV_BYTES || rest.length < TAG_BYTES) return null;
  const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(rest.subarray(rest.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(rest.subarray(0, rest.length - TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}
