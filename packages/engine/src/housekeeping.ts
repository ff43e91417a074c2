import type { Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import { createLoop, type Loop } from './loop.ts';
import { deleteExpired } from './notifications/outbox.ts';

const EVERY_MS = 10 * 60_000;
/** Ticks, outcomes and counts are kept this long (SPEC 7), days. */
const HISTORY_DAYS = 400;

/** Partitions ahead, whole partitions dropped, what has expired deleted. Safe in every worker. */
export function createHousekeeping(deps: { ops: Pool; log: Logger; retentionDays: number }): Loop {
  return createLoop('housekeeping', deps.log, async () => {
    await deps.ops.query('SELECT ops.ensure_partitions()');
    const { rows } = await deps.ops.query<{ dropped: number }>(
      'SELECT ops.drop_expired_partitions($1, $2) AS dropped',
      [deps.retentionDays, HISTORY_DAYS],
    );
    if (rows[0]?.dropped) deps.log.info({ dropped: rows[0].dropped }, 'partitions past their retention dropped');
    await deleteExpired(deps.ops, HISTORY_DAYS);
    await deps.ops.query('DELETE FROM ops.idempotency_keys WHERE expires_at < clock_timestamp()');
    await deps.ops.query(`DELETE FROM ops.workers WHERE heartbeat_at < clock_timestamp() - interval '1 day'`);
    await deps.ops.query(
      `DELETE FROM ops.alerts WHERE state = 'resolved' AND resolved_at < clock_timestamp() - make_interval(days => $1)`,
      [HISTORY_DAYS],
    );
    return EVERY_MS;
  });
}
