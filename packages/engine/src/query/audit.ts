import { decodeCursor, INSTANT_PART, NUMBER_PART, toPage } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read } from './read.ts';
import { findRun } from './runs.ts';

export interface AuditView {
  readonly seq: number;
  readonly at: Date;
  readonly tenantId: string | null;
  readonly actor: string;
  readonly action: string;
  readonly runId: string | null;
  readonly details: unknown;
}

interface AuditRow extends AuditView {
  /** `at` with the microseconds that a Date loses. */
  readonly exactAt: string;
}

const AUDIT = `SELECT seq, at, at::text AS "exactAt", tenant_id AS "tenantId", actor, action, run_id AS "runId", details FROM ops.audit_log`;

/** What was done to a run, oldest first. Errors: `UnknownRunError`, `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listRunAudit(
  pools: Pools,
  id: string,
  tenantId: string | null,
  page: PageRequest,
): Promise<Page<AuditView>> {
  await findRun(pools, id, tenantId);
  const conditions = new Conditions().add('run_id = ?', id);
  if (page.cursor !== undefined) {
    conditions.add(
      '(at, seq) > (?::timestamptz, ?::bigint)',
      ...decodeCursor(page.cursor, [INSTANT_PART, NUMBER_PART]),
    );
  }
  return await auditPage(pools, tenantId, conditions, 'ASC', page.limit);
}

export interface AuditFilter extends PageRequest {
  /** null: events of all tenants and of the platform. */
  readonly tenantId: string | null;
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly runId?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

/** Newest first. Errors: `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listAudit(pools: Pools, filter: AuditFilter): Promise<Page<AuditView>> {
  const conditions = new Conditions();
  if (filter.tenantId !== null) conditions.add('tenant_id = ?', filter.tenantId);
  if (filter.actor !== undefined) conditions.add('actor = ?', filter.actor);
  if (filter.action !== undefined) conditions.add('action = ?', filter.action);
  if (filter.runId !== undefined) conditions.add('run_id = ?', filter.runId);
  if (filter.since !== undefined) conditions.add('at >= ?', filter.since);
  if (filter.until !== undefined) conditions.add('at < ?', filter.until);
  if (filter.cursor !== undefined) {
    conditions.add(
      '(at, seq) < (?::timestamptz, ?::bigint)',
      ...decodeCursor(filter.cursor, [INSTANT_PART, NUMBER_PART]),
    );
  }
  return await auditPage(pools, filter.tenantId, conditions, 'DESC', filter.limit);
}

async function auditPage(
  pools: Pools,
  tenantId: string | null,
  conditions: Conditions,
  order: 'ASC' | 'DESC',
  limit: number,
): Promise<Page<AuditView>> {
  const text = `${AUDIT} ${conditions.where} ORDER BY at ${order}, seq ${order} LIMIT ${Math.trunc(limit) + 1}`;
  const rows = await read<AuditRow>(pools, tenantId, text, conditions.values);
  const view = ({ exactAt: _, ...event }: AuditRow): AuditView => event;
  return toPage(rows, limit, view, (row) => [row.exactAt, String(row.seq)]);
}
