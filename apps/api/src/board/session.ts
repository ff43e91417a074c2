import { hkdfSync } from 'node:crypto';
import type { Request, Response } from 'express';
import { jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { type Principal, ROLES } from '../http/principal.ts';

/** A session ends after this, h. */
export const SESSION_HOURS = 8;
const AUDIENCE = 'nightshift-board';

const sessionClaims = z.object({ sub: z.string().min(1), roles: z.array(z.enum(ROLES)).min(1) });

export interface Sessions {
  open(res: Response, principal: Principal): Promise<void>;
  close(res: Response): void;
  /** Who is signed in, or null. */
  read(req: Request): Promise<Principal | null>;
}

/** Sessions in a signed cookie, so that every API process of a fleet understands them. `secure`: the site is https. */
export function createSessions(secret: string, secure: boolean): Sessions {
  // Derived, so that neither a session passes as an API token nor a token as a session.
  const key = new Uint8Array(hkdfSync('sha256', secret, 'nightshift', 'board session', 32));
  const name = secure ? '__Host-ns_session' : 'ns_session';
  const attributes = { httpOnly: true, sameSite: 'strict', secure, path: '/' } as const;
  return {
    async open(res, { sub, roles }) {
      const token = await new SignJWT({ roles: [...roles] })
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(sub)
        .setAudience(AUDIENCE)
        .setIssuedAt()
        .setExpirationTime(`${SESSION_HOURS}h`)
        .sign(key);
      res.cookie(name, token, { ...attributes, maxAge: SESSION_HOURS * 3_600_000 });
    },
    close(res) {
      res.clearCookie(name, attributes);
    },
    async read(req) {
      const token = cookieOf(req, name);
      if (token === null) return null;
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: ['HS256'],
          audience: AUDIENCE,
          requiredClaims: ['exp', 'sub'],
        });
        const { sub, roles } = sessionClaims.parse(payload);
        return { sub, roles, tenantId: null };
      } catch {
        return null;
      }
    },
  };
}

function cookieOf(req: Request, name: string): string | null {
  for (const part of (req.headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name && value !== undefined && value !== '') return value;
  }
  return null;
}
