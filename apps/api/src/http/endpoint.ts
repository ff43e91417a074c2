import type { FieldProblem } from '@nightshift/engine';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { z } from 'zod';
import { principalOf, unauthorized } from './authenticate.ts';
import { jsonBody, readBody, schemaBroken, structureProblems } from './json-body.ts';
import { demandRole, type Principal, type Role } from './principal.ts';
import { ProblemError, schemaProblems } from './problem.ts';
import { methodNotAllowed } from './refuse.ts';

export interface Call<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly principal: Principal;
  readonly req: Request;
  /** Aborted when the caller hangs up. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface AnswerDoc {
  readonly description: string;
  readonly schema?: z.ZodType;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One method of one path: what is served and what the OpenAPI document says come from the same object. */
export interface EndpointSpec<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** OpenAPI form: `/v1/runs/{id}`. */
  readonly path: string;
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly roles: readonly Role[];
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  /** No body counts as `{}`. */
  readonly bodyOptional?: boolean;
  /** A body that works in the demo data. */
  readonly example?: unknown;
  readonly takesIdempotencyKey?: boolean;
  readonly takesPrefer?: boolean;
  readonly answers: Readonly<Record<number, AnswerDoc>>;
  /** Problems that the body's schema cannot see; told together with its own. */
  readonly alsoWrong?: (
    given: Readonly<Record<string, unknown>>,
    params: z.output<P>,
    principal: Principal,
  ) => readonly FieldProblem[];
  /** Runs before the body is looked at: is there such a thing, and may this caller touch it? */
  readonly admit?: (params: z.output<P>, principal: Principal) => void | Promise<void>;
  readonly handle: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Answer>;
}

export type Endpoint = EndpointSpec<z.ZodType, z.ZodType, z.ZodType>;

/** Keeps the types of params, query and body together with their handler. */
export function endpoint<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  spec: EndpointSpec<P, Q, B>,
): Endpoint {
  return spec as unknown as Endpoint;
}

/** Routes of all endpoints; a known path asked with another method is 405. */
export function mountEndpoints(endpoints: readonly Endpoint[]): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const [path, methods] of groupByPath(endpoints)) {
    const route = router.route(path.replaceAll(/\{(\w+)\}/g, ':$1'));
    for (const one of methods) route[one.method](handlerOf(one));
    route.all(() => {
      throw methodNotAllowed(methods.map((one) => one.method));
    });
  }
  return router;
}

function groupByPath(endpoints: readonly Endpoint[]): Map<string, Endpoint[]> {
  const groups = new Map<string, Endpoint[]>();
  for (const one of endpoints) groups.set(one.path, [...(groups.get(one.path) ?? []), one]);
  return groups;
}

function handlerOf(spec: Endpoint): RequestHandler {
  return async (req, res) => {
    const principal = principalOf(res);
    if (principal === null) throw unauthorized('Send a bearer token.');
    demandRole(principal, spec.roles);
    const params = parameters(spec.params, req.params);
    await spec.admit?.(params, principal);
    const query = parameters(spec.query, req.query, true);
    const body = await bodyOf(spec, req, res, params, principal);
    const answer = await spec.handle({ params, query, body, principal, req, signal: hangUpSignal(res) });
    for (const [name, value] of Object.entries(answer.headers ?? {})) res.setHeader(name, value);
    res.status(answer.status).json(answer.body);
  };
}

function parameters(schema: z.ZodType | undefined, given: unknown, query = false): unknown {
  if (schema === undefined) {
    const names = query ? Object.keys(given as object) : [];
    if (names.length === 0) return {};
    const problems = names.map((name) => ({
      pointer: `/${name}`,
      code: 'unknown-field',
      detail: 'is not a known field',
    }));
    throw new ProblemError(400, 'invalid-parameter', 'A parameter is not valid.', { problems });
  }
  const parsed = schema.safeParse(given);
  // What Postgres cannot store it cannot look for either.
  const problems = [...structureProblems(given), ...(parsed.success ? [] : schemaProblems(parsed.error))];
  if (parsed.success && problems.length === 0) return parsed.data;
  throw new ProblemError(400, 'invalid-parameter', 'A parameter is not valid.', {
    problems: uniqueByPointer(problems),
  });
}

async function bodyOf(
  spec: Endpoint,
  req: Request,
  res: Response,
  params: unknown,
  principal: Principal,
): Promise<unknown> {
  if (spec.body === undefined) return undefined;
  await new Promise<void>((resolve, reject) => {
    readBody(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  const json = jsonBody(req) ?? (spec.bodyOptional === true ? { value: {}, problems: [] } : null);
  if (json === null) throw schemaBroken([{ pointer: '', code: 'required', detail: 'a body is required' }]);
  const parsed = spec.body.safeParse(json.value);
  const given = json.value as Readonly<Record<string, unknown>>;
  const problems = [
    ...json.problems,
    ...(parsed.success ? [] : schemaProblems(parsed.error)),
    ...(spec.alsoWrong?.(given, params, principal) ?? []),
  ];
  if (problems.length > 0) throw schemaBroken(uniqueByPointer(problems));
  return parsed.data;
}

/** The first one of each field: it is the most telling. */
function uniqueByPointer(problems: readonly FieldProblem[]): FieldProblem[] {
  return [...new Map(problems.toReversed().map((problem) => [problem.pointer, problem])).values()].reverse();
}

function hangUpSignal(res: Response): AbortSignal {
  const controller = new AbortController();
  res.once('close', () => controller.abort());
  return controller.signal;
}
