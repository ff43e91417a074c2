import { errorClass } from '@nightshift/engine';
import type { Alerts } from '@nightshift/engine/accept';
import type { Request, Response } from 'express';
import type { Logger } from 'pino';
import type { ProblemError } from './problem.ts';
import { requestIdOf } from './request-id.ts';
import { patternOf } from './request-log.ts';

/** Told of a request that was answered 500. Never throws, and holds up no answer. */
export type TellFailure = (req: Request, res: Response, problem: ProblemError) => void;

/** A failure here has an alert a route; while one is written, further failures of the route are counted and written together. */
export function createTellFailure(alerts: Pick<Alerts, 'raise'>, log: Logger): TellFailure {
  /** Route → failures since the write under way began. */
  const writing = new Map<string, number>();

  async function write(route: string, cause: unknown, requestId: string): Promise<void> {
    for (let sightings = 1; sightings > 0; sightings = writing.get(route) ?? 0) {
      writing.set(route, 0);
      await alerts.raise({
        key: `http-500:${route}`,
        severity: 'CRITICAL',
        message: `${route} answered 500 (${errorClass(cause)}); request ${requestId} is in the log.`,
        sightings,
      });
    }
  }

  return (req, res, problem) => {
    const route = `${req.method} ${patternOf(req)}`;
    const others = writing.get(route);
    if (others !== undefined) {
      writing.set(route, others + 1);
      return;
    }
    write(route, problem.cause, requestIdOf(res))
      .catch((error) => log.warn({ route, reason: errorClass(error) }, 'A failure could not be told as an alert'))
      .finally(() => writing.delete(route));
  };
}
