import {
  listTicks,
  pageSchedules,
  type ScheduleView,
  type Started,
  schedulePatchSchema,
} from '@nightshift/engine/accept';
import { z } from 'zod';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { idempotencyOf } from '../http/idempotency.ts';
import { MAY_CONTROL, MAY_EDIT, MAY_READ, type Principal } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';
import { definedOnly } from './jobs.ts';
import { ownScheduleRoutes } from './own-schedules.ts';
import { runUrl } from './run-answer.ts';
import { cronRights, demandMayChange, scheduleAnswer, visibleSchedule } from './schedule-answer.ts';
import { schedulePlanRoutes } from './schedule-plans.ts';
import { idParams, pageQuery, pageSchema, scheduleSchema, startedSchema, tickSchema } from './schemas.ts';
import { demandMayStart } from './whose-run.ts';

const noBody = z.strictObject({});

export const schedulePatch = schedulePatchSchema
  .refine((patch) => Object.keys(patch).length > 0, { error: 'name at least one field to change' })
  .meta({ id: 'SchedulePatch' });

export function scheduleRoutes(deps: RouteDeps): Endpoint[] {
  return [
    ...reading(deps),
    editing(deps),
    ...ownScheduleRoutes(deps),
    ...schedulePlanRoutes(deps),
    triggering(deps),
    switching(deps, 'pause'),
    switching(deps, 'resume'),
  ];
}

function reading(deps: RouteDeps): Endpoint[] {
  const { pools } = deps.producer;
  const common = { method: 'get', tag: 'Schedules', roles: MAY_READ } as const;
  return [
    endpoint({
      ...common,
      path: '/v1/schedules',
      id: 'listSchedules',
      summary: 'All schedules, by job',
      description: 'A token that is bound to a tenant sees the general ones and its own.',
      query: pageQuery.extend({ job: z.string().min(1).max(100).optional() }),
      answers: { 200: { description: 'One page.', schema: pageSchema(scheduleSchema) } },
      handle: async ({ query, principal }) => {
        const page = await pageSchedules(pools, { ...query, tenantId: principal.tenantId });
        const items = page.items.map((one) => scheduleAnswer(deps, one, principal));
        return { status: 200, body: { items, nextCursor: page.nextCursor } };
      },
    }),
    endpoint({
      ...common,
      path: '/v1/schedules/{id}',
      id: 'getSchedule',
      summary: 'One schedule',
      params: idParams,
      answers: { 200: { description: 'The schedule.', schema: scheduleSchema } },
      handle: async ({ params, principal }) => ({
        status: 200,
        body: scheduleAnswer(deps, await visibleSchedule(deps, params.id, principal), principal),
      }),
    }),
    endpoint({
      ...common,
      path: '/v1/schedules/{id}/ticks',
      id: 'listTicks',
      summary: 'Due times of a schedule and what became of them, newest first',
      params: idParams,
      query: pageQuery,
      answers: { 200: { description: 'One page.', schema: pageSchema(tickSchema) } },
      handle: async ({ params, query, principal }) => {
        await visibleSchedule(deps, params.id, principal);
        return { status: 200, body: await listTicks(pools, params.id, query) };
      },
    }),
  ];
}

function editing(deps: RouteDeps): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'patch',
    path: '/v1/schedules/{id}',
    id: 'editSchedule',
    tag: 'Schedules',
    summary: 'Change a schedule',
    description: 'Ticks up to now are those of the old version. Deploys leave an edited schedule alone.',
    roles: MAY_EDIT,
    params: idParams,
    body: schedulePatch,
    example: { cron: '30 2 * * *', zone: 'Europe/Paris' },
    answers: { 200: { description: 'The schedule as it is now.', schema: scheduleSchema } },
    admit: (params, principal) => demandMayChange(deps, params.id, principal),
    handle: async ({ params, body, principal }) => {
      await producer.editSchedule(params.id, definedOnly(body) ?? {}, principal.sub, cronRights(principal));
      const schedule = await visibleSchedule(deps, params.id, principal);
      return { status: 200, body: scheduleAnswer(deps, schedule, principal) };
    },
  });
}

function triggering(deps: RouteDeps): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'post',
    path: '/v1/schedules/{id}/trigger',
    id: 'triggerSchedule',
    tag: 'Schedules',
    summary: 'Start its job now for its tenants',
    description:
      'Consumes no tick. Runs that are still open are joined. A token that is bound to a tenant starts its own alone.',
    roles: MAY_CONTROL,
    params: idParams,
    body: noBody,
    bodyOptional: true,
    takesIdempotencyKey: true,
    answers: { 202: { description: 'One run a tenant.', schema: startedSchema } },
    admit: async (params, principal) => {
      const schedule = await visibleSchedule(deps, params.id, principal);
      demandMayStart(producer.catalogue.get(schedule.job), principal);
    },
    handle: async ({ params, principal, req }) => {
      const schedule = await visibleSchedule(deps, params.id, principal);
      const started = await producer.start(
        {
          kind: 'manual',
          job: schedule.job,
          scheduleId: schedule.id,
          options: schedule.options,
          priority: schedule.priority ?? undefined,
          tenants: await tenantsOf(deps, schedule, principal),
          idempotency: idempotencyOf(req, principal, {}),
        },
        principal.sub,
      );
      return { status: 202, body: startedAnswer(started) };
    },
  });
}

function switching(deps: RouteDeps, action: 'pause' | 'resume'): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'post',
    path: `/v1/schedules/{id}/${action}`,
    id: `${action}Schedule`,
    tag: 'Schedules',
    summary: action === 'pause' ? 'Let its ticks pass without runs' : 'Let its ticks make runs again',
    roles: MAY_CONTROL,
    params: idParams,
    body: noBody,
    bodyOptional: true,
    answers: { 200: { description: 'The schedule as it is now.', schema: scheduleSchema } },
    admit: (params, principal) => demandMayChange(deps, params.id, principal),
    handle: async ({ params, principal }) => {
      await (action === 'pause'
        ? producer.pauseSchedule(params.id, principal.sub)
        : producer.resumeSchedule(params.id, principal.sub));
      const schedule = await visibleSchedule(deps, params.id, principal);
      return { status: 200, body: scheduleAnswer(deps, schedule, principal) };
    },
  });
}

async function tenantsOf(
  { producer }: RouteDeps,
  schedule: ScheduleView,
  principal: Principal,
): Promise<readonly string[] | undefined> {
  if (principal.tenantId !== null) return [principal.tenantId];
  const job = producer.catalogue.get(schedule.job);
  if (job.scope === 'system') return undefined;
  return (await producer.schedules.servedBy(schedule.id)).map((tenant) => tenant.id);
}

function startedAnswer(started: Started): object {
  return {
    triggerId: started.triggerId,
    runs: started.runs.map(({ runId, tenantId, tenant, joined }) => ({
      id: runId,
      tenantId,
      tenant,
      url: runUrl(runId),
      joined,
    })),
  };
}
