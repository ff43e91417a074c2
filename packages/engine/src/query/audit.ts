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

const AUDIT = `SELECT seq, at, at::text AS "exactAt", tenant_id AS "tenantId", actor, action, run_id AS "runId", details FROM`;
const ALL = 'ops.audit_log';

/**
 * The audit rows of one run. The index by run leaves out the two that every run has; they bear the times of its record (`accepted_at`, `ended_at`;
 * before migration 0014 some milliseconds more), and are found by its tenant's. Of a run whose record was dropped all are searched.
 */
async function ofRun(pools: Pools, tenantId: string | null, id: string, conditions: Conditions): Promise<string> {
  const [run] = await read<{ tenantId: string; acceptedAt: string; endedAt: string | null }>(
    pools,
    tenantId,
    `SELECT tenant_id AS "tenantId", accepted_at::text AS "acceptedAt", ended_at::text AS "endedAt" FROM ops.run_view WHERE id = $1`,
    [id],
  );
  if (run === undefined) {
    conditions.add('run_id = ?', id);
    return ALL;
  }
  const [run_id, tenant, accepted, ended] = conditions.bind(id, run.tenantId, run.acceptedAt, run.endedAt);
  const common = (
    action: string,
    at: string,
  ) => `SELECT * FROM ops.audit_log WHERE run_id = ${run_id} AND action = '${action}'
    AND tenant_id = ${tenant} AND at BETWEEN ${at}::timestamptz AND ${at}::timestamptz + interval '1 second'`;
  return `(SELECT * FROM ops.audit_log WHERE run_id = ${run_id} AND action NOT IN ('run.accepted', 'run.ended')
    UNION ALL ${common('run.accepted', accepted)} UNION ALL ${common('run.ended', ended)}) a`;
}

/** What was done to a run, oldest first. Errors: `UnknownRunError`, `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listRunAudit(
  pools: Pools,
  id: string,
  tenantId: string | null,
  page: PageRequest,
): Promise<Page<AuditView>> {
  await findRun(pools, id, tenantId);
  const conditions = new Conditions();
  const from = await ofRun(pools, tenantId, id, conditions);
  if (page.cursor !== undefined) {
    conditions.add(
      '(at, seq) > (?::timestamptz, ?::bigint)',
      ...decodeCursor(page.cursor, [INSTANT_PART, NUMBER_PART]),
    );
  }
  return await auditPage(pools, tenantId, from, conditions, 'ASC', page.limit);
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
  const from = filter.runId === undefined ? ALL : await ofRun(pools, filter.tenantId, filter.runId, conditions);
  if (filter.tenantId !== null) conditions.add('tenant_id = ?', filter.tenantId);
  if (filter.actor !== undefined) conditions.add('actor = ?', filter.actor);
  if (filter.action !== undefined) conditions.add('action = ?', filter.action);
  if (filter.since !== undefined) conditions.add('at >= ?', filter.since);
  if (filter.until !== undefined) conditions.add('at < ?', filter.until);
  if (filter.cursor !== undefined) {
    conditions.add(
      '(at, seq) < (?::timestamptz, ?::bigint)',
      ...decodeCursor(filter.cursor, [INSTANT_PART, NUMBER_PART]),
    );
  }
  return await auditPage(pools, filter.tenantId, from, conditions, 'DESC', filter.limit);
}

async function auditPage(
  pools: Pools,
  tenantId: string | null,
  from: string,
  conditions: Conditions,
  order: 'ASC' | 'DESC',
  limit: number,
): Promise<Page<AuditView>> {
  const text = `${AUDIT} ${from} ${conditions.where} ORDER BY at ${order}, seq ${order} LIMIT ${Math.trunc(limit) + 1}`;
  const rows = await read<AuditRow>(pools, tenantId, text, conditions.values);
  const view = ({ exactAt: _, ...event }: AuditRow): AuditView => event;
  return toPage(rows, limit, view, (row) => [row.exactAt, String(row.seq)]);
}
