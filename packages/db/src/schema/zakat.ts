import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  date,
  foreignKey,
  index,
  integer,
  jsonb,
  numeric,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';

/**
 * Tables of the zakat system; migrations/0009_zakat.sql is what runs, with the checks, triggers, policies and grants that drizzle cannot say.
 * A column `…_enc` is an envelope of whole minor units (cents) as decimal digits.
 */
export const zakatSchema = pgSchema('zakat');

const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`);
const id = () => uuid('id').notNull().defaultRandom();
const tenantId = () => uuid('tenant_id').notNull();

export const REMINDER_PRIORITIES = ['high', 'medium', 'low'] as const;
export const REMINDER_STATUSES = ['open', 'acknowledged', 'dismissed'] as const;

/** A row beside `ops.tenants`, which has the user's zone. `dayOffset`: days that their Hijri calendar is ahead of Umm al-Qura. */
export const users = zakatSchema.table('users', {
  tenantId: uuid('tenant_id').primaryKey(),
  dayOffset: smallint('day_offset').notNull().default(0),
  createdAt: createdAt(),
});

/** Wealth, nisab and zakat due on one date. `revision` and `changedAt` move with the row and its payments, by triggers. */
export const snapshots = zakatSchema.table(
  'snapshots',
  {
    tenantId: tenantId().references(() => users.tenantId),
    id: id(),
    reference: text('reference').notNull(),
    snapshotDate: date('snapshot_date').notNull(),
    finalised: boolean('finalised').notNull().default(false),
    currency: text('currency').notNull(),
    reachesNisab: boolean('reaches_nisab'),
    wealthEnc: text('wealth_enc').notNull(),
    nisabEnc: text('nisab_enc').notNull(),
    zakatDueEnc: text('zakat_due_enc').notNull(),
    revision: bigint('revision', { mode: 'bigint' }).notNull().default(sql`1`),
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('snapshots_reference_key').on(table.tenantId, table.reference),
    index('snapshots_latest').on(table.tenantId, table.snapshotDate.desc(), table.id.desc()).where(sql`finalised`),
  ],
);

/** In the currency of the snapshot. */
export const payments = zakatSchema.table(
  'payments',
  {
    tenantId: tenantId(),
    id: id(),
    snapshotId: uuid('snapshot_id').notNull(),
    reference: text('reference').notNull(),
    paidOn: date('paid_on').notNull(),
    amountEnc: text('amount_enc').notNull(),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('payments_reference_key').on(table.tenantId, table.reference),
    foreignKey({
      name: 'payments_snapshot_fkey',
      columns: [table.tenantId, table.snapshotId],
      foreignColumns: [snapshots.tenantId, snapshots.id],
    }),
    index('payments_snapshot').on(table.tenantId, table.snapshotId, table.id),
  ],
);

/** Entries of the analytics cache. */
export const analyticsMetrics = zakatSchema.table(
  'analytics_metrics',
  {
    tenantId: tenantId().references(() => users.tenantId),
    id: id(),
    metric: text('metric').notNull(),
    startsOn: date('starts_on').notNull(),
    endsOn: date('ends_on').notNull(),
    valueEnc: text('value_enc').notNull(),
    computedAt: timestamp('computed_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    index('analytics_metrics_age').on(table.tenantId, table.computedAt, table.id),
  ],
);

/** What the metadata of a reminder says. Dates are ISO: `1448-09-01` in the user's Hijri calendar, `2027-02-08`. */
export interface ReminderMetadata {
  readonly snapshotId: string;
  readonly hijriDate: string;
  readonly gregorianDate: string;
  readonly daysLeft: number;
}

/** `remindedOn` is the user's local day on which it was made. */
export const reminderEvents = zakatSchema.table(
  'reminder_events',
  {
    tenantId: tenantId(),
    id: id(),
    snapshotId: uuid('snapshot_id').notNull(),
    anniversaryOn: date('anniversary_on').notNull(),
    remindedOn: date('reminded_on').notNull(),
    priority: text('priority', { enum: REMINDER_PRIORITIES }).notNull(),
    title: text('title').notNull(),
    message: text('message').notNull(),
    metadata: jsonb('metadata').$type<ReminderMetadata>().notNull(),
    status: text('status', { enum: REMINDER_STATUSES }).notNull().default('open'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('reminder_events_once_a_day').on(table.tenantId, table.anniversaryOn, table.remindedOn),
    foreignKey({
      name: 'reminder_events_snapshot_fkey',
      columns: [table.tenantId, table.snapshotId],
      foreignColumns: [snapshots.tenantId, snapshots.id],
    }),
    index('reminder_events_snapshot').on(table.tenantId, table.snapshotId),
  ],
);

/** `percentCompleted` is null when nothing is due; `snapshotRevision` is what it was made from. */
export const annualSummaries = zakatSchema.table(
  'annual_summaries',
  {
    tenantId: tenantId(),
    snapshotId: uuid('snapshot_id').notNull(),
    hijriYear: smallint('hijri_year').notNull(),
    currency: text('currency').notNull(),
    zakatDueEnc: text('zakat_due_enc').notNull(),
    paidEnc: text('paid_enc').notNull(),
    payments: integer('payments').notNull(),
    percentCompleted: numeric('percent_completed'),
    snapshotRevision: bigint('snapshot_revision', { mode: 'bigint' }).notNull(),
    generatedAt: timestamp('generated_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.snapshotId] }),
    foreignKey({
      name: 'annual_summaries_snapshot_fkey',
      columns: [table.tenantId, table.snapshotId],
      foreignColumns: [snapshots.tenantId, snapshots.id],
    }),
  ],
);
