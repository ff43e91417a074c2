import { isUuid } from '@nightshift/db';
import type { AlertSeverity } from '../alerts/raise-alert.ts';
import { UnknownAlertError } from '../errors.ts';
import { decodeCursor, INSTANT_PART, toPage, UUID_PART } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read } from './read.ts';

export interface AlertView {
  readonly id: string;
  /** Names the condition; what stands before the first `:` is its kind. */
  readonly key: string;
  readonly severity: AlertSeverity;
  readonly state: 'open' | 'acknowledged' | 'resolved';
  readonly tenantId: string | null;
  readonly job: string | null;
  readonly runId: string | null;
  readonly message: string;
  /** Times it was seen since it was opened. */
  readonly count: number;
  readonly openedAt: Date;
  readonly lastSeenAt: Date;
  readonly acknowledgedAt: Date | null;
  readonly acknowledgedBy: string | null;
  readonly resolvedAt: Date | null;
  /** `platform` when its condition went away by itself. */
  readonly resolvedBy: string | null;
}

const COLUMNS = `id, key, severity, state, tenant_id AS "tenantId", job, run_id AS "runId", message, count, opened_at AS "openedAt",
  last_seen_at AS "lastSeenAt", acknowledged_at AS "acknowledgedAt", acknowledged_by AS "acknowledgedBy", resolved_at AS "resolvedAt",
  resolved_by AS "resolvedBy"`;

export interface AlertFilter extends PageRequest {
  readonly tenantId: string | null;
  readonly state?: AlertView['state'] | undefined;
  readonly severity?: AlertSeverity | undefined;
  readonly job?: string | undefined;
}

/** Newest first. Errors: `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listAlerts(pools: Pools, filter: AlertFilter): Promise<Page<AlertView>> {
  const conditions = new Conditions();
  if (filter.state !== undefined) conditions.add('state = ?', filter.state);
  if (filter.severity !== undefined) conditions.add('severity = ?', filter.severity);
  if (filter.job !== undefined) conditions.add('job = ?', filter.job);
  if (filter.cursor !== undefined) {
    conditions.add(
      '(opened_at, id) < (?::timestamptz, ?::uuid)',
      ...decodeCursor(filter.cursor, [INSTANT_PART, UUID_PART]),
    );
  }
  const text = `SELECT ${COLUMNS}, opened_at::text AS "exactOpenedAt" FROM ops.alerts ${conditions.where}
    ORDER BY opened_at DESC, id DESC LIMIT ${Math.trunc(filter.limit) + 1}`;
  const rows = await read<AlertView & { exactOpenedAt: string }>(pools, filter.tenantId, text, conditions.values);
  const view = ({ exactOpenedAt: _, ...alert }: AlertView & { exactOpenedAt: string }): AlertView => alert;
  return toPage(rows, filter.limit, view, (row) => [row.exactOpenedAt, row.id]);
}

/** Errors: `UnknownAlertError`, also for another tenant's; `StoreUnavailableError`. */
export async function findAlert(pools: Pools, id: string, tenantId: string | null): Promise<AlertView> {
  const [alert] = isUuid(id)
    ? await read<AlertView>(pools, tenantId, `SELECT ${COLUMNS} FROM ops.alerts WHERE id = $1`, [id])
    : [];
  if (alert === undefined) throw new UnknownAlertError(id);
  return alert;
}
