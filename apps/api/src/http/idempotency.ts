import { createHash } from 'node:crypto';
import type { Request } from 'express';
import type { Principal } from './principal.ts';
import { ProblemError } from './problem.ts';

export interface Idempotency {
  readonly principal: string;
  readonly key: string;
  readonly bodySha256: Buffer;
}

/**
 * The request's Idempotency-Key with a digest of what it asks for, or undefined without one. The digest is of the parsed body, so that
 * spacing and the order of fields don't make another request of it, and of the path, so that a key is not carried to another job.
 * Errors: 400 for a key that is no printable ASCII of at most 255 characters.
 */
export function idempotencyOf(req: Request, principal: Principal, body: unknown): Idempotency | undefined {
  const key = req.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    const detail = 'Idempotency-Key must be 1 to 255 printable ASCII characters without spaces.';
    throw new ProblemError(400, 'invalid-idempotency-key', detail);
  }
  const asked = `${req.method} ${req.path}\n${canonicalJson(body)}`;
  return { principal: principal.sub, key, bodySha256: createHash('sha256').update(asked).digest() };
}

/** JSON with the fields of every object in order of their names. */
export function canonicalJson(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
        : inner,
    ) ?? 'null'
  );
}
