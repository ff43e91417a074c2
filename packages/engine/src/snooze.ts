import { inTransaction, isUuid, type Pool } from '@nightshift/db';
import { InvalidInputError, MAX_SNOOZE_MS, RunStateError, UnknownRunError } from './errors.ts';
import { takeOut, untilExecutedSoon, whileExecuted } from './in-hand.ts';
import { storeErrors } from './store-errors.ts';

/** Until when a run is put off: an instant, or so many ms from now by the database's clock. */
export type SnoozeTime = { readonly until: Date } | { readonly forMs: number };

export type Snooze = (
  runId: string,
  time: SnoozeTime,
  actor: string,
  tenantId: string | null,
) => Promise<{ readonly dueAt: Date }>;

interface Row {
  readonly state: string;
  readonly tenant_id: string;
  readonly after_job: string | null;
  readonly until: Date;
  readonly past: boolean;
  readonly far: boolean;
}

/**
 * Puts a run off that nobody executes yet; no attempt is counted. A blocked one starts at neither its upstream's end nor its deadline before then.
 * Errors: `UnknownRunError`; `RunStateError` when it runs, has ended or waits for its shards; `InvalidInputError` for a time that has passed
 * or is over 30 days away.
 */
export function createSnooze(ops: Pool): Snooze {
  return (id, time, actor, tenantId) =>
    storeErrors(() =>
      inTransaction(ops, [], async (client) => {
        if (!isUuid(id)) throw new UnknownRunError(id);
        await untilExecutedSoon(client, [id]);
        const { rows } = await client.query<Row>(
          `WITH asked AS (SELECT coalesce($3::timestamptz, clock_timestamp() + make_interval(secs => $4::float8 / 1000)) AS until)
           SELECT state, tenant_id, after_job, asked.until, asked.until <= clock_timestamp() AS past,
             asked.until > clock_timestamp() + make_interval(secs => $5::float8 / 1000 + 1) AS far
           FROM ops.open_runs, asked WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) FOR UPDATE OF open_runs`,
          [id, tenantId, 'until' in time ? time.until : null, 'forMs' in time ? time.forMs : null, MAX_SNOOZE_MS],
        );
        const [row] = rows;
        if (row === undefined) {
          const ended = await client.query<{ outcome: string }>(
            'SELECT outcome FROM ops.runs WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2)',
            [id, tenantId],
          );
          if (ended.rows[0] === undefined) throw new UnknownRunError(id);
          throw new RunStateError(id, ended.rows[0].outcome, 'it has ended and can no longer be put off.');
        }
        if (row.state === 'running') throw new RunStateError(id, 'running', 'it can only be cancelled now.');
        if (row.state === 'blocked' && row.after_job === null)
          throw new RunStateError(id, 'blocked', 'its shards do its work already.');
        // So many ms from now are in the future, also when they have passed by the time of this look.
        const past = 'until' in time ? row.past : time.forMs <= 0;
        if (past || row.far) throw wrongTime(time, past);
        await client.query(
          row.state === 'blocked'
            ? 'UPDATE ops.open_runs SET snoozed_until = $2 WHERE id = $1'
            : `UPDATE ops.open_runs SET state = 'scheduled', due_at = $2 WHERE id = $1`,
          [id, row.until],
        );
        // Else its dispatch would execute it whenever its time has come, beside whoever came to be counted in its place.
        await takeOut(client, id);
        await client.query(
          `INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details) VALUES ($1, $2, 'run.snoozed', $3, $4)`,
          [row.tenant_id, actor, id, JSON.stringify({ until: row.until })],
        );
        return { dueAt: row.until };
      }),
    ).catch(whileExecuted(id));
}

function wrongTime(time: SnoozeTime, past: boolean): InvalidInputError {
  const pointer = 'until' in time ? '/until' : '/forMs';
  const detail = past ? 'must be in the future' : 'must be within 30 days';
  return new InvalidInputError('The run cannot be put off so', [{ pointer, code: past ? 'past' : 'too-far', detail }]);
}
