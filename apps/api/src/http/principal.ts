import { ProblemError } from './problem.ts';

export const ROLES = ['viewer', 'operator', 'admin', 'service'] as const;
export type Role = (typeof ROLES)[number];

/** Who asks. A principal without a tenant is the platform's. */
export interface Principal {
  /** Subject of the token; what the audit log calls the actor. */
  readonly sub: string;
  readonly roles: readonly Role[];
  readonly tenantId: string | null;
}

/** Who may do what (SPEC 6). */
export const MAY_READ: readonly Role[] = ['viewer', 'operator', 'admin', 'service'];
export const MAY_START: readonly Role[] = ['operator', 'admin', 'service'];
export const MAY_CONTROL: readonly Role[] = ['operator', 'admin'];
export const MAY_EDIT: readonly Role[] = ['admin'];
/** Jobs with `access: 'platform'`. */
export const MAY_START_PLATFORM: readonly Role[] = ['admin', 'service'];

export function hasRole(principal: Principal, roles: readonly Role[]): boolean {
  return principal.roles.some((role) => roles.includes(role));
}

/** Errors: 403 naming the roles that would do. */
export function demandRole(principal: Principal, roles: readonly Role[]): void {
  if (hasRole(principal, roles)) return;
  throw new ProblemError(403, 'forbidden', `This needs the role ${roles.join(' or ')}.`);
}

/** Errors: 403 for a token that is bound to a tenant. */
export function demandPlatform(principal: Principal): void {
  if (principal.tenantId === null) return;
  throw new ProblemError(403, 'forbidden', 'This needs a platform token: one without a tenant.');
}
