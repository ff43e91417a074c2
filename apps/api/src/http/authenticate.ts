import type { Request, RequestHandler, Response } from 'express';
import type { CountWrong } from './limits.ts';
import type { Principal } from './principal.ts';
import { ProblemError } from './problem.ts';
import { InvalidTokenError, type VerifyToken } from './token.ts';

/** The one bearer credential of a request, or null. Two Authorization headers prove nothing: Node would keep the first. */
export function bearerOf(req: Request): string | null {
  const given = req.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'authorization').length;
  const match = given === 1 ? /^Bearer +([^\s,]+)$/i.exec(req.headers.authorization ?? '') : null;
  return match?.[1] ?? null;
}

export function unauthorized(detail: string): ProblemError {
  return new ProblemError(401, 'unauthorized', detail, {
    headers: { 'WWW-Authenticate': 'Bearer realm="nightshift"' },
  });
}

/** Lets a request on once its bearer token says who asks; `principalOf` tells from then on. */
export function createAuthenticate(verify: VerifyToken, countWrong: CountWrong): RequestHandler {
  return async (req, res, next) => {
    const token = bearerOf(req);
    if (token === null)
      throw await countWrong(req, res, unauthorized('Send one bearer token in the Authorization header.'));
    try {
      res.locals.principal = await verify(token);
    } catch (error) {
      if (!(error instanceof InvalidTokenError)) throw error;
      req.log?.info({ reason: error.message.slice(0, 200) }, 'A bearer token was refused');
      throw await countWrong(req, res, unauthorized('The bearer token is not valid, or not any more.'));
    }
    next();
  };
}

export function principalOf(res: Response): Principal | null {
  return (res.locals.principal as Principal | undefined) ?? null;
}

/** Names whoever passed a static secret, so that refusals after it are recorded as theirs. */
export function actAs(res: Response, principal: Principal): Principal {
  res.locals.principal = principal;
  return principal;
}
