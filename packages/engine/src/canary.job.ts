import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { defineJob } from './define-job.ts';

/** Named so that the record of a failed canary says that it was asked to fail. */
class CanaryError extends Error {
  override readonly name = 'CanaryError';
}

/** Proves that a run gets from accept to its end: for `nightshift doctor`, liveness and tests from outside. */
export const canary = defineJob({
  kind: 'request',
  name: 'ops.canary',
  title: 'Canary',
  description: 'Answers with what it was given and the worker that ran it.',
  scope: 'tenant',
  access: 'platform',
  priority: 'HIGH',
  retry: { delayMs: 1_000 },
  typicalMs: 1_000,
  maxMs: 60_000,
  input: z.strictObject({
    echo: z.string().max(1_000).optional(),
    /** Time to spend before it answers, ms. */
    workMs: z.int().min(0).max(60_000).default(0),
    fail: z.enum(['never', 'once', 'always']).default('never'),
  }),
  async before(ctx, runs) {
    const workMs = Math.max(...runs.map((run) => run.input.workMs));
    if (workMs > 0) await wait(workMs, undefined, { signal: ctx.signal });
  },
  async handle(ctx, runs) {
    return runs.map((run) => {
      const fails = run.input.fail === 'always' || (run.input.fail === 'once' && run.attempt === 1);
      if (fails) return { error: new CanaryError(`asked to fail: ${run.input.fail}`) };
      return { ok: { ...(run.input.echo === undefined ? {} : { echo: run.input.echo }), worker: ctx.worker } };
    });
  },
});
