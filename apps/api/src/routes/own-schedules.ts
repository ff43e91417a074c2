import { type FieldProblem, UnknownJobError } from '@nightshift/engine';
import { type OwnSchedule, ownScheduleSchema } from '@nightshift/engine/accept';
import { type Endpoint, endpoint } from '../http/endpoint.ts';
import { MAY_CONTROL, type Principal } from '../http/principal.ts';
import { ProblemError } from '../http/problem.ts';
import type { RouteDeps } from './deps.ts';
import { definedOnly } from './jobs.ts';
import { cronRights, demandMayChange, scheduleAnswer, visibleSchedule } from './schedule-answer.ts';
import { idParams, scheduleSchema } from './schemas.ts';
import { demandMayStart, tenantOf, tenantProblems } from './whose-run.ts';

const ownSchedule = ownScheduleSchema
  .extend({ tenant: ownScheduleSchema.shape.tenant.nullish() })
  .meta({ id: 'OwnSchedule' });

/** A tenant's own schedules, which replace the general one of their job for it. */
export function ownScheduleRoutes(deps: RouteDeps): Endpoint[] {
  return [creating(deps), deleting(deps)];
}

function creating(deps: RouteDeps): Endpoint {
  const { producer } = deps;
  return endpoint({
    method: 'post',
    path: '/v1/schedules',
    id: 'createSchedule',
    tag: 'Schedules',
    summary: 'Give a tenant a schedule of its own',
    description:
      'It replaces the general schedule of the job for this tenant. A tenant may have 100. A token that is bound to a tenant makes its own.',
    roles: MAY_CONTROL,
    body: ownSchedule,
    answers: { 201: { description: 'The schedule.', schema: scheduleSchema, headers: { Location: 'Its address.' } } },
    alsoWrong: (given, _params, principal) => jobProblems(deps, given, principal),
    handle: async ({ body, principal }) => {
      const job = producer.catalogue.get(body.job);
      demandMayStart(job, principal);
      const tenant = await tenantOf(producer, job, body.tenant ?? null, principal);
      const own = { ...definedOnly(body), tenant } as OwnSchedule;
      const id = await producer.schedules.create(own, principal.sub, cronRights(principal));
      const schedule = await visibleSchedule(deps, id, principal);
      return {
        status: 201,
        headers: { Location: `/v1/schedules/${id}` },
        body: scheduleAnswer(deps, schedule, principal),
      };
    },
  });
}

function jobProblems(
  { producer }: RouteDeps,
  given: Readonly<Record<string, unknown>>,
  principal: Principal,
): FieldProblem[] {
  if (typeof given.job !== 'string') return [];
  try {
    return tenantProblems(producer.catalogue.get(given.job), given.tenant, principal);
  } catch (error) {
    if (!(error instanceof UnknownJobError)) throw error;
    return [{ pointer: '/job', code: error.code, detail: error.message }];
  }
}

function deleting(deps: RouteDeps): Endpoint {
  return endpoint({
    method: 'delete',
    path: '/v1/schedules/{id}',
    id: 'deleteSchedule',
    tag: 'Schedules',
    summary: "End a tenant's own schedule",
    description: 'The general one serves the tenant again. Its runs and its recorded ticks stay.',
    roles: MAY_CONTROL,
    params: idParams,
    answers: { 204: { description: 'It is gone.' } },
    admit: async ({ id }, principal) => {
      await demandMayChange(deps, id, principal);
      const { ownerTenant } = await visibleSchedule(deps, id, principal);
      if (ownerTenant === null)
        throw new ProblemError(
          409,
          'declared-schedule',
          'A general schedule is declared by its job. Disable it instead.',
        );
    },
    handle: async ({ params, principal }) => {
      await deps.producer.schedules.remove(params.id, principal.sub);
      return { status: 204, body: undefined };
    },
  });
}
