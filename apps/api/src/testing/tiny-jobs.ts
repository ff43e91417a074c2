import { type DefinedJob, defineJob, type SweepJob } from '@nightshift/engine';
import { z } from 'zod';

/** The name of the item that its batch cannot take. */
export const BROKEN_ITEM = 'm3';

class BrokenItemError extends Error {
  override readonly name = 'BrokenItemError';
}

/**
 * A sweep under a real job's name: four items for each tenant, of which one fails for the tenant `cracked`, all for `ruined`.
 * The job's own rules are tested beside them; here it is about what the API makes of a run.
 */
export function tinySweep(name: string, fields: readonly [processed: string, changed: string]): DefinedJob {
  const sweep: SweepJob<z.ZodType, string> = {
    kind: 'sweep',
    name,
    title: name,
    description: 'Four items.',
    scope: 'tenant',
    priority: 'MEDIUM',
    retry: { retries: 0 },
    schedule: { cron: '0 2 * * *', zone: 'UTC' },
    typicalMs: 1_000,
    maxMs: 10_000,
    input: z.strictObject({}),
    options: { batchSize: 2, batchDelayMs: 0 },
    count: async () => 4,
    items: async (_ctx, after, limit) => ['m1', 'm2', 'm3', 'm4'].filter((id) => id > (after ?? '')).slice(0, limit),
    key: (item) => item,
    process: async (ctx, items) => {
      const slug = ctx.tenants[0]?.slug ?? '';
      if (slug.startsWith('ruined') || (slug.startsWith('cracked') && items.includes(BROKEN_ITEM))) {
        throw new BrokenItemError('the item is broken');
      }
      return { changed: items.length };
    },
    summarize: (totals) => ({ [fields[0]]: totals.processed, [fields[1]]: totals.changed }),
  };
  return defineJob(sweep) as unknown as DefinedJob;
}

/** An ad-hoc job of the gym system, with an input that can be wrong in many ways. */
const greet = defineJob({
  kind: 'request',
  name: 'gym.greet',
  title: 'Greet',
  description: 'Answers with a greeting.',
  scope: 'tenant',
  priority: 'HIGH',
  typicalMs: 1_000,
  maxMs: 10_000,
  input: z.strictObject({ name: z.string().max(50), times: z.int().min(1).max(10).default(1) }),
  handle: async (_ctx, runs) =>
    runs.map((run) => ({ ok: { greeting: `hello ${run.input.name}`.repeat(run.input.times) } })),
});

export const tinyJobs: readonly DefinedJob[] = [
  tinySweep('gym.commitment-scores', ['membersProcessed', 'membersUpdated']),
  tinySweep('gym.at-risk-detection', ['membersProcessed', 'membersUpdated']),
  tinySweep('gym.coach-actions', ['coachesProcessed', 'actionsCreated']),
  greet as unknown as DefinedJob,
];
