import { MAX_SNOOZE_MS } from '@nightshift/engine';
import {
  findRun,
  listAttempts,
  listFailures,
  listRunAudit,
  listRuns,
  OPEN_STATES,
  RETRYABLE,
  RUN_OUTCOMES,
} from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { idempotencyOf } from '../http/idempotency.ts';
import { waitSeconds } from '../http/prefer.ts';
import { MAY_CONTROL, MAY_READ, type Principal } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { acceptedAnswer, runDetail, withUrl } from './run-answer.ts';
import {
  acceptedSchema,
  attemptSchema,
  auditSchema,
  explanationSchema,
  failureSchema,
  idParams,
  instantInput,
  pageQuery,
  pageSchema,
  retriedSchema,
  runDetailSchema,
  runSchema,
} from './schemas.ts';
import { demandMayStart, mayStart } from './whose-run.ts';

export const runsQuery = pageQuery.extend({
  tenant: z.string().min(1).max(100).optional().describe('Slug or id.'),
  job: z.string().min(1).max(100).optional(),
  status: z.enum([...OPEN_STATES, ...RUN_OUTCOMES]).optional(),
  trigger: z.guid().optional().describe('Runs that this trigger made.'),
  since: instantInput.optional(),
  until: instantInput.optional(),
});

const noBody = z.strictObject({});

export function runRoutes(deps: RouteDeps): Endpoint[] {
  return [
    listing(deps),
    // Before `/v1/runs/{id}`, which would take `retry` for an id.
    retryingMany(deps),
    reading(deps),
    ...parts(deps),
    cancelling(deps),
    snoozing(deps),
    again(deps, 'retry'),
    again(deps, 'replay'),
  ];
}

function listing({ producer }: RouteDeps): Endpoint {
  return endpoint({
    method: 'get',
    path: '/v1/runs',
    id: 'listRuns',
    tag: 'Runs',
    summary: 'Runs, newest first',
    roles: MAY_READ,
    query: runsQuery,
    answers: { 200: { description: 'One page.', schema: pageSchema(runSchema) } },
    handle: async ({ query, principal }) => {
      const { tenant, trigger, ...filter } = query;
      const { items, nextCursor } = await listRuns(producer.pools, {
        ...filter,
        tenantId: principal.tenantId,
        ofTenant: tenant,
        triggerId: trigger,
      });
      return { status: 200, body: { items: items.map(withUrl), nextCursor } };
    },
  });
}

function reading(deps: RouteDeps): Endpoint {
  return endpoint({
    method: 'get',
    path: '/v1/runs/{id}',
    id: 'getRun',
    tag: 'Runs',
    summary: 'One run, with its result and first errors',
    roles: MAY_READ,
    params: idParams,
    answers: { 200: { description: 'The run.', schema: runDetailSchema } },
    handle: async ({ params, principal }) => ({
      status: 200,
      body: await runDetail(deps, params.id, principal),
    }),
  });
}

function parts({ producer }: RouteDeps): Endpoint[] {
  const { pools } = producer;
  const common = { method: 'get', tag: 'Runs', roles: MAY_READ, params: idParams } as const;
  return [
    endpoint({
      ...common,
      path: '/v1/runs/{id}/explain',
      id: 'explainRun',
      summary: 'One sentence on why a run isn’t running, or how it runs',
      answers: { 200: { description: 'What stands in its way, if anything does.', schema: explanationSchema } },
      handle: async ({ params, principal }) => ({
        status: 200,
        body: await producer.explain(params.id, principal.tenantId),
      }),
    }),
    endpoint({
      ...common,
      path: '/v1/runs/{id}/attempts',
      id: 'listAttempts',
      summary: 'Attempts of a run, in order',
      answers: { 200: { description: 'All of them.', schema: pageSchema(attemptSchema) } },
      handle: async ({ params, principal }) => {
        const items = await listAttempts(pools, params.id, principal.tenantId);
        return { status: 200, body: { items, nextCursor: null } };
      },
    }),
    endpoint({
      ...common,
      path: '/v1/runs/{id}/failures',
      id: 'listFailures',
      summary: 'Items of a run that failed',
      query: pageQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(failureSchema) } },
      handle: async ({ params, query, principal }) => ({
        status: 200,
        body: await listFailures(pools, params.id, principal.tenantId, query),
      }),
    }),
    endpoint({
      ...common,
      path: '/v1/runs/{id}/audit',
      id: 'listRunAudit',
      summary: 'What was done to a run, oldest first',
      query: pageQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(auditSchema) } },
      handle: async ({ params, query, principal }) => ({
        status: 200,
        body: await listRunAudit(pools, params.id, principal.tenantId, query),
      }),
    }),
  ];
}

function cancelling(deps: RouteDeps): Endpoint {
  return endpoint({
    method: 'post',
    path: '/v1/runs/{id}/cancel',
    id: 'cancelRun',
    tag: 'Runs',
    summary: 'Cancel a run that has not ended',
    description: 'A running sweep stops after the batch in hand: its status is then still `running` for a moment.',
    roles: MAY_CONTROL,
    params: idParams,
    body: noBody,
    bodyOptional: true,
    answers: { 200: { description: 'The run as it stands now.', schema: runDetailSchema } },
    admit: ({ id }, principal) => demandMayTouch(deps, id, principal),
    handle: async ({ params, principal }) => {
      await deps.producer.cancel(params.id, principal.sub, principal.tenantId);
      return { status: 200, body: await runDetail(deps, params.id, principal) };
    },
  });
}

const retryManyBody = z
  .strictObject({
    status: z.enum(RETRYABLE),
    job: z.string().min(1).max(100).optional(),
    tenant: z.string().min(1).max(100).optional().describe('Slug or id.'),
    since: instantInput.optional(),
    until: instantInput.optional(),
    limit: z.int().min(1).max(1_000).default(100),
    dryRun: z.boolean().default(false).describe('Only tell which.'),
    again: z.boolean().default(false).describe('Also those that have been retried before.'),
  })
  .meta({ id: 'RetryMany' });

function retryingMany({ producer }: RouteDeps): Endpoint {
  return endpoint({
    method: 'post',
    path: '/v1/runs/retry',
    id: 'retryRuns',
    tag: 'Runs',
    summary: 'Run many again, by filter',
    description:
      'Each as a new run linked by `retryOf`, all in one transaction, the oldest first. A run that has been retried is left out unless `again`.',
    roles: MAY_CONTROL,
    body: retryManyBody,
    example: { status: 'failed', job: 'gym.coach-actions', dryRun: true },
    answers: {
      200: { description: 'Dry run: what would be started.', schema: retriedSchema },
      202: { description: 'What was started.', schema: retriedSchema },
    },
    handle: async ({ body, principal }) => {
      if (body.job !== undefined) {
        const job = producer.catalogue.get(body.job);
        demandMayStart(job, principal, job.ofOneTenant !== undefined);
      }
      const jobs = producer.catalogue.jobs.filter((job) => mayStart(job, principal)).map((job) => job.name);
      const retried = await producer.retryMany(body, principal.sub, principal.tenantId, jobs);
      return { status: body.dryRun ? 200 : 202, body: retried };
    },
  });
}

/** Not a union of the two: what is wrong with a body could not be told by field. */
const snoozeBody = z
  .strictObject({
    until: instantInput.optional(),
    forMs: z.int().min(1).max(MAX_SNOOZE_MS).optional().describe('From now, 30 days at most.'),
  })
  .meta({ id: 'Snooze', oneOf: [{ required: ['until'] }, { required: ['forMs'] }] })
  .transform(({ until, forMs }, ctx) => {
    if (until !== undefined && forMs === undefined) return { until };
    if (until === undefined && forMs !== undefined) return { forMs };
    const both = until !== undefined;
    ctx.addIssue({
      code: 'custom',
      message: both ? 'give `until` or `forMs`, not both' : '`until` or `forMs` is required',
    });
    return z.NEVER;
  });

function snoozing(deps: RouteDeps): Endpoint {
  return endpoint({
    method: 'post',
    path: '/v1/runs/{id}/snooze',
    id: 'snoozeRun',
    tag: 'Runs',
    summary: 'Put a waiting run off, for 30 days at most',
    description:
      'No attempt is counted. A run that waits for another job’s run starts at neither its end nor its deadline before that time.',
    roles: MAY_CONTROL,
    params: idParams,
    body: snoozeBody,
    example: { forMs: 3_600_000 },
    answers: { 200: { description: 'The run as it stands now.', schema: runDetailSchema } },
    admit: ({ id }, principal) => demandMayTouch(deps, id, principal),
    handle: async ({ params, body, principal }) => {
      await deps.producer.snooze(params.id, body, principal.sub, principal.tenantId);
      return { status: 200, body: await runDetail(deps, params.id, principal) };
    },
  });
}

function again(deps: RouteDeps, action: 'retry' | 'replay'): Endpoint {
  const texts = {
    retry: ['Run it again, whole', 'A new run with the same input, linked by `retryOf`. The ended run stays as it is.'],
    replay: ['Run its failed items again', 'A new run of the failed items alone, linked by `replayOf`.'],
  } as const;
  return endpoint({
    method: 'post',
    path: `/v1/runs/{id}/${action}`,
    id: `${action}Run`,
    tag: 'Runs',
    summary: texts[action][0],
    description: texts[action][1],
    roles: MAY_CONTROL,
    params: idParams,
    body: noBody,
    bodyOptional: true,
    takesIdempotencyKey: true,
    takesPrefer: true,
    answers: {
      202: { description: 'The new run.', schema: acceptedSchema, headers: { Location: 'Address of the new run.' } },
      200: { description: 'Ended within the time of `Prefer: wait=N`.', schema: runDetailSchema },
    },
    admit: ({ id }, principal) => demandMayTouch(deps, id, principal),
    handle: async ({ params, principal, req, signal }) => {
      const seconds = waitSeconds(req.headers.prefer);
      const accepted = await deps.producer[action](
        params.id,
        principal.sub,
        principal.tenantId,
        idempotencyOf(req, principal, {}),
      );
      return await acceptedAnswer(deps, accepted, { seconds, signal, principal });
    },
  });
}

/** Errors: `UnknownRunError`, also for another tenant's run; 403 when the run's job is not for this caller. */
async function demandMayTouch({ producer }: RouteDeps, id: string, principal: Principal): Promise<void> {
  const run = await findRun(producer.pools, id, principal.tenantId);
  const job = producer.catalogue.find(run.job);
  if (job !== undefined) demandMayStart(job, principal, job.ofOneTenant !== undefined);
}
