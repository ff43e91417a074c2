import { schedulePatchSchema } from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_CONTROL, MAY_READ } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { definedOnly } from './jobs.ts';
import { cronRights, visibleSchedule } from './schedule-answer.ts';
import { backFillSchema, idParams, instantInput, previewSchema } from './schemas.ts';
import { demandMayStart } from './whose-run.ts';

const previewQuery = z.strictObject({
  count: z
    .string()
    .regex(/^\d{1,4}$/, { error: 'expected a whole number from 1 to 1000' })
    .transform(Number)
    .pipe(z.int().min(1).max(1_000))
    .default(20)
    .describe('Ticks to tell, 1 to 1,000.'),
  from: instantInput.optional().describe('Ticks after this instant; default now.'),
});

const backFillBody = z
  .strictObject({
    from: instantInput.describe('The first instant is at this time or later.'),
    to: instantInput.describe('The last instant is before this time, which has passed.'),
    dryRun: z.boolean().default(true).describe('True: only tell what would be made.'),
    maxTicks: z.int().min(1).max(1_000).default(100).describe('A range with more instants is refused.'),
    again: z.boolean().default(false).describe('True: also where a tenant has a run of the instant already.'),
  })
  .meta({ id: 'BackFillRequest' });

/** What a schedule will do, and what it should have done. */
export function schedulePlanRoutes(deps: RouteDeps): Endpoint[] {
  return [preview(deps), previewOfPatch(deps), backFilling(deps)];
}

function preview(deps: RouteDeps): Endpoint {
  return endpoint({
    ...previewing,
    method: 'get',
    id: 'previewSchedule',
    summary: 'Ticks to come, with the days marked on which the clock changes',
    handle: async ({ params, query, principal }) => {
      await visibleSchedule(deps, params.id, principal);
      return { status: 200, body: { ticks: await deps.producer.schedules.preview(params.id, query) } };
    },
  });
}

function previewOfPatch(deps: RouteDeps): Endpoint {
  return endpoint({
    ...previewing,
    method: 'post',
    id: 'previewScheduleEdit',
    summary: 'Ticks to come if the schedule were changed so; changes nothing',
    body: schedulePatchSchema,
    bodyOptional: true,
    handle: async ({ params, query, body, principal }) => {
      await visibleSchedule(deps, params.id, principal);
      const patch = definedOnly(body) ?? {};
      const ticks = await deps.producer.schedules.preview(params.id, { ...query, patch }, cronRights(principal));
      return { status: 200, body: { ticks } };
    },
  });
}

const previewing = {
  path: '/v1/schedules/{id}/preview',
  tag: 'Schedules',
  roles: MAY_READ,
  params: idParams,
  query: previewQuery,
  answers: { 200: { description: 'In order.', schema: previewSchema } },
} as const;

function backFilling(deps: RouteDeps): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'post',
    path: '/v1/schedules/{id}/back-fill',
    id: 'backFillSchedule',
    tag: 'Schedules',
    summary: 'Make the runs of a past range of ticks',
    description:
      'A dry run unless `dryRun` is false. Each tenant gets one run an instant, with the date of the instant, one after the other; those that have one are left out, so that asking twice makes nothing twice. At most 1,000 runs a call. A token that is bound to a tenant fills its own alone.',
    roles: MAY_CONTROL,
    params: idParams,
    body: backFillBody,
    answers: {
      200: { description: 'What would be made (`dryRun`).', schema: backFillSchema },
      202: { description: 'What was made.', schema: backFillSchema },
    },
    admit: async ({ id }, principal) => {
      const schedule = await visibleSchedule(deps, id, principal);
      demandMayStart(producer.catalogue.get(schedule.job), principal);
    },
    handle: async ({ params, body, principal }) => {
      const tenants = principal.tenantId === null ? undefined : [principal.tenantId];
      const filled = await producer.schedules.backFill(params.id, { ...body, tenants }, principal.sub);
      return { status: filled.dryRun ? 200 : 202, body: filled };
    },
  });
}
