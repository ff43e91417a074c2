import { isUuid, type PoolClient } from '@nightshift/db';
import { InvalidInputError, UnknownScheduleError } from '../errors.ts';
import { type FireDeps, fireSchedules, SCHEDULE_COLUMNS, type ScheduleRow } from './fire.ts';

/** A row of `ops.schedules` that is locked, and the database's time. */
export type LockedSchedule = ScheduleRow & {
  readonly now: Date;
  readonly enabled: boolean;
};

/** Errors: `UnknownScheduleError`. */
export const lockSchedule = (client: PoolClient, id: string) => scheduleRow(client, id, 'FOR UPDATE');

/** The same, and nobody waits: the clock passes over a locked row. Errors: `UnknownScheduleError`. */
export const readSchedule = (client: PoolClient, id: string) => scheduleRow(client, id, '');

async function scheduleRow(client: PoolClient, id: string, lock: '' | 'FOR UPDATE'): Promise<LockedSchedule> {
  const { rows } = isUuid(id)
    ? await client.query<LockedSchedule>(
        `SELECT ${SCHEDULE_COLUMNS}, enabled, clock_timestamp() AS now FROM ops.schedules WHERE id = $1 ${lock}`,
        [id],
      )
    : { rows: [] };
  const [row] = rows;
  if (row === undefined) throw new UnknownScheduleError(id);
  return row;
}

/**
 * Fires everything that was due until `now` under the version in force: what was expected is never judged by a later edit. The row is
 * locked by the caller. Resolves to the queues that got runs. Errors: `UnknownJobError` when something is due of a job that this process
 * does not know.
 */
export async function stepUpTo(deps: FireDeps, client: PoolClient, row: ScheduleRow, now: Date): Promise<Set<string>> {
  const queues = new Set<string>();
  // A process of another build would move it past ticks that it cannot fire.
  if (row.next_due_at <= now) deps.catalogue.get(row.job);
  for (let due = row.next_due_at; due <= now; ) {
    for (const queue of await fireSchedules(deps, client, [{ ...row, next_due_at: due }], now)) queues.add(queue);
    const { rows } = await client.query<{ next_due_at: Date }>('SELECT next_due_at FROM ops.schedules WHERE id = $1', [
      row.id,
    ]);
    due = rows[0]?.next_due_at ?? new Date(now.getTime() + 1);
  }
  return queues;
}

/** The same, except that one that cannot be fired is left as far as it came: it must still be changed, replaced or ended. */
export async function stepIfItCan(
  deps: FireDeps,
  client: PoolClient,
  row: ScheduleRow,
  now: Date,
): Promise<Set<string>> {
  try {
    return await stepUpTo(deps, client, row, now);
  } catch (error) {
    // Thrown before anything of the pass was written.
    if (!(error instanceof InvalidInputError)) throw error;
    deps.log.warn({ job: row.job, schedule: row.id }, 'a schedule that cannot be fired is changed');
    return new Set();
  }
}

export async function audit(
  client: PoolClient,
  actor: string,
  action: string,
  details: object,
  tenantId: string | null,
): Promise<void> {
  await client.query(`INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, $3, $4)`, [
    tenantId,
    actor,
    action,
    JSON.stringify(details),
  ]);
}
