import type { Request, RequestHandler } from 'express';
import { ProblemError } from '../http/problem.ts';

/**
 * Whether a browser sent this from a page of ours, or a person typed it. Callers that are no browser send neither header; they hold no
 * cookie that somebody else could make them send.
 */
export function isSameSite(req: Request, publicUrl: string | undefined): boolean {
  const site = req.headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin' || (site === 'none' && req.method === 'GET');
  const { origin } = req.headers;
  if (origin === undefined) return true;
  const hosts = [req.headers.host, publicUrl === undefined ? undefined : new URL(publicUrl).host];
  return URL.canParse(origin) && hosts.includes(new URL(origin).host);
}

/**
 * Refuses what another site's page asks for. A link from elsewhere may be followed (a navigation), since the cookie isn't sent with it
 * and it changes nothing.
 */
export function refuseCrossSite(publicUrl: string | undefined): RequestHandler {
  return (req, _res, next) => {
    const navigation = req.method === 'GET' && req.headers['sec-fetch-mode'] === 'navigate';
    if (navigation || isSameSite(req, publicUrl)) return next();
    throw new ProblemError(403, 'cross-site', 'Requests from other sites are refused here.');
  };
}
