import type { Producer } from '@nightshift/engine/accept';
import express, { type Express, type RequestHandler, Router } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import type { BoardQueues } from './board/queues.ts';
import { createSessions } from './board/session.ts';
import { boardRouter } from './board.ts';
import { docsRouter } from './docs.ts';
import { clinicRouter } from './drop-in/clinic.ts';
import { dropInDocs } from './drop-in/docs.ts';
import { gymRouter } from './drop-in/gym.ts';
import { litigationRouter } from './drop-in/litigation.ts';
import { medicationRouter } from './drop-in/medication.ts';
import type { Env } from './env.ts';
import { createAuthenticate } from './http/authenticate.ts';
import { type Endpoint, mountEndpoints } from './http/endpoint.ts';
import { createTellFailure } from './http/failure-alert.ts';
import { html, page } from './http/html.ts';
import { BEARER_LIMITS, createCountWrong, SIGN_IN_LIMITS, type WrongCredentialLimits } from './http/limits.ts';
import { openApiDocument } from './http/openapi.ts';
import { createRefuse, refuseOddMethods, unknownPath } from './http/refuse.ts';
import { assignRequestId } from './http/request-id.ts';
import { requestLog } from './http/request-log.ts';
import { createVerifyToken, type VerifyToken } from './http/token.ts';
import { createMetrics } from './metrics.ts';
import { ICON_SVG, PAGES_CSS } from './pages-style.ts';
import { alertRoutes } from './routes/alerts.ts';
import { auditRoutes } from './routes/audit.ts';
import { jobRoutes } from './routes/jobs.ts';
import { notificationPreferenceRoutes } from './routes/notification-preferences.ts';
import { notificationRoutes } from './routes/notifications.ts';
import { processRouter } from './routes/process.ts';
import { queueRoutes } from './routes/queues.ts';
import { runRoutes } from './routes/runs.ts';
import { scheduleRoutes } from './routes/schedules.ts';
import { tenantRoutes } from './routes/tenants.ts';

export interface AppDeps {
  readonly env: Env;
  readonly producer: Producer;
  readonly queues: BoardQueues;
  readonly log: Logger;
  readonly version: string;
  readonly limits?: { readonly bearer: WrongCredentialLimits; readonly signIn: WrongCredentialLimits };
}

/** The whole HTTP surface, without a port. */
export function createApp(deps: AppDeps): Express {
  const { env, producer, log } = deps;
  const verifyToken = verifierOf(env);
  const countWrong = createCountWrong(deps.limits?.bearer ?? BEARER_LIMITS);
  const production = env.NODE_ENV === 'production';
  const endpoints = endpointsOf(producer);
  const metrics = createMetrics(producer.pools);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', env.TRUST_PROXY_HOPS);
  app.set('query parser', 'simple');
  app.set('case sensitive routing', true);
  app.use(assignRequestId, requestLog(log, metrics), securityHeaders(env), refuseOddMethods);
  app.use(['/v1', '/api', '/healthz', '/readyz', '/metrics'], noStore);
  app.use(startRouter());
  app.use(
    processRouter({
      producer,
      metrics,
      document: documentOf(deps, endpoints),
      metricsToken: env.METRICS_TOKEN,
      production,
    }),
  );
  app.use(docsRouter());
  app.use(clinicRouter({ producer, countWrong, secret: env.CRON_SECRET }));
  app.use(gymRouter({ producer, countWrong, secret: env.CRON_SECRET, production, allowGet: env.GYM_CRON_ALLOW_GET }));
  app.use(
    litigationRouter({
      producer,
      log,
      countWrong,
      apiKey: env.FUNCTIONS_API_KEY ?? env.LOVABLE_API_KEY ?? null,
      allowOrigin: env.FUNCTIONS_ALLOW_ORIGIN,
    }),
  );
  const authenticate = createAuthenticate(verifyToken, countWrong);
  app.use(medicationRouter({ producer, authenticate, perMinute: env.MEDICATION_REQUESTS_PER_MINUTE }));
  app.use('/v1', authenticate);
  app.use(mountEndpoints(endpoints));
  app.use(boardOf(deps, verifyToken));
  app.use(unknownPath);
  app.use(createRefuse(producer, log, createTellFailure(producer.alerts, log)));
  return app;
}

/** Answers about now, some of them one person's: no cache may keep them. */
const noStore: RequestHandler = (_req, res, next) => {
  res.setHeader('Cache-Control', 'no-store');
  next();
};

function endpointsOf(producer: Producer): Endpoint[] {
  const deps = { producer };
  return [
    ...jobRoutes(deps),
    ...runRoutes(deps),
    ...scheduleRoutes(deps),
    ...auditRoutes(deps),
    ...alertRoutes(deps),
    ...notificationRoutes(deps),
    ...notificationPreferenceRoutes(deps),
    ...tenantRoutes(deps),
    ...queueRoutes(deps),
  ];
}

function documentOf({ env, producer, version }: AppDeps, endpoints: readonly Endpoint[]): object {
  return openApiDocument({
    endpoints,
    others: dropInDocs(),
    jobs: producer.catalogue.jobs,
    version,
    publicUrl: env.PUBLIC_URL,
  });
}

function verifierOf(env: Env): VerifyToken {
  return createVerifyToken({
    secret: env.JWT_SECRET,
    jwksUrl: env.JWKS_URL,
    issuer: env.JWT_ISSUER,
    audience: env.JWT_AUDIENCE,
  });
}

function boardOf({ env, producer, queues, log, limits }: AppDeps, verifyToken: VerifyToken): Router {
  return boardRouter({
    producer,
    queues,
    log,
    verifyToken,
    witness: producer,
    password: env.BOARD_PASSWORD,
    publicUrl: env.PUBLIC_URL,
    countWrong: createCountWrong(limits?.signIn ?? SIGN_IN_LIMITS),
    sessions: createSessions(env.JWT_SECRET ?? env.CRON_SECRET, isHttps(env)),
  });
}

function isHttps(env: Env): boolean {
  return env.PUBLIC_URL?.startsWith('https:') ?? false;
}

/** Everything comes from this origin. Inline styles are let in because Swagger UI and Bull Board set some; inline scripts are not. */
function securityHeaders(env: Env): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        fontSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity: isHttps(env) ? { maxAge: 31_536_000 } : false,
  });
}

function startRouter(): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router.get('/', (_req, res) => void res.type('html').send(START_PAGE));
  router.get('/assets/pages.css', (_req, res) => void res.type('css').send(PAGES_CSS));
  router.get('/assets/icon.svg', (_req, res) => void res.type('svg').send(ICON_SVG));
  router.get('/favicon.ico', (_req, res) => void res.redirect(301, '/assets/icon.svg'));
  return router;
}

const START_PAGE = page(
  { title: 'Start' },
  html`<h1>Nightshift</h1><p class="lead">Distributed background jobs: Redis executes, Postgres remembers.</p><div class="grid">
    <a class="card" href="/admin/queues"><strong>Queues</strong><span class="dim">Bull Board: what waits, runs and failed. Needs a sign-in.</span></a>
    <a class="card" href="/docs"><strong>API reference</strong><span class="dim">Every path, its schema, and a way to try it.</span></a>
    <a class="card" href="/openapi.json"><strong>openapi.json</strong><span class="dim">The same for machines: OpenAPI 3.1.</span></a>
    <a class="card" href="/readyz"><strong>Readiness</strong><span class="dim">Whether runs can be accepted now.</span></a></div>`,
);
