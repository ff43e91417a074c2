import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares in a time that depends on neither value: both are hashed first, so that lengths don't show either. */
export function isSameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}
