import type { Producer } from '@nightshift/engine/accept';
import { type RequestHandler, Router } from 'express';
import { BOARD_PATH, type BoardQueues } from './board/queues.ts';
import { runPageRouter } from './board/run-page.ts';
import { refuseCrossSite } from './board/same-site.ts';
import { demandSession, type SignInDeps, signInRouter, wantsHtml } from './board/sign-in.ts';
import { html, page } from './http/html.ts';
import { ProblemError } from './http/problem.ts';
import { methodNotAllowed } from './http/refuse.ts';

export interface BoardDeps extends SignInDeps {
  readonly producer: Producer;
  readonly queues: BoardQueues;
  readonly publicUrl: string | undefined;
}

/** Everything below /admin: sign-in, Bull Board to look at, pages of runs. Nothing here changes a run; the API does that. */
export function boardRouter(deps: BoardDeps): Router {
  const router = Router({ caseSensitive: true });
  router.use('/admin', noStore, refuseCrossSite(deps.publicUrl));
  router.use(signInRouter(deps));
  router.use('/admin', demandSession(deps), readOnly);
  router.use(BOARD_PATH, refuseInside, bullBoard(deps.queues));
  router.use(runPageRouter(deps.producer.pools, deps.queues));
  return router;
}

const noStore: RequestHandler = (req, res, next) => {
  // Bull Board's own files have their hash in the name.
  res.setHeader('Cache-Control', req.path.startsWith('/queues/static/') ? 'private, max-age=3600' : 'no-store');
  next();
};

const readOnly: RequestHandler = (req, _res, next) => {
  if (req.method === 'GET' || req.method === 'HEAD') return next();
  throw methodNotAllowed(['GET']);
};

/** `hideRedisDetails` hides them from the page alone; these addresses would tell all the same. */
const refuseInside: RequestHandler = (req, _res, next) => {
  if (!/^\/api\/(redis\/stats|queues\/[^/]+\/workers)\/?$/.test(req.path)) return next();
  throw new ProblemError(403, 'forbidden', 'Details of Redis are not shown.');
};

function bullBoard(queues: BoardQueues): RequestHandler {
  return async (req, res, next) => {
    const handler = await queues.handler();
    if (handler !== null) return handler(req, res, next);
    const away =
      'Redis does not answer, so there are no queues to show. Runs are accepted all the same and start when it is back.';
    if (!wantsHtml(req)) throw new ProblemError(503, 'redis-away', away, { headers: { 'Retry-After': '5' } });
    res.status(503).setHeader('Retry-After', '5').type('html');
    res.send(
      page(
        { title: 'Queues', narrow: true },
        html`<h1>No queues to show</h1><div class="card"><p class="notice">${away}</p>
          <form method="get" action="${BOARD_PATH}"><button>Try again</button></form></div>`,
      ),
    );
  };
}
