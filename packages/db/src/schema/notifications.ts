import { sql } from 'drizzle-orm';
import {
  boolean,
  doublePrecision,
  primaryKey,
  smallint,
  text,
  time,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';
import { opsSchema } from './ops.ts';

// Tables of migrations/0007_notifications.sql, where their indexes, checks, policies and grants are.

const at = (name: string) => timestamp(name, { withTimezone: true });
const now = (name: string) => at(name).notNull().default(sql`clock_timestamp()`);
const channel = () => text('channel', { enum: ['email', 'whatsapp', 'webhook'] });

export const notifications = opsSchema.table(
  'notifications',
  {
    id: uuid('id').primaryKey(),
    tenantId: uuid('tenant_id').notNull(),
    runId: uuid('run_id'),
    job: text('job'),
    dedupeKey: text('dedupe_key').notNull(),
    channel: channel().notNull(),
    template: text('template').notNull(),
    userKey: text('user_key'),
    priority: smallint('priority').notNull(),
    state: text('state', { enum: ['waiting', 'sending', 'sent', 'failed', 'unknown', 'expired', 'suppressed'] })
      .notNull()
      .default('waiting'),
    attempts: smallint('attempts').notNull().default(0),
    tries: smallint('tries').notNull().default(0),
    dueAt: now('due_at'),
    notAfter: at('not_after'),
    worker: text('worker'),
    leaseUntil: at('lease_until'),
    createdAt: now('created_at'),
    sentAt: at('sent_at'),
    endedAt: at('ended_at'),
    providerId: text('provider_id'),
    outcome: text('outcome'),
    errorClass: text('error_class'),
    toEnc: text('to_enc').notNull(),
    dataEnc: text('data_enc').notNull(),
  },
  (table) => [unique('notifications_dedupe').on(table.tenantId, table.dedupeKey)],
);

/** No row: the user wants everything, at any hour. */
export const notificationPreferences = opsSchema.table(
  'notification_preferences',
  {
    tenantId: uuid('tenant_id').notNull(),
    userKey: text('user_key').notNull(),
    channel: channel().notNull(),
    enabled: boolean('enabled').notNull().default(true),
    quietFrom: time('quiet_from'),
    quietUntil: time('quiet_until'),
    updatedAt: now('updated_at'),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.userKey, table.channel] })],
);

/** Token buckets of the whole fleet. */
export const notificationChannels = opsSchema.table('notification_channels', {
  channel: channel().primaryKey(),
  tokens: doublePrecision('tokens').notNull().default(1),
  refilledAt: now('refilled_at'),
  tenantCursor: uuid('tenant_cursor').notNull().default('00000000-0000-0000-0000-000000000000'),
});
