import { inTransaction, type Pool } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { Logger } from 'pino';
import { createLoop, type Loop } from '../loop.ts';
import { raiseFailing, resolveGone } from './conditions.ts';
import { type AlertMail, tellAlerts } from './tell-alerts.ts';

const EVERY_MS = 10_000;
/** How far back the first look goes, ms: nobody looked while no worker was up, and runs end there too (cancelled, recovered). */
const FIRST_LOOK_MS = 60 * 60_000;
/** Two looks overlap by so much: a run's end is dated before it is committed, ms. */
const OVERLAP_MS = 60_000;
/** Any number; one look at a time in the whole installation. */
const LOOK_LOCK = 7_313_001;

export interface AlertWatchDeps {
  readonly ops: Pool;
  readonly log: Logger;
  readonly crypto: Pick<FieldCrypto, 'encryptAll'>;
  /** Mail was written and may be sent. */
  readonly notified: () => void;
  /** Absent: nobody is told by mail. */
  readonly mail?: AlertMail | undefined;
}

/**
 * Looks at what ended since the last look: opens alerts, resolves those whose conditions are gone, and has both told. Every worker runs it,
 * one of them at a time looks.
 */
export function createAlertWatch(deps: AlertWatchDeps): Loop {
  const { mail } = deps;
  let lookedAt: Date | null = null;
  return createLoop('alerts', deps.log, async () => {
    lookedAt = (await lookAtAlerts(deps, lookedAt)) ?? lookedAt;
    // In a transaction of its own: that nobody can be told must not keep an alert from opening.
    if (mail !== undefined && mail.to.length > 0) {
      await inTransaction(deps.ops, [], (client) => tellAlerts(client, deps.crypto, mail));
      deps.notified();
    }
    return EVERY_MS;
  });
}

/** One look. Resolves to when it looked, by the database's clock; null when another process is looking. */
export async function lookAtAlerts(
  { ops, log }: Pick<AlertWatchDeps, 'ops' | 'log'>,
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
    return row.now;
  });
}
