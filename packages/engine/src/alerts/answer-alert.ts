import { inTransaction, isUuid, type Pool, type PoolClient } from '@nightshift/db';
import { AlertStateError, UnknownAlertError } from '../errors.ts';
import { storeErrors } from '../store-errors.ts';
import { type AlertCondition, raiseAlert } from './raise-alert.ts';

/** What people, and the API itself, do with alerts. `tenantId`: that tenant's alerts alone; null: everybody's. */
export interface Alerts {
  raise(alert: AlertCondition): Promise<void>;
  /** Somebody looks after it: it stays, and is counted on. Acknowledged already: the first stands. Errors: `UnknownAlertError`, `AlertStateError`. */
  acknowledge(id: string, actor: string, tenantId: string | null): Promise<void>;
  /** It is over. Resolved already: nothing changes. Seen again, it is a new alert. Errors: `UnknownAlertError`. */
  resolve(id: string, actor: string, tenantId: string | null): Promise<void>;
}

type State = 'open' | 'acknowledged' | 'resolved';

export function createAlerts({ ops }: { ops: Pool }): Alerts {
  /** Locks the alert, and moves it on unless `keep` says that it stays as it is. */
  const answer = (
    id: string,
    { actor, tenantId, done }: { actor: string; tenantId: string | null; done: 'acknowledged' | 'resolved' },
    keep: (state: State) => boolean,
  ) =>
    storeErrors(() =>
      inTransaction(ops, [], async (client) => {
        const alert = await lockAlert(client, id, tenantId);
        if (keep(alert.state)) return;
        const column = done === 'acknowledged' ? 'acknowledged' : 'resolved';
        await client.query(
          `UPDATE ops.alerts SET state = $2, ${column}_at = clock_timestamp(), ${column}_by = $3 WHERE id = $1`,
          [id, done, actor],
        );
        await client.query(
          'INSERT INTO ops.audit_log (tenant_id, actor, action, run_id, details) VALUES ($1, $2, $3, $4, $5)',
          [alert.tenantId, actor, `alert.${done}`, alert.runId, JSON.stringify({ alert: id, key: alert.key })],
        );
      }),
    );
  return {
    raise: (alert) => storeErrors(() => raiseAlert(ops, alert)),
    acknowledge: (id, actor, tenantId) =>
      answer(id, { actor, tenantId, done: 'acknowledged' }, (state) => {
        if (state === 'resolved') throw new AlertStateError(id, 'it is resolved, so there is nothing to look after.');
        return state === 'acknowledged';
      }),
    resolve: (id, actor, tenantId) =>
      answer(id, { actor, tenantId, done: 'resolved' }, (state) => state === 'resolved'),
  };
}

interface LockedAlert {
  readonly key: string;
  readonly state: State;
  readonly tenantId: string | null;
  readonly runId: string | null;
}

async function lockAlert(client: PoolClient, id: string, tenantId: string | null): Promise<LockedAlert> {
  const { rows } = isUuid(id)
    ? await client.query<LockedAlert>(
        `SELECT key, state, tenant_id AS "tenantId", run_id AS "runId" FROM ops.alerts
         WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) FOR UPDATE`,
        [id, tenantId],
      )
    : { rows: [] };
  const [alert] = rows;
  if (alert === undefined) throw new UnknownAlertError(id);
  return alert;
}
