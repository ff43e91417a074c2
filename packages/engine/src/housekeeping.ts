import { inTransaction, type Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import { createLoop, type Loop } from './loop.ts';
import { deleteExpired } from './notifications/outbox.ts';

const EVERY_MS = 10 * 60_000;
/** Ticks, outcomes and counts are kept this long (SPEC 7), days. */
const HISTORY_DAYS = 400;
/**
 * To make or drop a partition is to wait for whoever reads its table, a backup for all of its minutes, and behind that wait every accept and
 * dispatch stands in line. So it waits this long, ms, and asks again later: partitions are made four weeks ahead.
 */
const LOCKED_MS = 200;
const AFTER_LOCKED_MS = 60_000;
/** SQLSTATE. */
const LOCK_NOT_AVAILABLE = '55P03';

interface HousekeepingDeps {
  readonly ops: Pool;
  readonly log: Logger;
  readonly retentionDays: number;
}

/** Partitions ahead, whole partitions dropped, what has expired deleted. Safe in every worker. */
export function createHousekeeping(deps: HousekeepingDeps): Loop {
  return createLoop('housekeeping', deps.log, async () => {
    const tended = await tendPartitions(deps);
    await deleteExpired(deps.ops, HISTORY_DAYS);
    await deps.ops.query('DELETE FROM ops.idempotency_keys WHERE expires_at < clock_timestamp()');
    await deps.ops.query(`DELETE FROM ops.workers WHERE heartbeat_at < clock_timestamp() - interval '1 day'`);
    await deps.ops.query(
      `DELETE FROM ops.alerts WHERE state = 'resolved' AND resolved_at < clock_timestamp() - make_interval(days => $1)`,
      [HISTORY_DAYS],
    );
    return tended ? EVERY_MS : AFTER_LOCKED_MS;
  });
}

/** False: somebody holds a table that a partition would have to be made or dropped of. */
async function tendPartitions({ ops, log, retentionDays }: HousekeepingDeps): Promise<boolean> {
  const dropped = await inTransaction(ops, [], async (client) => {
    await client.query(`SET LOCAL lock_timeout = ${LOCKED_MS}`);
    await client.query('SELECT ops.ensure_partitions()');
    const { rows } = await client.query<{ dropped: number }>('SELECT ops.drop_expired_partitions($1, $2) AS dropped', [
      retentionDays,
      HISTORY_DAYS,
    ]);
    return rows[0]?.dropped ?? 0;
  }).catch((error: Error & { code?: string }) => {
    if (error.code === LOCK_NOT_AVAILABLE) return null;
    throw error;
  });
  if (dropped === null) log.info('partitions are left for later: their tables are being read for long');
  else if (dropped > 0) log.info({ dropped }, 'partitions past their retention dropped');
  return dropped !== null;
}
