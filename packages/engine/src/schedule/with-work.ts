import { inTransaction } from '@nightshift/db';
import type { TenantRef } from '../define-job.ts';
import { errorClass } from '../errors.ts';
import type { FireDeps, ScheduleRow } from './fire.ts';

/** Served tenants by schedule, without those that a job's `schedule.tenants` says have nothing to do at `now`. */
export async function withWork(
  deps: FireDeps,
  schedules: readonly ScheduleRow[],
  served: ReadonlyMap<string, TenantRef[]>,
  now: Date,
): Promise<Map<string, TenantRef[]>> {
  const left = new Map(served);
  for (const { id, job } of schedules) {
    const tenants = served.get(id) ?? [];
    if (tenants.length > 0) left.set(id, await ask(deps, job, tenants, now));
  }
  return left;
}

async function ask(deps: FireDeps, name: string, tenants: TenantRef[], now: Date): Promise<TenantRef[]> {
  const choose = deps.catalogue.get(name).schedule?.tenants;
  if (choose === undefined || deps.app === undefined) return tenants;
  const tenantIds = tenants.map((tenant) => tenant.id);
  try {
    const chosen = await inTransaction(deps.app, tenantIds, (client) => choose({ client, now, tenantIds }));
    const wanted = new Set(chosen);
    return tenants.filter((tenant) => wanted.has(tenant.id));
  } catch (error) {
    // A run with nothing to do costs little; a tick that is lost, a dose.
    deps.log.warn({ job: name, error: errorClass(error) }, 'tenants with work could not be asked for: all get a run');
    return tenants;
  }
}
