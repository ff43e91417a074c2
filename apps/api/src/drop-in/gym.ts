import type { Producer } from '@nightshift/engine/accept';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import { methodNotAllowed } from '../http/refuse.ts';
import { answerCron, type CronSecret, demandSecret } from './cron-call.ts';
import { drained } from './drained.ts';
import type { DropIn } from './drop-in.ts';

export interface GymDeps extends CronSecret {
  readonly producer: Producer;
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
    await answerCron(deps.producer, dropIn, 'cron:gym', req, res);
  };
}

/** Errors: 405 for a method that starts nothing here, 401 (429) without the secret. */
async function demandMayCall(deps: GymDeps, req: Request, res: Response): Promise<void> {
  const getStarts = !deps.production || deps.allowGet;
  if (req.method !== 'POST' && !(req.method === 'GET' && getStarts)) {
    throw methodNotAllowed(getStarts ? ['POST', 'GET'] : ['POST']);
  }
  if (!deps.production && req.method === 'GET' && isOwnMachine(req)) return;
  await demandSecret(deps, req, res);
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
