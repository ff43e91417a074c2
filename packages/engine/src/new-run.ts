import type { z } from 'zod';
import { hasPersonal, type Path, personalPaths } from './crypto/personal.ts';
import { SEALED } from './crypto/sealed-input.ts';
import { type DefinedJob, jobForInput, type RunOptions, runOptionsSchema } from './define-job.ts';
import { type FieldProblem, InvalidInputError } from './errors.ts';
import { newId } from './id.ts';
import { type Priority, priorityNumber } from './priority.ts';
import { type StorageProblem, storableJson } from './storable.ts';

/** Stored inputs are at most this long, as JSON in UTF-8. */
export const MAX_INPUT_BYTES = 65_536;

const STORAGE_PROBLEMS: Readonly<Record<StorageProblem, string>> = {
  'not-json': 'must be JSON, without circles and not nested thousands deep',
  'unstorable-text': 'must not contain NUL characters or lone surrogates',
};

/** A validated run on its way into `ops.open_runs`. */
export interface NewRun {
  readonly id: string;
  readonly tenantId: string;
  readonly job: string;
  readonly inputVersion: number;
  readonly queue: string;
  readonly priority: number;
  readonly state: 'queued' | 'scheduled' | 'blocked';
  readonly dueAt: Date | null;
  readonly uniqueKey: string | null;
  readonly triggerId: string | null;
  readonly retryOf: string | null;
  readonly replayOf: string | null;
  readonly afterJob: string | null;
  readonly blockedUntil: Date | null;
  readonly tickDate: string | null;
  readonly actor: string;
  /** JSON. */
  readonly options: string;
  /** JSON. */
  readonly input: string;
  /** Fields of the input that `sealRuns` has yet to encrypt; only then may it be inserted. */
  readonly personal: readonly Path[];
  readonly idempotency: { readonly principal: string; readonly key: string; readonly bodySha256: Buffer } | null;
}

export interface NewRunParts {
  readonly job: DefinedJob;
  readonly tenantId: string;
  readonly input: unknown;
  readonly options: RunOptions;
  readonly actor: string;
  readonly priority?: Priority | undefined;
  readonly dueAt?: Date | undefined;
  readonly triggerId?: string;
  readonly tickDate?: string;
  readonly retryOf?: string;
  readonly replayOf?: string;
  /** A second start joins an open run of the same key. Default: the job's name for a scheduled job started with its default input. */
  readonly uniqueKey?: string | null;
  readonly after?: { readonly job: string; readonly until: Date };
  readonly idempotency?: NewRun['idempotency'] | undefined;
}

let lastOptions: RunOptions | null = null;
let lastJson = '';

let lastTimeoutMs = 0;
let lastRequestJson = '';

/** A request has no batches and no dry run. Its row is moved as a whole three times, and the options were a third of it. */
function requestOptionsJson({ timeoutMs, retries }: RunOptions): string {
  if (retries !== undefined) return JSON.stringify({ timeoutMs, retries });
  if (timeoutMs !== lastTimeoutMs) [lastTimeoutMs, lastRequestJson] = [timeoutMs, JSON.stringify({ timeoutMs })];
  return lastRequestJson;
}

/** Runs that come together have the same options. */
function optionsJson({ batchSize, batchDelayMs, timeoutMs, dryRun, ...rest }: RunOptions): string {
  // The others have more (`shards`), and must not leave it to whoever comes next.
  if (Object.keys(rest).length > 0) return JSON.stringify({ ...rest, batchSize, batchDelayMs, timeoutMs, dryRun });
  const same =
    lastOptions !== null &&
    lastOptions.batchSize === batchSize &&
    lastOptions.batchDelayMs === batchDelayMs &&
    lastOptions.timeoutMs === timeoutMs &&
    lastOptions.dryRun === dryRun;
  if (!same) {
    lastOptions = { batchSize, batchDelayMs, timeoutMs, dryRun };
    lastJson = JSON.stringify(lastOptions);
  }
  return lastJson;
}

/** Errors: `InvalidInputError` naming each field. */
export function newRun(parts: NewRunParts): NewRun {
  const job = jobForInput(parts.job, parts.input);
  const { input, personal } = checkedInput(job, parts.input);
  if (parts.options.dryRun && job.kind === 'request') {
    throw invalid(job, '/options/dryRun', 'unsupported', 'a request job has no dry run');
  }
  if (parts.options.dryRun && job.kind === 'task' && job.outsideEffects === true) {
    throw invalid(job, '/options/dryRun', 'unsupported', 'this task changes the outside world, so it has no dry run');
  }
  return {
    id: newId(),
    tenantId: parts.tenantId,
    job: job.name,
    inputVersion: job.inputVersion,
    queue: job.queue,
    priority: priorityNumber(parts.priority ?? job.priority),
    state:
      parts.after !== undefined
        ? 'blocked'
        : parts.dueAt !== undefined && parts.dueAt.getTime() > Date.now()
          ? 'scheduled'
          : 'queued',
    dueAt: parts.dueAt ?? null,
    uniqueKey: parts.uniqueKey === undefined ? defaultUniqueKey(job, input, parts) : parts.uniqueKey,
    triggerId: parts.triggerId ?? null,
    retryOf: parts.retryOf ?? null,
    replayOf: parts.replayOf ?? null,
    afterJob: parts.after?.job ?? null,
    blockedUntil: parts.after?.until ?? null,
    tickDate: parts.tickDate ?? null,
    actor: parts.actor,
    options: job.kind === 'request' ? requestOptionsJson(parts.options) : optionsJson(parts.options),
    input,
    personal,
    idempotency: parts.idempotency ?? null,
  };
}

/**
 * A dry run or a run of chosen items never answers for a whole one, and never waits behind it. A replay neither, but for another of the same run:
 * both open, they would do its items twice.
 */
function defaultUniqueKey(job: DefinedJob, input: string, parts: NewRunParts): string | null {
  if (parts.options.dryRun) return null;
  if (parts.replayOf !== undefined) return `${job.name} replay of ${parts.replayOf}`;
  return job.schedule !== undefined && input === '{}' && parts.dueAt === undefined ? job.name : null;
}

/** Errors: `InvalidInputError` where a run of one tenant names none, or a run of the system names one. */
export function checkOfOneTenant(job: DefinedJob, named: string | null, input: unknown): void {
  if (job.ofOneTenant === undefined) return;
  const parsed = job.input.safeParse(input ?? {});
  // A bad input is reported by `newRun`, field by field.
  if (!parsed.success || job.ofOneTenant(parsed.data) === (named !== null)) return;
  throw named === null
    ? invalid(job, '/tenant', 'required', 'a run with this input is one tenant’s: name it, by slug or id')
    : invalid(job, '/tenant', 'unsupported', 'a run with this input is the system’s: name no tenant');
}

/** Errors: `InvalidInputError` for options that no caller may give: the dispatcher reads them, and one that it cannot read would stop its queue. */
export function checkOptions(job: DefinedJob, options: Partial<RunOptions> | undefined): void {
  if (options === undefined) return;
  const parsed = runOptionsSchema.safeParse(options);
  if (!parsed.success)
    throw new InvalidInputError(`Options of '${job.name}' are not valid`, fieldProblems(parsed.error, '/options'));
}

function checkedInput(job: DefinedJob, input: unknown): { input: string; personal: readonly Path[] } {
  const given = input ?? {};
  if (typeof given === 'object' && Object.hasOwn(given, SEALED))
    throw invalid(job, `/input/${SEALED}`, 'reserved', 'is a name of the platform and cannot be given');
  const parsed = job.input.safeParse(given);
  if (!parsed.success)
    throw new InvalidInputError(`Input of '${job.name}' is not valid`, fieldProblems(parsed.error, '/input'));
  const stored = storableJson(given);
  if ('problem' in stored) throw invalid(job, '/input', stored.problem, STORAGE_PROBLEMS[stored.problem]);
  if (Buffer.byteLength(stored.json) > MAX_INPUT_BYTES) {
    throw invalid(job, '/input', 'too-large', `must be at most ${MAX_INPUT_BYTES} bytes as JSON`);
  }
  return {
    input: stored.json,
    personal: hasPersonal(job.input) ? personalPaths(job.input, JSON.parse(stored.json)) : [],
  };
}

function invalid(job: DefinedJob, pointer: string, code: string, detail: string): InvalidInputError {
  return new InvalidInputError(`Input of '${job.name}' is not valid`, [{ pointer, code, detail }]);
}

/** Problems of a zod error as JSON Pointers below `base`; an unknown field is named itself. */
export function fieldProblems(error: z.ZodError, base = ''): FieldProblem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: `${base}${path}/${key}`,
        code: 'unknown-field',
        detail: 'is not a known field',
      }));
    }
    return [{ pointer: `${base}${path}`, code: issue.code.replaceAll('_', '-'), detail: issue.message }];
  });
}
