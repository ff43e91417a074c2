/** Base of every error with a name of its own. `code` is stable and safe to show; `message` tells a person what to do. */
export class NightshiftError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** One problem of an input: a JSON Pointer to the field, a stable code, a sentence. Never the value itself. */
export interface FieldProblem {
  readonly pointer: string;
  readonly code: string;
  readonly detail: string;
}

export class InvalidInputError extends NightshiftError {
  readonly problems: readonly FieldProblem[];
  constructor(subject: string, problems: readonly FieldProblem[]) {
    super('invalid-input', `${subject}: ${problems.map((p) => `${p.pointer || '/'} ${p.detail}`).join('; ')}`);
    this.problems = problems;
  }
}

export class UnknownJobError extends NightshiftError {
  readonly suggestion: string | null;
  constructor(job: string, suggestion: string | null) {
    super('unknown-job', `There is no job '${job}'.${suggestion ? ` Did you mean '${suggestion}'?` : ''}`);
    this.suggestion = suggestion;
  }
}

export class UnknownTenantError extends NightshiftError {
  /** Null: a tenant was needed and none was named. */
  readonly tenant: string | null;
  /** `any`: it was looked for in all of them. */
  readonly system: string;
  constructor(tenant: string | null, system: string) {
    super(
      'unknown-tenant',
      tenant === null
        ? `A tenant of system '${system}' is needed, and none is named.`
        : `There is no tenant '${tenant}' in system '${system}'.`,
    );
    this.tenant = tenant;
    this.system = system;
  }
}

export class UnknownQueueError extends NightshiftError {
  readonly suggestion: string | null;
  constructor(queue: string, suggestion: string | null) {
    super('unknown-queue', `There is no queue '${queue}'.${suggestion ? ` Did you mean '${suggestion}'?` : ''}`);
    this.suggestion = suggestion;
  }
}

export class UnknownRunError extends NightshiftError {
  constructor(id: string) {
    super('unknown-run', `There is no run '${id}'.`);
  }
}

export class UnknownScheduleError extends NightshiftError {
  constructor(id: string) {
    super('unknown-schedule', `There is no schedule '${id}'.`);
  }
}

export class UnknownAlertError extends NightshiftError {
  constructor(id: string) {
    super('unknown-alert', `There is no alert '${id}'.`);
  }
}

/** The action does not fit the state of the alert. */
export class AlertStateError extends NightshiftError {
  constructor(id: string, message: string) {
    super('alert-state', `Alert '${id}': ${message}`);
  }
}

/** The action does not fit the state of the run: an ended run cannot be cancelled, an open one cannot be retried. */
export class RunStateError extends NightshiftError {
  readonly status: string;
  constructor(id: string, status: string, message: string) {
    super('run-state', `Run '${id}' is ${status}: ${message}`);
    this.status = status;
  }
}

export class IdempotencyConflictError extends NightshiftError {
  constructor(key: string) {
    super(
      'idempotency-conflict',
      `Idempotency-Key '${key}' was used with another body. Use a new key for a new request.`,
    );
  }
}

/** Something was to be encrypted or decrypted by a process or a job that holds no key for it. */
export class NoKeyError extends NightshiftError {
  constructor(why: string) {
    super('no-key', `No key: ${why}.`);
  }
}

/** Postgres cannot be reached or did not answer in time: nothing was accepted, or it is unknown; ask again with the same key. */
export class StoreUnavailableError extends NightshiftError {
  constructor(cause: unknown) {
    super('store-unavailable', 'Postgres does not answer, so nothing can be accepted. Try again.', { cause });
  }
}

/** Another worker owns the run now. What this one was about to write is rolled back. */
export class LostClaimError extends NightshiftError {
  constructor(runId: string) {
    super('lost-claim', `Run '${runId}' is no longer held by this worker.`);
  }
}

export class DeadlineExceededError extends NightshiftError {
  constructor(timeoutMs: number) {
    super('deadline-exceeded', `The attempt took longer than its timeout of ${timeoutMs} ms.`);
  }
}

export class CrashLoopError extends NightshiftError {
  constructor(crashes: number) {
    super('crash-loop', `The run was in hand when its worker died ${crashes} times; it is not tried again.`);
  }
}

/** Thrown by a job for what no retry can mend (a missing entity, an impossible value): the run fails at once. */
export class PermanentError extends NightshiftError {
  constructor(message: string, options?: ErrorOptions) {
    super('permanent', message, options);
  }
}

/**
 * Thrown by a sweep's rule for an item that it cannot judge. It speaks of that item alone: a first batch that holds nothing else ends with item
 * errors, where other errors of all its items fail the run, to be tried again.
 */
export class ItemError extends NightshiftError {}

/** Longest that a run can be put off at once, ms. */
export const MAX_SNOOZE_MS = 30 * 86_400_000;

/**
 * Thrown by a handler that wants to be asked again later, for whatever it waits for: what it did is undone (a sweep's and a task's committed
 * batches stay), no attempt is counted.
 */
export class SnoozeError extends NightshiftError {
  readonly ms: number;
  /** At most 30 days; more counts as 30 days. Errors: `RangeError` for what is no positive number. */
  constructor(ms: number) {
    if (!(ms > 0)) throw new RangeError(`a run is put off by a positive number of ms, got ${ms}`);
    super('snoozed', `The run is put off for ${ms} ms.`);
    this.ms = Math.min(Math.ceil(ms), MAX_SNOOZE_MS);
  }
}

/** A declaration or a configuration that cannot work; lists every problem at once. */
export class DeclarationError extends NightshiftError {
  readonly problems: readonly string[];
  constructor(subject: string, problems: readonly string[]) {
    super('invalid-declaration', `${subject}:\n${problems.map((p) => `  - ${p}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Class of an error for records: its name, or `Error`. Never its message, which may carry personal data. */
export function errorClass(error: unknown): string {
  return error instanceof Error ? error.name || 'Error' : typeof error;
}
