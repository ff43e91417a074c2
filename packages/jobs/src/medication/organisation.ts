import { ItemError, NightshiftError, PermanentError, type SweepContext, type TenantRef } from '@nightshift/engine';

/** The one organisation of a tenant-scope run. */
export function organisationOf(ctx: Pick<SweepContext<unknown>, 'tenants'>): TenantRef {
  const [organisation] = ctx.tenants;
  if (organisation === undefined) {
    throw new NightshiftError(
      'missing-tenant',
      'a medication job runs for one organisation, got none: start it with its tenant',
    );
  }
  return organisation;
}

/** What a run names and its organisation does not have (any more). No value is named: they are health data. */
export class NoSuchEntityError extends PermanentError {
  constructor(what: 'user' | 'medication', reason = 'does not exist in the organisation') {
    super(`The ${what} that the input names ${reason}: check its id and ask again.`);
  }
}

/**
 * A row that no rule can judge; its item fails alone. It is met again each minute, often with no other: did the run fail with it and wait for
 * a retry, the ticks that overlap it would be skipped, and everybody else's doses told late.
 */
export class UnreadableRowError extends ItemError {
  constructor(what: string, fix: string) {
    super('unreadable-row', `${what}: ${fix}`);
  }
}

/** Errors: `UnreadableRowError` for a zone that no clock knows. */
export function inZone<T>(zone: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof RangeError)
      throw new UnreadableRowError(`the user's zone '${zone}' is unknown`, 'set it to an IANA name like Europe/Berlin');
    throw error;
  }
}
