import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import type { Logger } from 'pino';
import { z } from 'zod';
import { actAs, bearerOf, principalOf } from '../http/authenticate.ts';
import { html, page } from '../http/html.ts';
import type { CountWrong } from '../http/limits.ts';
import { hasRole, MAY_READ, type Principal } from '../http/principal.ts';
import { ProblemError } from '../http/problem.ts';
import { leaveEvidence, methodNotAllowed, type Witness } from '../http/refuse.ts';
import { isSameSecret } from '../http/same-secret.ts';
import { InvalidTokenError, type VerifyToken } from '../http/token.ts';
import type { Sessions } from './session.ts';

export interface SignInDeps {
  readonly sessions: Sessions;
  readonly verifyToken: VerifyToken;
  readonly countWrong: CountWrong;
  readonly witness: Witness;
  readonly log: Logger;
  /** Of the user `admin`; undefined: tokens alone sign in. */
  readonly password: string | undefined;
}

const HOME = '/admin/queues';
const form = z.object({
  user: z.string().max(200).default(''),
  password: z.string().max(500).default(''),
  token: z.string().max(10_000).default(''),
  next: z.string().max(500).default(HOME),
});

export function signInRouter(deps: SignInDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  router
    .route('/admin/sign-in')
    .get(async (req, res) => {
      if ((await deps.sessions.read(req)) !== null) return res.redirect(303, HOME);
      sendSignIn(deps, res, 200, { next: safeNext(req.query.next) });
    })
    .post(express.urlencoded({ extended: false, limit: '32kb' }), signIn(deps))
    .all(() => {
      throw methodNotAllowed(['GET', 'POST']);
    });
  router
    .route('/admin/sign-out')
    .get((_req, res) => void res.type('html').send(signOutPage()))
    .post(signOut(deps))
    .all(() => {
      throw methodNotAllowed(['GET', 'POST']);
    });
  return router;
}

function signIn(deps: SignInDeps): RequestHandler {
  return async (req, res) => {
    const parsed = form.safeParse(req.body ?? {});
    const given = parsed.success ? parsed.data : form.parse({});
    const next = safeNext(given.next);
    const principal = await whoIs(deps, given);
    if (principal === null) return await refuseSignIn(deps, req, res, next);
    if (principal.tenantId !== null || !hasRole(principal, MAY_READ)) {
      actAs(res, principal);
      throw new ProblemError(403, 'forbidden', 'The board shows all tenants: sign in with a platform token.');
    }
    // First the record, then the session: nobody is in without a trace.
    await deps.witness.appendAudit({
      tenantId: null,
      actor: principal.sub,
      action: 'board.signed_in',
      details: { address: req.ip },
    });
    await deps.sessions.open(res, principal);
    res.redirect(303, next);
  };
}

async function whoIs(deps: SignInDeps, given: z.output<typeof form>): Promise<Principal | null> {
  if (given.token !== '') {
    return await deps.verifyToken(given.token.trim()).catch((error: unknown) => {
      if (error instanceof InvalidTokenError) return null;
      throw error;
    });
  }
  if (deps.password === undefined) return null;
  // Both are compared whatever the first says, so that the time doesn't tell which was wrong.
  const user = isSameSecret(given.user, 'admin');
  const password = isSameSecret(given.password, deps.password);
  return user && password ? { sub: 'board:admin', roles: ['admin'], tenantId: null } : null;
}

async function refuseSignIn(deps: SignInDeps, req: Request, res: Response, next: string): Promise<void> {
  const wrong = new ProblemError(401, 'sign-in-failed', 'That user, password or token is not right.');
  const refusal = await deps.countWrong(req, res, wrong);
  await leaveEvidence(deps.witness, deps.log, req, res, refusal);
  for (const [name, value] of Object.entries(refusal.headers)) res.setHeader(name, value);
  sendSignIn(deps, res, refusal.status, { next, notice: refusal.message });
}

function signOut(deps: SignInDeps): RequestHandler {
  return async (req, res) => {
    const principal = await deps.sessions.read(req);
    deps.sessions.close(res);
    if (principal !== null) {
      const event = { tenantId: null, actor: principal.sub, action: 'board.signed_out' };
      // Leaving is never refused, not even while Postgres is away.
      await deps.witness.appendAudit(event).catch(() => deps.log.warn('A sign-out could not be recorded'));
    }
    res.redirect(303, '/admin/sign-in');
  };
}

/** Lets a request on with a session or a platform token; shows everybody else the sign-in page, as 401. */
export function demandSession(deps: SignInDeps): RequestHandler {
  return async (req, res, next) => {
    const principal = (await deps.sessions.read(req)) ?? (await bearerPrincipal(deps, req));
    if (principal !== null) {
      actAs(res, principal);
      if (principal.tenantId !== null) {
        throw new ProblemError(403, 'forbidden', 'The board shows all tenants: it needs a platform token.');
      }
      return next();
    }
    const refusal = new ProblemError(401, 'unauthorized', 'Sign in at /admin/sign-in.');
    if (req.method !== 'GET' || !wantsHtml(req)) throw refusal;
    await leaveEvidence(deps.witness, deps.log, req, res, refusal);
    sendSignIn(deps, res, 401, { next: safeNext(req.originalUrl) });
  };
}

async function bearerPrincipal(deps: SignInDeps, req: Request): Promise<Principal | null> {
  const token = bearerOf(req);
  if (token === null) return null;
  return await deps.verifyToken(token).catch((error: unknown) => {
    if (error instanceof InvalidTokenError) return null;
    throw error;
  });
}

export function wantsHtml(req: Request): boolean {
  return req.accepts(['json', 'html']) === 'html';
}

/** Only a page of the board: anything else would send a person who signed in to another site. */
function safeNext(next: unknown): string {
  return typeof next === 'string' && /^\/admin\/(?!sign-)[\w\-./?=&%]*$/.test(next) && !/\/\/|\.\./.test(next)
    ? next
    : HOME;
}

export function signedInAs(res: Response): string {
  return principalOf(res)?.sub ?? '';
}

function sendSignIn(deps: SignInDeps, res: Response, status: number, more: { next: string; notice?: string }): void {
  const notice = more.notice === undefined ? '' : html`<p class="notice" role="alert">${more.notice}</p>`;
  const byPassword = html`<label for="user">User</label><input id="user" name="user" value="admin" autocomplete="username" required>
    <label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
    <button>Sign in</button>`;
  const byToken = html`<form method="post" action="/admin/sign-in"><input type="hidden" name="next" value="${more.next}">
    <label for="token">Platform token (JWT)</label><textarea id="token" name="token" rows="4" required></textarea><button>Sign in with the token</button></form>`;
  const body = html`<h1>Sign in</h1><p class="lead">The queues and runs of all tenants. Sign-ins are recorded.</p><div class="card">
    ${
      deps.password === undefined
        ? byToken
        : html`<form method="post" action="/admin/sign-in"><input type="hidden" name="next" value="${more.next}">${byPassword}</form>
      <details><summary>Use a token instead</summary>${byToken}</details>`
    }${notice}</div>`;
  res
    .status(status)
    .type('html')
    .send(page({ title: 'Sign in', narrow: true }, body));
}

function signOutPage(): string {
  return page(
    { title: 'Sign out', narrow: true },
    html`<h1>Sign out?</h1><div class="card"><form method="post" action="/admin/sign-out"><button>Sign out</button></form></div>`,
  );
}
