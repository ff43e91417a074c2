import { schemaVersion } from '@nightshift/db';
import { isStoreUnavailable, type Producer } from '@nightshift/engine/accept';
import { type Request, type RequestHandler, Router } from 'express';
import { bearerOf, unauthorized } from '../http/authenticate.ts';
import { ProblemError } from '../http/problem.ts';
import { methodNotAllowed } from '../http/refuse.ts';
import { isSameSecret } from '../http/same-secret.ts';
import type { ApiMetrics } from '../metrics.ts';

export interface ProcessDeps {
  readonly producer: Producer;
  readonly metrics: ApiMetrics;
  readonly document: object;
  readonly metricsToken: string | undefined;
  readonly production: boolean;
}

/** What machines ask about this process: is it alive, can it work, how is it doing, what does it understand. */
export function processRouter(deps: ProcessDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const answers: Readonly<Record<string, RequestHandler>> = {
    '/healthz': (_req, res) => void res.json({ status: 'alive' }),
    '/readyz': readiness(deps.producer),
    '/metrics': metricsOf(deps),
    '/openapi.json': (_req, res) => void res.json(deps.document),
  };
  for (const [path, handler] of Object.entries(answers)) {
    router
      .route(path)
      .get(handler)
      .all(() => {
        throw methodNotAllowed(['GET']);
      });
  }
  return router;
}

/** Longest that the probe waits for Postgres, ms. */
const PROBE_MS = 2_500;

/** Ready means: a run can be accepted. That needs Postgres with this build's schema; Redis is told, and not needed. */
function readiness(producer: Producer): RequestHandler {
  return async (_req, res) => {
    const [schema, redis] = await Promise.all([
      within(PROBE_MS, schemaVersion(producer.pools.ops)).catch((error: unknown) => error),
      producer.redisState().catch(() => 'down' as const),
    ]);
    if (schema instanceof Error) {
      const postgres = isStoreUnavailable(schema) || schema instanceof ProbeTimeout ? 'down' : 'error';
      res.status(503).setHeader('Retry-After', '5');
      res.json({ status: 'not-ready', postgres, redis });
      return;
    }
    const { current, database, build } = schema as Awaited<ReturnType<typeof schemaVersion>>;
    const status = current ? 'ready' : 'not-ready';
    res.status(current ? 200 : 503).json({ status, postgres: 'ok', schema: { current, database, build }, redis });
  };
}

class ProbeTimeout extends Error {
  override readonly name = 'ProbeTimeout';
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ProbeTimeout(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

function metricsOf(deps: ProcessDeps): RequestHandler {
  return async (req, res) => {
    demandMayScrape(deps, req);
    const { contentType, body } = await deps.metrics.text();
    res.setHeader('Content-Type', contentType);
    res.send(body);
  };
}

/** Figures tell an outsider how the business goes: in production they need the token, or come from this machine. */
function demandMayScrape({ metricsToken, production }: ProcessDeps, req: Request): void {
  if (metricsToken !== undefined) {
    const given = bearerOf(req);
    if (given === null || !isSameSecret(given, metricsToken))
      throw unauthorized('Send METRICS_TOKEN as the bearer token.');
    return;
  }
  const direct = req.headers['x-forwarded-for'] === undefined && req.headers.forwarded === undefined;
  const own = direct && /^(127\.|::1$|::ffff:127\.)/.test(req.socket.remoteAddress ?? '');
  if (production && !own) {
    throw new ProblemError(404, 'unknown-path', 'There is nothing at this address. /docs lists what there is.');
  }
}
