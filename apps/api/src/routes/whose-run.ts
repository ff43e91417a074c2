import { type DefinedJob, type FieldProblem, UnknownTenantError } from '@nightshift/engine';
import type { Producer } from '@nightshift/engine/accept';
import {
  demandPlatform,
  demandRole,
  hasRole,
  MAY_EDIT,
  MAY_START_PLATFORM,
  type Principal,
} from '../http/principal.ts';

/**
 * Errors: 403 when the job is the platform's, or works across tenants, and the caller isn't; or is for admins. `own`: the run in question is of
 * the caller's tenant alone, though the job's others are the system's.
 */
export function demandMayStart(job: DefinedJob, principal: Principal, own = false): void {
  if (job.access === 'admin') demandRole(principal, MAY_EDIT);
  if (job.access === 'platform') {
    demandRole(principal, MAY_START_PLATFORM);
    demandPlatform(principal);
  }
  // Its runs read and write every tenant's rows.
  if (job.scope === 'system' && !own) demandPlatform(principal);
}

export function mayStart(job: DefinedJob, principal: Principal): boolean {
  const across = job.access === 'platform' || (job.scope === 'system' && job.ofOneTenant === undefined);
  if (across && principal.tenantId !== null) return false;
  if (job.access === 'admin') return hasRole(principal, MAY_EDIT);
  return job.access !== 'platform' || hasRole(principal, MAY_START_PLATFORM);
}

/** Whether a run with this input would be of one tenant alone, in a job whose others are the system's. */
export function isOfOneTenant(job: DefinedJob, input: unknown): boolean {
  const parsed = job.input.safeParse(input ?? {});
  return parsed.success && job.ofOneTenant?.(parsed.data) === true;
}

/** A platform token says whose run it is, where a job has no tenant of its own. */
export function tenantProblems(job: DefinedJob, named: unknown, principal: Principal): FieldProblem[] {
  const needed = principal.tenantId === null && job.scope === 'tenant' && job.system !== 'ops';
  if (!needed || (named !== undefined && named !== null)) return [];
  return [{ pointer: '/tenant', code: 'required', detail: 'name the tenant, by slug or id' }];
}

/**
 * The tenant a caller starts this job for: what it names, or its own when its token is bound to one.
 * Errors: `UnknownTenantError`, also for another's.
 */
export async function tenantOf(
  producer: Pick<Producer, 'resolveTenant'>,
  job: DefinedJob,
  named: string | null,
  principal: Principal,
): Promise<string | null> {
  if (principal.tenantId === null) return named;
  const ref = await producer.resolveTenant(job, named ?? principal.tenantId);
  if (ref.id !== principal.tenantId) throw new UnknownTenantError('(another)', job.system);
  return ref.id;
}
