import { isUuid } from '@nightshift/db';
import { UnknownScheduleError } from '../errors.ts';
import { type Priority, priorityName } from '../priority.ts';
import { decodeCursor, INSTANT_PART, TEXT_PART, toPage, UUID_PART } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read } from './read.ts';

export interface TickView {
  readonly dueAt: Date;
  readonly state: 'fired' | 'skipped' | 'missed';
  readonly reason: string | null;
  readonly scheduleVersion: number;
  readonly latenessMs: number;
  readonly triggerId: string | null;
  readonly recordedAt: Date;
}

export interface ScheduleView {
  readonly id: string;
  readonly job: string;
  readonly cron: string;
  readonly zone: string;
  /** Set where the schedule follows its tenants' zone: it serves the tenants of that zone alone. */
  readonly tenantZone: string | null;
  readonly tenantSelector: unknown;
  /** Id of the tenant whose own schedule it is; null: a general one. */
  readonly ownerTenant: string | null;
  readonly dst: 'skip' | 'once' | 'twice';
  readonly misfire: {
    readonly policy: 'skip' | 'latest' | 'all';
    readonly withinMs: number | null;
    readonly sameDay: boolean;
  };
  readonly overlap: 'skip' | 'queue';
  readonly priority: Priority | null;
  readonly options: Readonly<Record<string, unknown>>;
  readonly enabled: boolean;
  readonly paused: { readonly by: string; readonly at: Date } | null;
  readonly version: number;
  /** A person changed it: deploys leave it alone. */
  readonly edited: boolean;
  readonly nextDueAt: Date | null;
  readonly lastDueAt: Date | null;
  readonly updatedAt: Date;
  readonly lastTick: Pick<TickView, 'dueAt' | 'state' | 'reason'> | null;
}

interface ScheduleRow extends Omit<ScheduleView, 'misfire' | 'paused' | 'lastTick' | 'priority'> {
  readonly misfirePolicy: 'skip' | 'latest' | 'all';
  readonly misfireWithinMs: number | null;
  readonly misfireSameDay: boolean;
  readonly priority: number | null;
  readonly pausedBy: string | null;
  readonly pausedAt: Date | null;
  readonly tickDueAt: Date | null;
  readonly tickState: TickView['state'] | null;
  readonly tickReason: string | null;
}

const SCHEDULES = `SELECT s.id, s.job, s.cron, s.zone, s.tenant_zone AS "tenantZone", s.tenant_selector AS "tenantSelector",
    s.owner_tenant AS "ownerTenant", s.dst,
    s.misfire AS "misfirePolicy", s.misfire_within_ms AS "misfireWithinMs", s.misfire_same_day AS "misfireSameDay",
    s.overlap, s.priority, s.options, s.enabled, s.paused_by AS "pausedBy", s.paused_at AS "pausedAt", s.version, s.edited,
    s.next_due_at AS "nextDueAt", s.last_due_at AS "lastDueAt", s.updated_at AS "updatedAt",
    k.due_at AS "tickDueAt", k.state AS "tickState", k.reason AS "tickReason"
  FROM ops.schedules s
  LEFT JOIN LATERAL (SELECT due_at, state, reason FROM ops.ticks WHERE schedule_id = s.id ORDER BY due_at DESC LIMIT 1) k ON true`;

function toSchedule(row: ScheduleRow): ScheduleView {
  const { misfirePolicy, misfireWithinMs, misfireSameDay, pausedBy, pausedAt, tickDueAt, tickState, tickReason } = row;
  const { priority, misfirePolicy: _p, misfireWithinMs: _w, misfireSameDay: _s, ...rest } = row;
  const { pausedBy: _b, pausedAt: _a, tickDueAt: _d, tickState: _t, tickReason: _r, ...own } = rest;
  return {
    ...own,
    priority: priority === null ? null : priorityName(priority),
    misfire: { policy: misfirePolicy, withinMs: misfireWithinMs, sameDay: misfireSameDay },
    paused: pausedBy === null || pausedAt === null ? null : { by: pausedBy, at: pausedAt },
    lastTick:
      tickDueAt === null || tickState === null ? null : { dueAt: tickDueAt, state: tickState, reason: tickReason },
  };
}

export interface ScheduleFilter {
  readonly job?: string | undefined;
  /** Names of jobs; others' schedules are left out. */
  readonly jobs?: readonly string[] | undefined;
  /** Own schedules of other tenants are left out. */
  readonly tenantId?: string | null | undefined;
}

const ORDER = [`s.job`, `coalesce(s.owner_tenant::text, '')`, `coalesce(s.tenant_zone, '')`, 's.id::text'];

/** By job name, the general ones first. Errors: `StoreUnavailableError`. */
export async function listSchedules(pools: Pools, filter: ScheduleFilter = {}): Promise<ScheduleView[]> {
  const { where, values } = conditionsOf(filter);
  const rows = await read<ScheduleRow>(pools, null, `${SCHEDULES} ${where} ORDER BY ${ORDER.join(', ')}`, values);
  return rows.map(toSchedule);
}

/** One page of the same. Errors: `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function pageSchedules(pools: Pools, filter: ScheduleFilter & PageRequest): Promise<Page<ScheduleView>> {
  const conditions = conditionsOf(filter);
  if (filter.cursor !== undefined) {
    const key = decodeCursor(filter.cursor, [TEXT_PART, TEXT_PART, TEXT_PART, UUID_PART]);
    conditions.add(`(${ORDER.join(', ')}) > (?, ?, ?, ?)`, ...key);
  }
  const text = `${SCHEDULES} ${conditions.where} ORDER BY ${ORDER.join(', ')} LIMIT ${Math.trunc(filter.limit) + 1}`;
  const rows = await read<ScheduleRow>(pools, null, text, conditions.values);
  return toPage(rows, filter.limit, toSchedule, (row) => [
    row.job,
    row.ownerTenant ?? '',
    row.tenantZone ?? '',
    row.id,
  ]);
}

function conditionsOf(filter: ScheduleFilter): Conditions {
  const conditions = new Conditions();
  if (filter.job !== undefined) conditions.add('s.job = ?', filter.job);
  if (filter.jobs !== undefined) conditions.add('s.job = ANY (?)', filter.jobs);
  if (filter.tenantId) conditions.add('(s.owner_tenant IS NULL OR s.owner_tenant = ?)', filter.tenantId);
  return conditions;
}

/** Errors: `UnknownScheduleError`, `StoreUnavailableError`. */
export async function findSchedule(pools: Pools, id: string): Promise<ScheduleView> {
  const [row] = isUuid(id) ? await read<ScheduleRow>(pools, null, `${SCHEDULES} WHERE s.id = $1`, [id]) : [];
  if (row === undefined) throw new UnknownScheduleError(id);
  return toSchedule(row);
}

/** Newest first. Errors: `UnknownScheduleError`, `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listTicks(pools: Pools, scheduleId: string, page: PageRequest): Promise<Page<TickView>> {
  await findSchedule(pools, scheduleId);
  const conditions = new Conditions().add('schedule_id = ?', scheduleId);
  if (page.cursor !== undefined) {
    conditions.add('due_at < ?::timestamptz', ...decodeCursor(page.cursor, [INSTANT_PART]));
  }
  const text = `SELECT due_at AS "dueAt", due_at::text AS "exactDueAt", state, reason, schedule_version AS "scheduleVersion",
      lateness_ms AS "latenessMs", trigger_id AS "triggerId", recorded_at AS "recordedAt"
    FROM ops.ticks ${conditions.where} ORDER BY due_at DESC LIMIT ${Math.trunc(page.limit) + 1}`;
  const rows = await read<TickView & { exactDueAt: string }>(pools, null, text, conditions.values);
  const view = ({ exactDueAt: _, ...tick }: TickView & { exactDueAt: string }): TickView => tick;
  return toPage(rows, page.limit, view, (row) => [row.exactDueAt]);
}
