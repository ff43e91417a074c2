import {
  createRemoteJWKSet,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  type JWTVerifyResult,
  jwtVerify,
} from 'jose';
import { z } from 'zod';
import { type Principal, ROLES } from './principal.ts';
import { ProblemError } from './problem.ts';

export interface TokenOptions {
  /** HS256. */
  readonly secret?: string | undefined;
  readonly jwksUrl?: string | undefined;
  readonly issuer: string;
  readonly audience: string;
}

/** Checks a bearer token. Errors: `InvalidTokenError`; 503 when the identity provider's keys cannot be had. */
export type VerifyToken = (token: string) => Promise<Principal>;

/** The token does not prove who asks. Why is for the log alone: an answer that says it helps to forge one. */
export class InvalidTokenError extends Error {
  override readonly name = 'InvalidTokenError';
}

const role = z.enum(ROLES);

export const claimsSchema = z
  .object({
    sub: z
      .string()
      .min(1)
      .max(200)
      .refine((sub) => !/\p{Cc}/u.test(sub), { error: 'control characters' }),
    role: role.optional(),
    roles: z.array(role).max(ROLES.length).optional(),
    tenant: z.guid().optional(),
    exp: z.number(),
  })
  .refine((claims) => claims.role !== undefined || (claims.roles ?? []).length > 0, { error: 'no role' });

// Fixed by us, never taken from the token: a public key would otherwise pass as an HMAC secret.
const SYMMETRIC = ['HS256'];
const ASYMMETRIC = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
/** ID tokens and others of an identity provider carry other types. */
const TYPES = new Set(['jwt', 'at+jwt']);

export function createVerifyToken(options: TokenOptions): VerifyToken {
  const common: JWTVerifyOptions = {
    issuer: options.issuer,
    audience: options.audience,
    requiredClaims: ['exp', 'sub'],
    clockTolerance: 5,
  };
  const secret = options.secret === undefined ? null : new TextEncoder().encode(options.secret);
  const keys =
    options.jwksUrl === undefined ? null : createRemoteJWKSet(new URL(options.jwksUrl), { timeoutDuration: 2_000 });

  async function verified(token: string): Promise<JWTVerifyResult<JWTPayload>> {
    if (secret !== null && (keys === null || isSymmetric(token))) {
      return await jwtVerify(token, secret, { ...common, algorithms: SYMMETRIC });
    }
    if (keys !== null) return await jwtVerify(token, keys, { ...common, algorithms: ASYMMETRIC });
    throw new InvalidTokenError('no key is configured');
  }

  return async (token) => {
    const { payload, protectedHeader } = await verified(token).catch((error: unknown) => {
      throw refusal(error);
    });
    if (protectedHeader.typ !== undefined && !TYPES.has(protectedHeader.typ.toLowerCase())) {
      throw new InvalidTokenError('its typ is not an access token');
    }
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw new InvalidTokenError('its claims break their schema', { cause: claims.error });
    const { sub, tenant } = claims.data;
    const roles = [
      ...new Set([...(claims.data.roles ?? []), ...(claims.data.role === undefined ? [] : [claims.data.role])]),
    ];
    return { sub, roles, tenantId: tenant?.toLowerCase() ?? null };
  };
}

function isSymmetric(token: string): boolean {
  try {
    return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).alg === 'HS256';
  } catch {
    return false;
  }
}

function refusal(error: unknown): Error {
  if (error instanceof InvalidTokenError) return error;
  const unreachable =
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    !(error instanceof errors.JOSEError) ||
    (error.code === 'ERR_JOSE_GENERIC' && /HTTP response/.test(error.message));
  if (unreachable && !(error instanceof TypeError && /token|JWT/i.test(error.message))) {
    const detail = 'The keys that check tokens cannot be had at the moment. Try again.';
    return new ProblemError(503, 'keys-unavailable', detail, { headers: { 'Retry-After': '5' }, cause: error });
  }
  return new InvalidTokenError(error instanceof Error ? error.message : 'unreadable', { cause: error });
}
