import { CHANNELS, type ChannelName } from '../notifications/notify.ts';
import { PREFERENCE_COLUMNS, type PreferenceView } from '../notifications/preferences.ts';
import { type Priority, priorityName } from '../priority.ts';
import { decodeCursor, TEXT_PART, toPage, UUID_PART } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read } from './read.ts';

export const NOTIFICATION_STATES = [
  'waiting', 'sending', 'sent', 'failed', 'unknown', 'expired', 'suppressed',
] as const; // biome-ignore format: a list of words
export type NotificationState = (typeof NOTIFICATION_STATES)[number];
export const NOTIFICATION_CHANNELS = CHANNELS;

/** A notification without its recipient and content: nobody is shown those. */
export interface NotificationView {
  readonly id: string;
  readonly tenantId: string;
  /** Slug; null when the tenant is gone. */
  readonly tenant: string | null;
  /** Null for what the platform itself sends. */
  readonly runId: string | null;
  readonly job: string | null;
  readonly dedupeKey: string;
  readonly channel: ChannelName;
  readonly template: string;
  readonly priority: Priority;
  readonly state: NotificationState;
  readonly attempts: number;
  readonly createdAt: Date;
  /** When it may be sent first, or next. */
  readonly dueAt: Date;
  readonly sentAt: Date | null;
  readonly endedAt: Date | null;
  readonly providerId: string | null;
  /** What the other side answered, or why it was not sent. */
  readonly outcome: string | null;
  readonly errorClass: string | null;
}

const COLUMNS = `n.id, n.tenant_id AS "tenantId", t.slug AS tenant, n.run_id AS "runId", n.job, n.dedupe_key AS "dedupeKey", n.channel, n.template,
  n.priority, n.state, n.attempts, n.created_at AS "createdAt", n.due_at AS "dueAt", n.sent_at AS "sentAt", n.ended_at AS "endedAt",
  n.provider_id AS "providerId", n.outcome, n.error_class AS "errorClass"`;

export interface NotificationFilter extends PageRequest {
  /** null: all tenants'. */
  readonly tenantId: string | null;
  /** Id or slug. */
  readonly ofTenant?: string | undefined;
  readonly job?: string | undefined;
  readonly runId?: string | undefined;
  readonly channel?: ChannelName | undefined;
  readonly state?: NotificationState | undefined;
}

/** Newest first. Errors: `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listNotifications(pools: Pools, filter: NotificationFilter): Promise<Page<NotificationView>> {
  const conditions = new Conditions();
  if (filter.tenantId !== null) conditions.add('n.tenant_id = ?', filter.tenantId);
  if (filter.ofTenant !== undefined) conditions.add('? IN (n.tenant_id::text, t.slug)', filter.ofTenant);
  if (filter.job !== undefined) conditions.add('n.job = ?', filter.job);
  if (filter.runId !== undefined) conditions.add('n.run_id = ?', filter.runId);
  if (filter.channel !== undefined) conditions.add('n.channel = ?', filter.channel);
  if (filter.state !== undefined) conditions.add('n.state = ?', filter.state);
  if (filter.cursor !== undefined) conditions.add('n.id < ?::uuid', ...decodeCursor(filter.cursor, [UUID_PART]));
  const text = `SELECT ${COLUMNS} FROM ops.notifications n LEFT JOIN ops.tenants t ON t.id = n.tenant_id ${conditions.where}
    ORDER BY n.id DESC LIMIT ${Math.trunc(filter.limit) + 1}`;
  const rows = await read<Omit<NotificationView, 'priority'> & { priority: number }>(
    pools,
    filter.tenantId,
    text,
    conditions.values,
  );
  const view = (row: (typeof rows)[number]): NotificationView => ({ ...row, priority: priorityName(row.priority) });
  return toPage(rows, filter.limit, view, (row) => [row.id]);
}

export interface PreferenceFilter extends PageRequest {
  /** null: all tenants'. */
  readonly tenantId: string | null;
  /** Id or slug. */
  readonly ofTenant?: string | undefined;
  readonly userKey?: string | undefined;
  readonly channel?: ChannelName | undefined;
}

/** By tenant, user and channel; who is not there wants everything, at any hour. Errors: `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listPreferences(pools: Pools, filter: PreferenceFilter): Promise<Page<PreferenceView>> {
  const conditions = new Conditions();
  if (filter.tenantId !== null) conditions.add('p.tenant_id = ?', filter.tenantId);
  if (filter.ofTenant !== undefined) conditions.add('? IN (p.tenant_id::text, t.slug)', filter.ofTenant);
  if (filter.userKey !== undefined) conditions.add('p.user_key = ?', filter.userKey);
  if (filter.channel !== undefined) conditions.add('p.channel = ?', filter.channel);
  if (filter.cursor !== undefined) {
    conditions.add(
      '(p.tenant_id, p.user_key, p.channel) > (?::uuid, ?, ?)',
      ...decodeCursor(filter.cursor, [UUID_PART, TEXT_PART, TEXT_PART]),
    );
  }
  const text = `SELECT ${PREFERENCE_COLUMNS} FROM ops.notification_preferences p LEFT JOIN ops.tenants t ON t.id = p.tenant_id ${conditions.where}
    ORDER BY p.tenant_id, p.user_key, p.channel LIMIT ${Math.trunc(filter.limit) + 1}`;
  const rows = await read<PreferenceView>(pools, filter.tenantId, text, conditions.values);
  return toPage(
    rows,
    filter.limit,
    (row) => row,
    (row) => [row.tenantId, row.userKey, row.channel],
  );
}

export interface NotificationStatistics {
  readonly channel: ChannelName;
  readonly state: NotificationState;
  readonly count: number;
  /** Of those that wait: age of what has been due longest, s. */
  readonly oldestDueSeconds: number;
}

/** What waits or is being sent, and what ended in the last `minutes`, by channel and state. Errors: `StoreUnavailableError`. */
export async function notificationStatistics(pools: Pools, minutes: number): Promise<NotificationStatistics[]> {
  return await read<NotificationStatistics>(
    pools,
    null,
    `SELECT channel, state, count(*)::float8 AS count,
       greatest(coalesce(extract(epoch FROM clock_timestamp() - min(due_at) FILTER (WHERE state = 'waiting')), 0), 0)::float8 AS "oldestDueSeconds"
     FROM (SELECT channel, state, due_at FROM ops.notifications WHERE state = 'waiting'
       UNION ALL SELECT channel, state, due_at FROM ops.notifications WHERE state = 'sending'
       UNION ALL SELECT channel, state, due_at FROM ops.notifications WHERE ended_at > clock_timestamp() - make_interval(mins => $1)) n
     GROUP BY channel, state ORDER BY channel, state`,
    [minutes],
  );
}
