import { inTransaction } from '@nightshift/db';
import { type DefinedJob, type FieldProblem, UnknownTenantError } from '@nightshift/engine';
import { type Producer, storeErrors } from '@nightshift/engine/accept';
import {
  backupInput,
  findMissing,
  interactionInput,
  refillInput,
  reminderInput,
  rollUpInput,
  supplyInput,
} from '@nightshift/jobs/medication';
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import type { z } from 'zod';
import { principalOf, unauthorized } from '../http/authenticate.ts';
import { idempotencyOf } from '../http/idempotency.ts';
import { jsonBody } from '../http/json-body.ts';
import { createRequestLimit } from '../http/limits.ts';
import { waitSeconds } from '../http/prefer.ts';
import { demandRole, MAY_START, type Principal } from '../http/principal.ts';
import { ProblemError, schemaProblems } from '../http/problem.ts';
import { methodNotAllowed } from '../http/refuse.ts';
import { acceptedAnswer } from '../routes/run-answer.ts';
import { demandMayStart, isOfOneTenant } from '../routes/whose-run.ts';

/** Largest body of these paths (SPEC 3.4). */
const MAX_MEDICATION_BYTES = 65_536;

export interface MedicationDeps {
  readonly producer: Producer;
  /** Says who asks, or refuses. */
  readonly authenticate: RequestHandler;
  /** Requests that one address may send in a minute. */
  readonly perMinute: number;
}

/** What a body names, for the check that its organisation has it. */
interface Named {
  readonly users: readonly string[];
  readonly medications: readonly string[];
}

interface MedicationPath {
  readonly job: string;
  readonly body: z.ZodType;
  /** Not asked where nothing is named that must exist. */
  readonly named?: (body: never) => Named;
}

const path = <Body extends z.ZodType>(
  job: string,
  body: Body,
  named?: (body: z.output<Body>) => Named,
): MedicationPath => ({
  job,
  body,
  ...(named === undefined ? {} : { named }),
});
type OneMedication = { readonly user_id: string; readonly medication_id: string };
const oneMedication = ({ user_id, medication_id }: OneMedication): Named => ({
  users: [user_id],
  medications: [medication_id],
});

/** The seed's paths, by the last part of their address. */
export const MEDICATION_PATHS: Readonly<Record<string, MedicationPath>> = {
  'medication-reminder': path('medication.medication-reminder', reminderInput, oneMedication),
  'refill-check': path('medication.refill-check', refillInput, oneMedication),
  // What is not recognised is part of its answer.
  'interaction-check': path('medication.interaction-check', interactionInput, ({ user_id }) => ({
    users: [user_id],
    medications: [],
  })),
  'supply-monitor': path('medication.supply-monitor', supplyInput, ({ user_id, medications }) => ({
    users: [user_id],
    medications,
  })),
  'analytics-roll-up': path('medication.analytics-roll-up', rollUpInput),
  backup: path('medication.backup', backupInput),
};

/** `POST /api/v1/jobs/<name>`, in the seed's order: size, type and rate; schema; token; role; business rules; then the run is accepted. */
export function medicationRouter(deps: MedicationDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const limit = createRequestLimit(deps.perMinute);
  for (const [name, one] of Object.entries(MEDICATION_PATHS)) {
    router
      .route(`/api/v1/jobs/${name}`)
      .post(limit, readSmallBody, handler(deps, one))
      .all(() => {
        throw methodNotAllowed(['POST']);
      });
  }
  return router;
}

const raw = express.raw({ limit: MAX_MEDICATION_BYTES, type: () => true });

const readSmallBody: RequestHandler = (req, res, next) => {
  raw(req, res, (error?: unknown) => {
    const tooLarge = (error as { status?: unknown } | undefined)?.status === 413;
    next(
      tooLarge ? new ProblemError(413, 'body-too-large', 'The body is larger than 64 kB.', { cause: error }) : error,
    );
  });
};

function handler(deps: MedicationDeps, one: MedicationPath): RequestHandler {
  return async (req, res) => {
    const body = checkedBody(one.body, req);
    const seconds = waitSeconds(req.headers.prefer);
    const principal = await authenticated(deps.authenticate, req, res);
    demandRole(principal, MAY_START);
    const job = deps.producer.catalogue.get(one.job);
    demandMayStart(job, principal, isOfOneTenant(job, body));
    const tenantId = await organisationOf(deps.producer, job, principal, body);
    if (one.named !== undefined && tenantId !== null)
      await demandKnown(deps.producer, tenantId, one.named(body as never), body);
    const idempotency = idempotencyOf(req, principal, body);
    const request = { job: job.name, tenant: tenantId, input: body, idempotency };
    const accepted = await deps.producer.accept(request, principal.sub);
    const controller = new AbortController();
    res.once('close', () => controller.abort());
    const answer = await acceptedAnswer(deps, accepted, { seconds, signal: controller.signal, principal });
    if (controller.signal.aborted) return;
    for (const [header, value] of Object.entries(answer.headers ?? {})) res.setHeader(header, value);
    res.status(answer.status).json(answer.body);
  };
}

/** Errors: 415; 400 for what is no JSON and for what breaks the schema (the seed's status, where `/v1` has 422). */
function checkedBody(schema: z.ZodType, req: Request): unknown {
  const json = demandBody(req);
  const parsed = schema.safeParse(json.value);
  const problems = [...json.problems, ...(parsed.success ? [] : schemaProblems(parsed.error))];
  if (problems.length > 0) throw invalid(problems);
  return parsed.data;
}

function demandBody(req: Request): NonNullable<ReturnType<typeof jsonBody>> {
  try {
    const json = jsonBody(req);
    if (json !== null) return json;
  } catch (error) {
    if (error instanceof ProblemError && error.status === 422) throw invalid(error.problems);
    throw error;
  }
  throw invalid([{ pointer: '', code: 'required', detail: 'a body is required' }]);
}

function invalid(problems: readonly FieldProblem[]): ProblemError {
  return new ProblemError(400, 'invalid-input', 'The request breaks its schema.', { problems });
}

async function authenticated(authenticate: RequestHandler, req: Request, res: Response): Promise<Principal> {
  await authenticate(req, res, () => undefined);
  const principal = principalOf(res);
  if (principal === null) throw unauthorized('Send a bearer token.');
  return principal;
}

/**
 * The organisation of the token, or null for a run of the whole platform.
 * Errors: 403 for a token of no organisation where the run is one's: the seed's bodies name none.
 */
async function organisationOf(
  producer: Producer,
  job: DefinedJob,
  principal: Principal,
  body: unknown,
): Promise<string | null> {
  if (job.scope === 'system' && !isOfOneTenant(job, body)) return null;
  if (principal.tenantId === null)
    throw new ProblemError(403, 'forbidden', 'This needs a token of an organisation: one with its tenant.');
  try {
    return (await producer.resolveTenant(job, principal.tenantId)).id;
  } catch (error) {
    if (!(error instanceof UnknownTenantError)) throw error;
    throw new ProblemError(403, 'forbidden', 'The token is of no organisation of this system.', { cause: error });
  }
}

/** Errors: 404 naming the fields, never what they say. */
async function demandKnown(producer: Producer, tenantId: string, named: Named, body: unknown): Promise<void> {
  const missing = await storeErrors(() =>
    inTransaction(producer.pools.app, [tenantId], (client) => findMissing(client, tenantId, named)),
  );
  const problems: FieldProblem[] = [];
  const detail = 'does not exist in your organisation';
  if (missing.users.length > 0) problems.push({ pointer: '/user_id', code: 'unknown-user', detail });
  for (const reference of missing.medications) {
    const list = (body as { medications?: readonly string[] }).medications;
    const pointer = list === undefined ? '/medication_id' : `/medications/${list.indexOf(reference)}`;
    problems.push({ pointer, code: 'unknown-medication', detail });
  }
  const [first] = problems;
  if (first === undefined) return;
  throw new ProblemError(404, first.code, `What the request names ${detail}.`, { problems });
}
