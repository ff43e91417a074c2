import type { Producer } from '@nightshift/engine/accept';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import { actAs, bearerOf, unauthorized } from '../http/authenticate.ts';
import { MAX_BODY_BYTES } from '../http/json-body.ts';
import type { CountWrong } from '../http/limits.ts';
import { secondsOf } from '../http/prefer.ts';
import { ProblemError } from '../http/problem.ts';
import { methodNotAllowed } from '../http/refuse.ts';
import { isSameSecret } from '../http/same-secret.ts';
import { type DropIn, startAndSum } from './drop-in.ts';

export interface GymDeps {
  readonly producer: Producer;
  readonly countWrong: CountWrong;
  readonly secret: string;
  readonly production: boolean;
  /** `GYM_CRON_ALLOW_GET`: for hosted crons that can only GET. */
  readonly allowGet: boolean;
}

/** The seed's paths (SPEC 3.2), by the last part of their address. */
export const GYM_PATHS: Readonly<Record<string, DropIn>> = {
  'commitment-scores': {
    job: 'gym.commitment-scores',
    sums: { membersProcessed: 'processed', membersUpdated: 'changed' },
  },
  'at-risk-detection': {
    job: 'gym.at-risk-detection',
    sums: { membersProcessed: 'processed', membersUpdated: 'changed' },
  },
  'coach-actions': { job: 'gym.coach-actions', sums: { coachesProcessed: 'processed', actionsCreated: 'changed' } },
};

export function gymRouter(deps: GymDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const [name, dropIn] of Object.entries(GYM_PATHS)) {
    router.all(`/api/cron/${name}`, drained(handler(deps, dropIn)));
  }
  return router;
}

function handler(deps: GymDeps, dropIn: DropIn): RequestHandler {
  return async (req, res) => {
    await demandMayCall(deps, req, res);
    const job = deps.producer.catalogue.get(dropIn.job);
    const { wait } = req.query;
    const timeoutMs = wait === undefined ? job.options.timeoutMs : secondsOf(wait) * 1_000;
    const controller = new AbortController();
    res.once('close', () => controller.abort());
    const actor = actAs(res, { sub: 'cron:gym', roles: ['service'], tenantId: null }).sub;
    const answer = await startAndSum(deps.producer, dropIn, { actor, timeoutMs, signal: controller.signal });
    if (!controller.signal.aborted) res.status(answer.status).json(answer.body);
  };
}

/** Errors: 405 for a method that starts nothing here, 401 (429) without the secret. */
async function demandMayCall(deps: GymDeps, req: Request, res: Response): Promise<void> {
  const getStarts = !deps.production || deps.allowGet;
  if (req.method !== 'POST' && !(req.method === 'GET' && getStarts)) {
    throw methodNotAllowed(getStarts ? ['POST', 'GET'] : ['POST']);
  }
  if (!deps.production && req.method === 'GET' && isOwnMachine(req)) return;
  const given = bearerOf(req);
  if (given === null || !isSameSecret(given, deps.secret)) {
    throw await deps.countWrong(req, res, unauthorized('Send CRON_SECRET as the bearer token.'));
  }
}

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;
const LOCAL_HOST = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;

/** A person's own terminal or browser, in development: not a proxy, and not a page of another site that the browser shows. */
function isOwnMachine(req: Request): boolean {
  const site = req.headers['sec-fetch-site'];
  return (
    LOOPBACK.test(req.socket.remoteAddress ?? '') &&
    LOCAL_HOST.test(req.headers.host ?? '') &&
    req.headers['x-forwarded-for'] === undefined &&
    req.headers.forwarded === undefined &&
    (site === undefined || site === 'none' || site === 'same-origin')
  );
}

/** Hosted crons send what they send: any type, any encoding, unknown fields. It is counted and thrown away. */
function drained(next: RequestHandler): RequestHandler {
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
