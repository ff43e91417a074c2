import type { DefinedJob } from './define-job.ts';
import { InvalidInputError } from './errors.ts';
import { fieldProblems } from './new-run.ts';

/** A stored input as this build's job reads it. Errors: `InvalidInputError` when it no longer fits. */
export function runInput(job: DefinedJob, stored: unknown, version: number): unknown {
  const current = version < job.inputVersion && job.upgrade !== undefined ? job.upgrade(stored, version) : stored;
  const parsed = job.input.safeParse(current);
  if (parsed.success) return parsed.data;
  throw new InvalidInputError(
    `Stored input of '${job.name}' (version ${version}) is not valid`,
    fieldProblems(parsed.error, '/input'),
  );
}
