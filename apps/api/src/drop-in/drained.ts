import type { Request, RequestHandler } from 'express';
import { MAX_BODY_BYTES } from '../http/json-body.ts';
import { ProblemError } from '../http/problem.ts';

/** Hosted crons send what they send: any type, any encoding, unknown fields. It is counted and thrown away. */
export function drained(next: RequestHandler): RequestHandler {
  return async (req, res, done) => {
    await countBody(req);
    await next(req, res, done);
  };
}

/** Errors: 413 past 1 MB; what is left of the body is then read by Node and dropped, so that the caller sees the answer. */
function countBody(req: Request): Promise<void> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) reject(new ProblemError(413, 'body-too-large', 'The body is larger than 1 MB.'));
    });
    req.once('end', resolve);
    req.once('close', resolve);
    req.once('error', () => resolve());
  });
}
