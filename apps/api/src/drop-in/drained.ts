import { createHash } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { type Idempotency, idempotencyOf } from '../http/idempotency.ts';
import { MAX_BODY_BYTES } from '../http/json-body.ts';
import type { Principal } from '../http/principal.ts';
import { ProblemError } from '../http/problem.ts';

/** Hosted crons send what they send: any type, any encoding, unknown fields. It is counted and thrown away. */
export function drained(next: RequestHandler): RequestHandler {
  return async (req, res, done) => {
    res.locals.drainedSha256 = await digestBody(req);
    await next(req, res, done);
  };
}

/** Errors: 413 past 1 MB; what is left of the body is then read by Node and dropped, so that the caller sees the answer. */
function digestBody(req: Request): Promise<string> {
  return new Promise((resolve, reject) => {
    const digest = createHash('sha256');
    let bytes = 0;
    const done = () => resolve(digest.copy().digest('hex'));
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      digest.update(chunk);
      if (bytes > MAX_BODY_BYTES) reject(new ProblemError(413, 'body-too-large', 'The body is larger than 1 MB.'));
    });
    req.once('end', done);
    req.once('close', done);
    req.once('error', done);
  });
}

/** The Idempotency-Key of a drained request: its body counts byte by byte. Errors: 400 for a key that is none. */
export function drainedIdempotency(req: Request, res: Response, principal: Principal): Idempotency | undefined {
  return idempotencyOf(req, principal, res.locals.drainedSha256);
}
