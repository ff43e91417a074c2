import { findRuns, type Producer, type RunDetail, waitWithFollowUps } from '@nightshift/engine/accept';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { Logger } from 'pino';
import { actAs, bearerOf, unauthorized } from '../http/authenticate.ts';
import type { CountWrong } from '../http/limits.ts';
import { secondsOf } from '../http/prefer.ts';
import { toProblem } from '../http/problem.ts';
import { leaveEvidence, methodNotAllowed } from '../http/refuse.ts';
import { isSameSecret } from '../http/same-secret.ts';
import { runUrl } from '../routes/run-answer.ts';
import { drained, drainedIdempotency } from './drained.ts';
import { FUNCTIONS, type FunctionName, resultsOf } from './litigation-results.ts';

export interface LitigationDeps {
  readonly producer: Producer;
  readonly log: Logger;
  readonly countWrong: CountWrong;
  /** `FUNCTIONS_API_KEY`; null: nobody may call. */
  readonly apiKey: string | null;
  /** `FUNCTIONS_ALLOW_ORIGIN`. */
  readonly allowOrigin: string;
}

/** The seed's paths (SPEC 3.3), in the seed's two shapes; a browser of another origin may call them with the key. */
export function litigationRouter(deps: LitigationDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const name of Object.keys(FUNCTIONS) as FunctionName[]) {
    router.all(`/functions/v1/${name}`, cors(deps.allowOrigin), drained(handler(deps, name)));
  }
  return router;
}

function cors(allowOrigin: string): RequestHandler {
  return (req, res, next) => {
    res.setHeader('Access-Control-Allow-Origin', allowOrigin);
    if (allowOrigin !== '*') res.vary('Origin');
    res.setHeader('Access-Control-Allow-Headers', 'authorization, x-client-info, apikey, content-type');
    res.setHeader('Access-Control-Allow-Methods', 'POST, OPTIONS');
    res.setHeader('Cache-Control', 'no-store');
    if (req.method === 'OPTIONS') res.status(200).end();
    else next();
  };
}

function handler(deps: LitigationDeps, name: FunctionName): RequestHandler {
  return async (req, res) => {
    if (req.method !== 'POST') throw methodNotAllowed(['POST', 'OPTIONS']);
    if (!(await isAllowed(deps, req, res))) return;
    const executedAt = new Date();
    try {
      await startAndAnswer(deps, name, executedAt, req, res);
    } catch (error) {
      // The shape is the seed's; what it says is what a problem document would.
      const problem = toProblem(error);
      deps.log.error({ job: name, code: problem.code }, 'A function call failed');
      for (const [header, value] of Object.entries(problem.headers)) res.setHeader(header, value);
      res.status(problem.status).json(failure(name, executedAt, 'The job could not be started', problem.message));
    }
  };
}

/** Answers 401 (429 after too many) with the seed's text, and leaves evidence, when the key is missing or wrong. */
async function isAllowed(deps: LitigationDeps, req: Request, res: Response): Promise<boolean> {
  const given = bearerOf(req);
  if (deps.apiKey !== null && given !== null && isSameSecret(given, deps.apiKey)) return true;
  const refusal = await deps.countWrong(req, res, unauthorized('Send FUNCTIONS_API_KEY as the bearer token.'));
  await leaveEvidence(deps.producer, deps.log, req, res, refusal);
  for (const [name, value] of Object.entries(refusal.headers)) res.setHeader(name, value);
  res
    .status(refusal.status)
    .type('text/plain')
    .send(refusal.status === 401 ? 'Unauthorized' : 'Too Many Requests');
  return false;
}

async function startAndAnswer(
  { producer }: LitigationDeps,
  name: FunctionName,
  executedAt: Date,
  req: Request,
  res: Response,
): Promise<void> {
  const job = producer.catalogue.get(`litigation.${name}`);
  const { wait } = req.query;
  const timeoutMs = wait === undefined ? job.options.timeoutMs : secondsOf(wait) * 1_000;
  const controller = new AbortController();
  res.once('close', () => controller.abort());
  const principal = actAs(res, { sub: 'cron:litigation', roles: ['service'], tenantId: null });
  const idempotency = drainedIdempotency(req, res, principal);
  const startedAt = performance.now();
  const started = await producer.start({ kind: 'drop-in', job: job.name, idempotency }, principal.sub);
  // What exceeds a run's limits is done by follow-up runs: the answer is about all of it.
  const { ids, ended } = await waitWithFollowUps(
    producer,
    started.runs.map((run) => run.runId),
    { timeoutMs, signal: controller.signal },
  );
  if (controller.signal.aborted) return;
  const runs = await findRuns(producer.pools, ids, null);
  res.setHeader('X-Nightshift-Trigger', started.triggerId);
  const executionTime = `${((performance.now() - startedAt) / 1_000).toFixed(1)}s`;
  const at = isoSeconds(executedAt);
  if (ended.size < ids.length) {
    const tenants = runs.map((run) => ({ tenant: run.tenant, runId: run.id, status: run.status, url: runUrl(run.id) }));
    res.status(202).json({ success: true, job: name, executedAt: at, results: { tenants }, executionTime });
    return;
  }
  const broken = runs.filter((run) => run.status === 'failed' || run.status === 'cancelled');
  if (broken.length > 0) {
    res.status(500).json(failure(name, executedAt, `${broken.length} of ${runs.length} runs failed`, details(broken)));
    return;
  }
  const results = resultsOf(
    name,
    runs.map((run) => (run.result ?? {}) as Readonly<Record<string, unknown>>),
  );
  res.status(200).json({ success: true, job: name, executedAt: at, results, executionTime });
}

function failure(job: FunctionName, executedAt: Date, error: string, errorDetails: string) {
  return { success: false, job, error, errorDetails, executedAt: isoSeconds(executedAt) };
}

const SHOWN = 10;

function details(broken: readonly RunDetail[]): string {
  const told = broken
    .slice(0, SHOWN)
    .map(
      (run) => `${run.tenant ?? run.tenantId}: ${run.errorMessage ?? `the run was ${run.status}`} (${runUrl(run.id)})`,
    );
  return [...told, ...(broken.length > SHOWN ? [`and ${broken.length - SHOWN} more`] : [])].join('; ');
}

/** As the seed prints times: `2025-01-15T10:30:00Z`. */
function isoSeconds(at: Date): string {
  return at.toISOString().replace(/\.\d{3}Z$/, 'Z');
}
