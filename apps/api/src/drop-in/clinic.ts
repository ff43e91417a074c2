import type { Producer } from '@nightshift/engine/accept';
import { Router } from 'express';
import { methodNotAllowed } from '../http/refuse.ts';
import { answerCron, type CronSecret, demandSecret } from './cron-call.ts';
import { drained } from './drained.ts';
import type { DropIn } from './drop-in.ts';

export interface ClinicDeps extends CronSecret {
  readonly producer: Producer;
}

/** The seed's paths (SPEC 3.1), by the last part of their address. */
export const CLINIC_PATHS: Readonly<Record<string, DropIn>> = {
  'refresh-summaries': {
    job: 'clinic.refresh-summaries',
    sums: { clientsProcessed: 'processed', summariesUpdated: 'changed' },
  },
  'generate-tasks': {
    job: 'clinic.generate-tasks',
    sums: { clientsProcessed: 'processed', tasksCreated: 'changed' },
  },
  'refresh-dashboard': { job: 'clinic.refresh-dashboard', sums: { viewsRefreshed: 'changed' }, lists: ['views'] },
};

/** A hosted cron sends GET, others POST: both start the job, and both need the secret. */
export function clinicRouter(deps: ClinicDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const [name, dropIn] of Object.entries(CLINIC_PATHS)) {
    router.all(
      `/api/jobs/${name}`,
      drained(async (req, res) => {
        if (req.method !== 'GET' && req.method !== 'POST') throw methodNotAllowed(['GET', 'POST']);
        await demandSecret(deps, req, res);
        await answerCron(deps.producer, dropIn, 'cron:clinic', req, res);
      }),
    );
  }
  return router;
}
