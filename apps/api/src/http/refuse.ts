import type { Producer } from '@nightshift/engine/accept';
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { principalOf } from './authenticate.ts';
import type { TellFailure } from './failure-alert.ts';
import { ProblemError as Problem, type ProblemError, problemDocument, toProblem } from './problem.ts';
import { requestIdOf } from './request-id.ts';

/** Evidence may not hold up an answer for longer, ms: Postgres may be away. */
const EVIDENCE_MS = 800;

export type Witness = Pick<Producer, 'appendAudit' | 'recordRefusal'>;

/** Records a refusal: a known caller's in the audit log, an unknown one's counted by address and minute. Logged in any case. */
export async function leaveEvidence(
  witness: Witness,
  log: Logger,
  req: Request,
  res: Response,
  problem: ProblemError,
): Promise<void> {
  const principal = principalOf(res);
  const { method } = req;
  const path = pathOf(req);
  const { status, code } = problem;
  const address = req.ip ?? 'unknown';
  log.info(
    { requestId: requestIdOf(res), address, actor: principal?.sub, method, path, status, code },
    'Request refused',
  );
  // Without Postgres there is nowhere to write it.
  if (status === 503) return;
  const written =
    principal === null
      ? witness.recordRefusal({ address, method, path, status, code })
      : witness.appendAudit({
          tenantId: principal.tenantId,
          actor: principal.sub,
          action: 'request.refused',
          details: { method, path, status, code, requestId: requestIdOf(res) },
        });
  await settledWithin(written, EVIDENCE_MS, (error) =>
    log.warn({ requestId: requestIdOf(res), reason: reasonOf(error) }, 'A refusal could not be recorded'),
  );
}

async function settledWithin(work: Promise<unknown>, ms: number, onError: (error: unknown) => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(onError), late]);
  clearTimeout(timer);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown';
}

/** Cut, so that a 16 kB address doesn't fill a row; without the query, which may hold what a caller should not have sent. */
export function pathOf(req: Request): string {
  return (req.originalUrl.split('?')[0] ?? '/').slice(0, 256).replaceAll('\0', '');
}

/** Where every error ends: as a problem document, with evidence, and with the cause in the log where it is ours. */
export function createRefuse(witness: Witness, log: Logger, tellFailure: TellFailure): ErrorRequestHandler {
  return async (error, req, res, _next) => {
    const problem = toProblem(error);
    if (problem.status >= 500) logFailure(log, res, problem);
    if (problem.status === 500) tellFailure(req, res, problem);
    if (res.headersSent) {
      res.destroy();
      return;
    }
    if (problem.status < 500 || problem.status === 503) await leaveEvidence(witness, log, req, res, problem);
    sendProblem(req, res, problem);
  };
}

export function sendProblem(req: Request, res: Response, problem: ProblemError): void {
  for (const [name, value] of Object.entries(problem.headers)) res.setHeader(name, value);
  res
    .status(problem.status)
    .type('application/problem+json')
    .send(JSON.stringify(problemDocument(problem, { path: pathOf(req), id: requestIdOf(res) })));
}

function logFailure(log: Logger, res: Response, problem: ProblemError): void {
  const { cause } = problem;
  const err =
    cause instanceof Error
      ? {
          type: cause.name,
          code: (cause as { code?: unknown }).code,
          // Only where: messages of Postgres and of zod quote values.
          at: cause.stack
            ?.split('\n')
            .filter((line) => /^\s+at /.test(line))
            .slice(0, 12),
        }
      : undefined;
  log.error({ requestId: requestIdOf(res), code: problem.code, err }, 'A request failed');
}

export const unknownPath: RequestHandler = () => {
  throw new Problem(404, 'unknown-path', 'There is nothing at this address. /docs lists what there is.');
};

/** Methods that no path here has: refused before anything else looks at them. */
export const refuseOddMethods: RequestHandler = (req, _res, next) => {
  if (['GET', 'HEAD', 'POST', 'PATCH', 'PUT', 'DELETE', 'OPTIONS'].includes(req.method)) return next();
  throw methodNotAllowed(['GET', 'POST']);
};

export function methodNotAllowed(allowed: readonly string[]): ProblemError {
  const names = allowed.map((method) => method.toUpperCase());
  return new Problem(405, 'method-not-allowed', `This address answers ${names.join(', ')}.`, {
    headers: { Allow: names.join(', ') },
  });
}
