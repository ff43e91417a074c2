import type { Request, RequestHandler, Response } from 'express';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import { ProblemError } from './problem.ts';

/** Wrong credentials that one address, and that all together, may try. Right ones are never counted and never refused. */
export interface WrongCredentialLimits {
  readonly perAddress: number;
  readonly together: number;
  readonly windowMs: number;
}

export const BEARER_LIMITS: WrongCredentialLimits = { perAddress: 100, together: 2_000, windowMs: 60_000 };
/** A person types a password: far fewer. */
export const SIGN_IN_LIMITS: WrongCredentialLimits = { perAddress: 10, together: 300, windowMs: 300_000 };

/** Counts a wrong credential; resolves with the refusal: `wrong` while the address is within its limit, else 429. */
export type CountWrong = (req: Request, res: Response, wrong: ProblemError) => Promise<ProblemError>;

export function createCountWrong(limits: WrongCredentialLimits): CountWrong {
  const limiters = [
    limiter(limits.windowMs, limits.perAddress, (req) => ipKeyGenerator(req.ip ?? 'unknown')),
    limiter(limits.windowMs, limits.together, () => 'together'),
  ];
  return async (req, res, wrong) => {
    for (const count of limiters) {
      const refusal = await new Promise<unknown>((resolve) => void count(req, res, resolve));
      if (refusal instanceof ProblemError) return refusal;
    }
    return wrong;
  };
}

function limiter(windowMs: number, limit: number, keyGenerator: (req: Request) => string) {
  return rateLimit({
    windowMs,
    limit,
    keyGenerator,
    standardHeaders: false,
    legacyHeaders: false,
    handler: (req, _res, next) => next(tooMany(req, windowMs)),
  });
}

function tooMany(
  req: Request,
  windowMs: number,
  code = 'too-many-attempts',
  detail = 'Too many wrong credentials. Wait and try again.',
): ProblemError {
  const { rateLimit: info } = req as { rateLimit?: { resetTime?: Date } };
  const waitMs = Math.max(1_000, (info?.resetTime?.getTime() ?? Date.now() + windowMs) - Date.now());
  return new ProblemError(429, code, detail, {
    headers: { 'Retry-After': String(Math.ceil(waitMs / 1_000)) },
  });
}

/** So many requests of one address in a minute, right or wrong ones. Errors (passed on): 429. */
export function createRequestLimit(perMinute: number): RequestHandler {
  return rateLimit({
    windowMs: 60_000,
    limit: perMinute,
    keyGenerator: (req) => ipKeyGenerator(req.ip ?? 'unknown'),
    standardHeaders: false,
    legacyHeaders: false,
    handler: (req, _res, next) =>
      next(tooMany(req, 60_000, 'too-many-requests', 'Too many requests in this minute. Wait and try again.')),
  });
}
