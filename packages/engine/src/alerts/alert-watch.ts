import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import type { Logger } from 'pino';
import { createLoop, type Loop } from '../loop.ts';
import { raiseFailing, resolveGone } from './conditions.ts';

const EVERY_MS = 10_000;
/** How far back the first look goes, ms: nobody looked while no worker was up, and runs end there too (cancelled, recovered). */
const FIRST_LOOK_MS = 60 * 60_000;
/** Two looks overlap by so much: a run's end is dated before it is committed, ms. */
const OVERLAP_MS = 60_000;
/** Any number; one look at a time in the whole installation. */
const LOOK_LOCK = 7_313_001;

/** Writes mail about alerts into the outbox, in the transaction in hand. */
export type TellAlerts = (client: PoolClient) => Promise<void>;

/**
 * Looks at what ended since the last look: opens alerts, resolves those whose conditions are gone, has both told. Every worker runs it,
 * one of them at a time looks.
 */
export function createAlertWatch(deps: { ops: Pool; log: Logger; tell: TellAlerts | null }): Loop {
  let lookedAt: Date | null = null;
  return createLoop('alerts', deps.log, async () => {
    lookedAt = (await lookAtAlerts(deps, lookedAt)) ?? lookedAt;
    return EVERY_MS;
  });
}

/** One look. Resolves to when it looked, by the database's clock; null when another process is looking. */
export async function lookAtAlerts(
  { ops, log, tell }: { ops: Pool; log: Logger; tell: TellAlerts | null },
  lookedAt: Date | null,
): Promise<Date | null> {
  return inTransaction(ops, [], async (client) => {
    const { rows } = await client.query<{ mine: boolean; now: Date }>(
      'SELECT pg_try_advisory_xact_lock($1) AS mine, clock_timestamp() AS now',
      [LOOK_LOCK],
    );
    const [row] = rows;
    if (row === undefined || !row.mine) return null;
    const since = lookedAt === null ? row.now.getTime() - FIRST_LOOK_MS : lookedAt.getTime() - OVERLAP_MS;
    await raiseFailing(client, new Date(since));
    const resolved = await resolveGone(client);
    if (resolved > 0) log.info({ resolved }, 'alerts resolved: their conditions are gone');
    await tell?.(client);
    return row.now;
  });
}
