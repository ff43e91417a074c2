import { UnknownScheduleError } from '@nightshift/engine';
import { findSchedule, type ScheduleView } from '@nightshift/engine/accept';
import { demandPlatform, hasRole, MAY_EDIT, type Principal } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';

/** Errors: `UnknownScheduleError`, also for another tenant's own. */
export async function visibleSchedule(
  { producer }: RouteDeps,
  id: string,
  principal: Principal,
): Promise<ScheduleView> {
  const schedule = await findSchedule(producer.pools, id);
  const { ownerTenant } = schedule;
  if (ownerTenant !== null && principal.tenantId !== null && ownerTenant !== principal.tenantId)
    throw new UnknownScheduleError(id);
  return schedule;
}

/** A general schedule makes runs of many tenants: one tenant's operator may not stop it for the others. Errors: 403, 404. */
export async function demandMayChange(deps: RouteDeps, id: string, principal: Principal): Promise<void> {
  const schedule = await visibleSchedule(deps, id, principal);
  if (schedule.ownerTenant === null) demandPlatform(principal);
}

/** Seconds are for the platform's administrators: a schedule of every second is a load. */
export function cronRights(principal: Principal): { seconds: boolean } {
  return { seconds: principal.tenantId === null && hasRole(principal, MAY_EDIT) };
}

/** The ids of other tenants in a selector are none of a tenant's business. */
export function scheduleAnswer({ producer }: RouteDeps, schedule: ScheduleView, principal: Principal): object {
  const after = producer.catalogue.find(schedule.job)?.schedule?.after ?? null;
  const selector = schedule.tenantSelector as Readonly<Record<string, unknown>>;
  const tenantSelector =
    principal.tenantId === null
      ? selector
      : Object.fromEntries(
          Object.entries(selector).map(([word, ids]) => [
            word,
            Array.isArray(ids) ? ids.filter((id) => id === principal.tenantId) : ids,
          ]),
        );
  return { ...schedule, tenantSelector, url: `/v1/schedules/${schedule.id}`, after };
}
