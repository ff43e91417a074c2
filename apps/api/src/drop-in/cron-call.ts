import type { Producer } from '@nightshift/engine/accept';
import type { Request, Response } from 'express';
import { actAs, bearerOf, unauthorized } from '../http/authenticate.ts';
import type { CountWrong } from '../http/limits.ts';
import { secondsOf } from '../http/prefer.ts';
import { isSameSecret } from '../http/same-secret.ts';
import { drainedIdempotency } from './drained.ts';
import { type DropIn, startAndSum } from './drop-in.ts';

export interface CronSecret {
  readonly countWrong: CountWrong;
  /** `CRON_SECRET` */
  readonly secret: string;
}

/** Errors: 401 (429) without the secret. */
export async function demandSecret(deps: CronSecret, req: Request, res: Response): Promise<void> {
  const given = bearerOf(req);
  if (given === null || !isSameSecret(given, deps.secret)) {
    throw await deps.countWrong(req, res, unauthorized('Send CRON_SECRET as the bearer token.'));
  }
}

/** Starts the job for all its tenants as `sub` and answers when all runs have ended, or after `?wait` seconds. */
export async function answerCron(
  producer: Producer,
  dropIn: DropIn,
  sub: string,
  req: Request,
  res: Response,
): Promise<void> {
  const job = producer.catalogue.get(dropIn.job);
  const { wait } = req.query;
  const timeoutMs = wait === undefined ? job.options.timeoutMs : secondsOf(wait) * 1_000;
  const controller = new AbortController();
  res.once('close', () => controller.abort());
  const principal = actAs(res, { sub, roles: ['service'], tenantId: null });
  const answer = await startAndSum(producer, dropIn, {
    actor: principal.sub,
    timeoutMs,
    signal: controller.signal,
    idempotency: drainedIdempotency(req, res, principal),
  });
  if (!controller.signal.aborted) res.status(answer.status).json(answer.body);
}
