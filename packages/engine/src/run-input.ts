import { type DefinedJob, jobForInput } from './define-job.ts';
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

/** An ended run's input as a new run of this build's version has it. */
export function upgradedInput(declared: DefinedJob, run: { readonly input_version: number }, input: unknown): unknown {
  const job = jobForInput(declared, input);
  return run.input_version < job.inputVersion && job.upgrade !== undefined
    ? job.upgrade(input, run.input_version)
    : input;
}
