import { isUuid } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import { maskedInput } from '../crypto/sealed-input.ts';
import { maskedResult, openResult } from '../crypto/sealed-result.ts';
import { UnknownRunError } from '../errors.ts';
import { inputOf, payloadOf, resultOf } from '../payload-of.ts';
import { type Priority, priorityName } from '../priority.ts';
import { isEnded, OPEN_STATES, RUN_OUTCOMES, type RunStatus } from '../run-status.ts';
import { decodeCursor, toPage, UUID_PART } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read, withinDeadline } from './read.ts';

/** A run as it stands. Times by the database's clock. */
export interface RunView {
  readonly id: string;
  readonly tenantId: string;
  /** Slug; null when the tenant is gone. */
  readonly tenant: string | null;
  readonly job: string;
  readonly status: RunStatus;
  readonly priority: Priority;
  readonly attempts: number;
  readonly crashes: number;
  readonly dueAt: Date;
  readonly acceptedAt: Date;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  readonly durationMs: number | null;
  readonly expected: number | null;
  readonly processed: number;
  readonly changed: number;
  readonly failedItems: number;
  readonly errorClass: string | null;
  readonly errorMessage: string | null;
  readonly worker: string | null;
  /** Runs that shared one call with this one, itself included. */
  readonly bundleSize: number | null;
  readonly triggerId: string | null;
  readonly parentId: string | null;
  readonly retryOf: string | null;
  readonly replayOf: string | null;
  readonly staleInputs: boolean;
  /** `YYYY-MM-DD` in the schedule's zone; null for runs that no tick made. */
  readonly tickDate: string | null;
  readonly actor: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** One run, with what it was given and what it answered (null while it is open and after its payload's retention). */
export interface RunDetail extends RunView {
  /** Personal fields say `<personal>`. */
  readonly input: unknown;
  /** `<personal>` where the job calls it personal and the reader was given no key. */
  readonly result: unknown;
  readonly cancelRequestedAt: Date | null;
  /** Job whose run it waits for while blocked. */
  readonly afterJob: string | null;
  readonly blockedUntil: Date | null;
}

const COLUMNS = `v.id, v.tenant_id AS "tenantId", t.slug AS tenant, v.job, v.status, v.priority, v.attempts, v.crashes,
  v.due_at AS "dueAt", v.accepted_at AS "acceptedAt", v.started_at AS "startedAt", v.ended_at AS "endedAt",
  v.duration_ms AS "durationMs", v.expected, v.processed, v.changed, v.failed_items AS "failedItems",
  v.error_class AS "errorClass", v.error_message AS "errorMessage", v.worker, v.bundle_size AS "bundleSize",
  v.trigger_id AS "triggerId", v.parent_id AS "parentId", v.retry_of AS "retryOf", v.replay_of AS "replayOf",
  v.stale_inputs AS "staleInputs", v.tick_date::text AS "tickDate", v.actor, v.options`;

const DETAIL = `SELECT ${COLUMNS}, coalesce(o.input, ${inputOf('v')}) AS input, ${resultOf('v')} AS result,
    o.cancel_requested_at AS "cancelRequestedAt", o.after_job AS "afterJob", o.blocked_until AS "blockedUntil"
  FROM ops.run_view v
  LEFT JOIN ops.tenants t ON t.id = v.tenant_id
  LEFT JOIN ops.open_runs o ON o.id = v.id
  LEFT JOIN ${payloadOf('v')}
  WHERE v.id = ANY ($1::uuid[]) ORDER BY v.id`;

type Row<View extends RunView> = Omit<View, 'priority'> & { readonly priority: number };

function toView<View extends RunView>(row: Row<View>): View {
  return { ...row, priority: priorityName(row.priority) } as unknown as View;
}

/** With `crypto` a personal result is opened. Errors: `UnknownRunError`, also for a run of another tenant; `StoreUnavailableError`. */
export async function findRun(
  pools: Pools,
  id: string,
  tenantId: string | null,
  crypto?: FieldCrypto,
): Promise<RunDetail> {
  const [row] = isUuid(id) ? await readDetails(pools, [id], tenantId) : [];
  if (row === undefined) throw new UnknownRunError(id);
  const run = toDetail(row);
  return crypto === undefined ? run : { ...run, result: await withinDeadline(openResult(crypto, run, row.result)) };
}

/** Those of these runs that exist and that the tenant may see, by id. */
export async function findRuns(pools: Pools, ids: readonly string[], tenantId: string | null): Promise<RunDetail[]> {
  return (await readDetails(pools, ids, tenantId)).map(toDetail);
}

function readDetails(pools: Pools, ids: readonly string[], tenantId: string | null): Promise<Row<RunDetail>[]> {
  return read<Row<RunDetail>>(pools, tenantId, DETAIL, [ids]);
}

function toDetail(row: Row<RunDetail>): RunDetail {
  return { ...toView<RunDetail>(row), input: maskedInput(row.input), result: maskedResult(row.result) };
}

export interface RunFilter extends PageRequest {
  /** null: runs of all tenants. */
  readonly tenantId: string | null;
  /** Id or slug. Narrows the platform's view to the tenants of that name; slugs are unique within a system. */
  readonly ofTenant?: string | undefined;
  readonly job?: string | undefined;
  readonly status?: RunStatus | undefined;
  readonly triggerId?: string | undefined;
  /** Accepted at or after. */
  readonly since?: Date | undefined;
  /** Accepted before. */
  readonly until?: Date | undefined;
}

/** Newest first. Errors: `InvalidInputError` for a wrong cursor, `StoreUnavailableError`. */
export async function listRuns(pools: Pools, filter: RunFilter): Promise<Page<RunView>> {
  const conditions = new Conditions();
  // Row-level security says the same; the condition lets the planner use the tenant's index.
  if (filter.tenantId !== null) conditions.add('tenant_id = ?', filter.tenantId);
  if (filter.ofTenant !== undefined) addTenant(conditions, filter.ofTenant);
  if (filter.job !== undefined) conditions.add('job = ?', filter.job);
  if (filter.triggerId !== undefined) conditions.add('trigger_id = ?', filter.triggerId);
  if (filter.status !== undefined) addStatus(conditions, filter.status);
  if (filter.since !== undefined) conditions.add('id >= ?', uuid7Floor(filter.since));
  if (filter.until !== undefined) conditions.add('id < ?', uuid7Floor(filter.until));
  if (filter.cursor !== undefined) conditions.add('id < ?', ...decodeCursor(filter.cursor, [UUID_PART]));
  const text = `SELECT ${COLUMNS}
    FROM (SELECT * FROM ops.run_view ${conditions.where} ORDER BY id DESC LIMIT ${Math.trunc(filter.limit) + 1}) v
    LEFT JOIN ops.tenants t ON t.id = v.tenant_id ORDER BY v.id DESC`;
  const rows = await read<Row<RunView>>(pools, filter.tenantId, text, conditions.values);
  return toPage(rows, filter.limit, toView<RunView>, (row) => [row.id]);
}

/**
 * With `ended_at` the planner drops the side of the view that cannot match. The status stands in the text: plans for the platform are made
 * without values, and would then not use the indexes of the few that are not queued or did not complete.
 */
function addStatus(conditions: Conditions, status: RunStatus): void {
  const known = [...OPEN_STATES, ...RUN_OUTCOMES].find((one) => one === status);
  if (known === undefined) throw new TypeError(`unknown run status '${status}'`);
  const unclean = isEnded(known) && known !== 'completed' ? ` AND status <> 'completed'` : '';
  conditions.add(`status = '${known}' AND ended_at IS ${isEnded(known) ? 'NOT NULL' : 'NULL'}${unclean}`);
}

function addTenant(conditions: Conditions, idOrSlug: string): void {
  if (isUuid(idOrSlug)) conditions.add('tenant_id = ?', idOrSlug);
  else conditions.add('tenant_id IN (SELECT t.id FROM ops.tenants t WHERE t.slug = ?)', idOrSlug);
}

/** First id that a run accepted at this time can have: ids are time-ordered, and runs are partitioned by them. */
export function uuid7Floor(at: Date): string {
  const hex = Math.max(0, at.getTime()).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-0000-0000-000000000000`;
}
