import { type FieldProblem, NightshiftError } from '@nightshift/engine';
import { z } from 'zod';

/** A refusal or failure as RFC 9457 shows it. Never carries a stack, SQL, a host name or a value that the caller sent. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly status: number;
  readonly code: string;
  readonly problems: readonly FieldProblem[];
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    status: number,
    code: string,
    detail: string,
    more: {
      readonly problems?: readonly FieldProblem[];
      readonly headers?: Readonly<Record<string, string>>;
      readonly cause?: unknown;
    } = {},
  ) {
    super(detail, more.cause === undefined ? undefined : { cause: more.cause });
    this.status = status;
    this.code = code;
    this.problems = more.problems ?? [];
    this.headers = more.headers ?? {};
  }
}

export const problemSchema = z
  .strictObject({
    type: z.string().describe('Names the kind of problem; stable.'),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().describe('Path of the request.'),
    code: z.string().describe('Short name of the problem; stable.'),
    requestId: z.string().describe('Also in the X-Request-Id header and in the logs.'),
    errors: z
      .array(z.strictObject({ pointer: z.string(), code: z.string(), detail: z.string() }))
      .optional()
      .describe('Every field at fault, by JSON Pointer.'),
  })
  .meta({ id: 'Problem' });

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request', 401: 'Not signed in', 403: 'Not allowed', 404: 'Not found', 405: 'Method not allowed', 408: 'Too slow',
  409: 'Does not fit the state', 413: 'Too large', 415: 'Unsupported media type', 422: 'Not valid', 429: 'Too many requests',
  431: 'Headers too large', 500: 'Internal error', 503: 'Unavailable',
}; // biome-ignore format: a table

/** The problem as it is sent. */
export function problemDocument(
  problem: ProblemError,
  request: { readonly path: string; readonly id: string },
): z.output<typeof problemSchema> {
  return {
    type: `urn:nightshift:problem:${problem.code}`,
    title: TITLES[problem.status] ?? 'Problem',
    status: problem.status,
    detail: problem.message,
    instance: request.path.slice(0, 256),
    code: problem.code,
    requestId: request.id,
    ...(problem.problems.length === 0 ? {} : { errors: problem.problems.slice(0, MAX_PROBLEMS).map(shown) }),
  };
}

/** An answer longer than this helps nobody: a body can have ten thousand unknown fields. */
const MAX_PROBLEMS = 100;

function shown(problem: FieldProblem): FieldProblem {
  return { ...problem, pointer: problem.pointer.slice(0, 256), detail: problem.detail.slice(0, 300) };
}

/** Seconds after which a caller may ask again when Postgres was away. */
const RETRY_AFTER_SECONDS = 5;

const STATUS_OF: Readonly<Record<string, number>> = {
  'invalid-input': 422, 'unknown-job': 404, 'unknown-tenant': 404, 'unknown-queue': 404, 'unknown-run': 404, 'unknown-schedule': 404, 'run-state': 409,
  'unknown-notification': 404, 'notification-state': 409,
  'unknown-alert': 404, 'alert-state': 409, 'idempotency-conflict': 422, 'store-unavailable': 503,
}; // biome-ignore format: a table

/** What the engine's named errors mean to a caller; everything else is a 500 that says nothing. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof NightshiftError) {
    const status = STATUS_OF[error.code];
    if (status !== undefined) return fromEngine(error, status);
  }
  const http = fromHttp(error);
  if (http !== null) return http;
  return new ProblemError(500, 'internal', 'Something went wrong here. The request id finds it in the logs.', {
    cause: error,
  });
}

function fromEngine(error: NightshiftError, status: number): ProblemError {
  const problems = 'problems' in error ? (error.problems as readonly FieldProblem[]) : [];
  switch (error.code) {
    case 'invalid-input':
      // A wrong cursor is part of the address, not of a body.
      if (problems.every((problem) => problem.code === 'invalid-cursor')) {
        return new ProblemError(400, 'invalid-parameter', 'A parameter is not valid.', { problems, cause: error });
      }
      return new ProblemError(422, 'invalid-input', 'The request breaks its schema.', { problems, cause: error });
    case 'unknown-job': {
      const near = 'suggestion' in error && typeof error.suggestion === 'string' ? error.suggestion : null;
      const hint = near === null ? ' GET /v1/jobs lists them.' : ` Did you mean '${near}'?`;
      return new ProblemError(404, 'unknown-job', `There is no job of that name.${hint}`, { cause: error });
    }
    case 'unknown-tenant':
      return new ProblemError(404, 'unknown-tenant', 'There is no such tenant in the system of this job.', {
        cause: error,
      });
    case 'unknown-queue':
      return new ProblemError(404, 'unknown-queue', 'There is no such queue. GET /v1/queues lists them.', {
        cause: error,
      });
    case 'unknown-run':
      return new ProblemError(404, 'unknown-run', 'There is no such run.', { cause: error });
    case 'unknown-schedule':
      return new ProblemError(404, 'unknown-schedule', 'There is no such schedule.', { cause: error });
    case 'unknown-notification':
      return new ProblemError(404, 'unknown-notification', 'There is no such notification.', { cause: error });
    case 'unknown-alert':
      return new ProblemError(404, 'unknown-alert', 'There is no such alert.', { cause: error });
    case 'idempotency-conflict': {
      const detail = 'This Idempotency-Key was used with another body. Use a new key for a new request.';
      return new ProblemError(422, 'idempotency-conflict', detail, { cause: error });
    }
    case 'store-unavailable': {
      const headers = { 'Retry-After': String(RETRY_AFTER_SECONDS) };
      return new ProblemError(503, 'store-unavailable', error.message, { headers, cause: error });
    }
    default:
      return new ProblemError(status, error.code, error.message, { cause: error });
  }
}

/** Errors that Express, its router and its body reader throw. */
function fromHttp(error: unknown): ProblemError | null {
  if (!(error instanceof Error)) return null;
  const { status, type } = error as { status?: unknown; type?: unknown };
  switch (status) {
    case 413:
      return new ProblemError(413, 'body-too-large', 'The body is larger than 1 MB.', { cause: error });
    case 415:
      return new ProblemError(415, 'unsupported-encoding', 'Send the body as identity, gzip, deflate or br.', {
        cause: error,
      });
    case 400:
      if (type === 'request.aborted')
        return new ProblemError(400, 'aborted', 'The body ended early.', { cause: error });
      return new ProblemError(400, 'malformed-request', 'The request cannot be read.', { cause: error });
    default:
      return null;
  }
}

/** Problems of a zod error as JSON Pointers; an unknown field is named itself. */
export function schemaProblems(error: z.ZodError): FieldProblem[] {
  return error.issues.flatMap((issue) => {
    const pointer = pointerOf(issue.path);
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: `${pointer}${pointerOf([key])}`,
        code: 'unknown-field',
        detail: 'is not a known field',
      }));
    }
    if (issue.code === 'invalid_type' && issue.input === undefined && /received undefined$/.test(issue.message)) {
      return [{ pointer, code: 'required', detail: 'is required' }];
    }
    return [{ pointer, code: issue.code.replaceAll('_', '-'), detail: issue.message }];
  });
}

export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
