import type { Request, RequestHandler, Response } from 'express';
import type { Logger } from 'pino';
import { pinoHttp } from 'pino-http';
import type { ApiMetrics } from '../metrics.ts';
import { principalOf } from './authenticate.ts';
import { pathOf } from './refuse.ts';
import { requestIdOf } from './request-id.ts';

const NOISY = new Set(['/healthz', '/readyz', '/metrics']);

/**
 * One line a request, when it has been answered, and its metrics. Neither headers nor query stand in it: they carry credentials and what
 * callers typed.
 */
export function requestLog(log: Logger, metrics: ApiMetrics): RequestHandler {
  const write = pinoHttp<Request, Response>({
    logger: log,
    genReqId: (_req, res) => requestIdOf(res),
    wrapSerializers: false,
    serializers: { req: shownRequest, res: (res: Response) => ({ statusCode: res.statusCode }), err: () => undefined },
    customLogLevel: (req, res) =>
      NOISY.has(req.path) && res.statusCode < 400 ? 'debug' : res.statusCode >= 500 ? 'error' : 'info',
    customProps: (_req, res) => ({ actor: principalOf(res)?.sub }),
  });
  return (req, res, next) => {
    const began = performance.now();
    res.once('close', () =>
      metrics.answered(req.method, patternOf(req), res.statusCode, (performance.now() - began) / 1_000),
    );
    write(req, res);
    next();
  };
}

function shownRequest(req: Request): object {
  return {
    id: req.id,
    method: req.method,
    path: pathOf(req),
    address: req.ip,
    agent: req.headers['user-agent']?.slice(0, 120),
  };
}

/** The pattern that answered, such as `/v1/runs/:id`; one word for what no pattern answered. */
export function patternOf(req: Request): string {
  const { route, baseUrl } = req as { route?: { path?: unknown }; baseUrl: string };
  if (baseUrl.startsWith('/admin/queues')) return '/admin/queues';
  return typeof route?.path === 'string' ? `${baseUrl}${route.path}` : 'none';
}
