import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';

/** Each request gets an id of ours; one that the caller sends is not believed, since it would stand in logs and audit rows. */
export const assignRequestId: RequestHandler = (_req, res, next) => {
  res.locals.requestId = randomUUID();
  res.setHeader('X-Request-Id', requestIdOf(res));
  next();
};

export function requestIdOf(res: Response): string {
  return res.locals.requestId as string;
}
