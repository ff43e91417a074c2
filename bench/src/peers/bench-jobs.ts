import { type DefinedJob, defineJob } from '@nightshift/engine';
import { z } from 'zod';
import type { Payload } from './payload.ts';
import type { Tally } from './tally.ts';

const input = z.strictObject({ i: z.int().default(0), note: z.string().default(''), at: z.number().optional() });

/** `at` left out instead of undefined. */
function payloadOf(given: z.output<typeof input>): Payload {
  const { at, ...rest } = given;
  return at === undefined ? rest : { at, ...rest };
}

const shared = { kind: 'request', scope: 'tenant', priority: 'MEDIUM', typicalMs: 100, maxMs: 10_000, input } as const;

/** Nightshift's jobs of the benchmark, which count what they begin in `tally`. */
export function benchJobs(tally: Tally): DefinedJob[] {
  const noop = defineJob({
    ...shared,
    name: 'bench.noop',
    title: 'Nothing',
    description: 'Does nothing: what is left is the platform.',
    async handle(_ctx, runs) {
      tally.begin(runs.map((run) => payloadOf(run.input)));
      return runs.map(() => ({ ok: null }));
    },
  });
  const update = defineJob({
    ...shared,
    name: 'bench.update',
    title: 'One row',
    description: 'Changes one row by id; a bundle changes its rows in one statement.',
    async handle(ctx, runs) {
      tally.begin(runs.map((run) => payloadOf(run.input)));
      // In id order, so that two bundles which share rows cannot deadlock. `ANY` finds the rows by index: without it the planner merges the list with
      // all rows of the tenant.
      await ctx.client.query({
        name: 'bench-update',
        text: `UPDATE bench.rows AS r SET n = n + g.times, touched_at = now()
          FROM (SELECT id, count(*)::integer AS times FROM unnest($2::integer[]) AS id GROUP BY id ORDER BY id) AS g
          WHERE r.tenant_id = $1 AND r.id = ANY ($2) AND r.id = g.id`,
        values: [ctx.tenant.id, runs.map((run) => run.input.i)],
      });
      return runs.map(() => ({ ok: null }));
    },
  });
  return [noop, update];
}
