import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  date,
  foreignKey,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';

/** Tables of the litigation system; migrations/0010_litigation.sql is what runs, with what drizzle cannot say: checks, triggers, policies, views. */
export const litigationSchema = pgSchema('litigation');

const at = (name: string) => timestamp(name, { withTimezone: true });
const createdAt = () => at('created_at').notNull().default(sql`clock_timestamp()`);
const id = () => uuid('id').notNull().defaultRandom();
const tenantId = () => uuid('tenant_id').notNull();

export const USER_ROLES = ['admin', 'advocate', 'staff'] as const;
export const CASE_STATUSES = ['Open', 'In Progress', 'On Hold', 'Closed'] as const;
export const TASK_STATUSES = ['Pending', 'In Progress', 'On Hold', 'Completed', 'Cancelled'] as const;
export const TASK_PRIORITIES = ['critical', 'high', 'medium', 'low'] as const;
export const HEARING_STATUSES = ['Scheduled', 'Completed', 'Adjourned', 'Cancelled'] as const;
export const EVENT_TYPES = ['task_overdue', 'sla_violation', 'deadline_approaching'] as const;

/** A row beside `ops.tenants`, which has the firm's name and zone. */
export const firms = litigationSchema.table('firms', {
  tenantId: uuid('tenant_id').primaryKey(),
  whatsappEnabled: boolean('whatsapp_enabled').notNull().default(false),
  preparationChecklists: jsonb('preparation_checklists').notNull().default({}),
  createdAt: createdAt(),
});

export const users = litigationSchema.table(
  'users',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    code: text('code').notNull(),
    role: text('role', { enum: USER_ROLES }).notNull(),
    active: boolean('active').notNull().default(true),
    nameEnc: text('name_enc'),
    emailEnc: text('email_enc'),
    phoneEnc: text('phone_enc'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('users_code_key').on(table.tenantId, table.code),
  ],
);

export const notificationPreferences = litigationSchema.table(
  'notification_preferences',
  {
    tenantId: tenantId(),
    userId: uuid('user_id').notNull(),
    hearingEmail: boolean('hearing_email').notNull().default(true),
    hearingWhatsapp: boolean('hearing_whatsapp').notNull().default(true),
    deadlineEmail: boolean('deadline_email').notNull().default(true),
    ruleMessages: boolean('rule_messages').notNull().default(true),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.userId] }),
    foreignKey({
      name: 'notification_preferences_user_fkey',
      columns: [table.tenantId, table.userId],
      foreignColumns: [users.tenantId, users.id],
    }).onDelete('cascade'),
  ],
);

export const courts = litigationSchema.table(
  'courts',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    code: text('code').notNull(),
    name: text('name').notNull(),
    city: text('city').notNull(),
    address: text('address'),
    forum: text('forum').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('courts_code_key').on(table.tenantId, table.code),
  ],
);

/** `assignedTo` is the advocate. */
export const cases = litigationSchema.table(
  'cases',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    caseNumber: text('case_number').notNull(),
    title: text('title').notNull(),
    status: text('status', { enum: CASE_STATUSES }).notNull().default('Open'),
    ownerId: uuid('owner_id').notNull(),
    assignedTo: uuid('assigned_to'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('cases_number_key').on(table.tenantId, table.caseNumber),
  ],
);

export const slaThresholds = litigationSchema.table(
  'sla_thresholds',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    priority: text('priority', { enum: TASK_PRIORITIES }).notNull(),
    hours: integer('hours').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.priority] })],
);

export const automationRules = litigationSchema.table(
  'automation_rules',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    name: text('name').notNull(),
    triggerEvent: text('trigger_event', { enum: EVENT_TYPES }).notNull(),
    enabled: boolean('enabled').notNull().default(true),
    conditions: jsonb('conditions').notNull().default({ all: [] }),
    actions: jsonb('actions').notNull(),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('automation_rules_name_key').on(table.tenantId, table.name),
  ],
);

export const tasks = litigationSchema.table(
  'tasks',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    caseId: uuid('case_id'),
    title: text('title').notNull(),
    status: text('status', { enum: TASK_STATUSES }).notNull().default('Pending'),
    priority: text('priority', { enum: TASK_PRIORITIES }).notNull().default('medium'),
    dueDate: at('due_date'),
    statutory: boolean('statutory').notNull().default(false),
    assignedTo: uuid('assigned_to'),
    createdAt: createdAt(),
    closedAt: at('closed_at'),
    overdueAt: at('overdue_at'),
    arming: integer('arming').notNull().default(0),
    slaViolatedHours: integer('sla_violated_hours'),
    slaViolatedAt: at('sla_violated_at'),
    createdByRule: uuid('created_by_rule'),
    automationDepth: smallint('automation_depth').notNull().default(0),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    foreignKey({
      name: 'tasks_case_fkey',
      columns: [table.tenantId, table.caseId],
      foreignColumns: [cases.tenantId, cases.id],
    }),
    index('tasks_due').on(table.tenantId, table.dueDate).where(sql`status NOT IN ('Completed', 'Cancelled')`),
  ],
);

export const hearings = litigationSchema.table(
  'hearings',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    caseId: uuid('case_id').notNull(),
    courtId: uuid('court_id').notNull(),
    hearingDate: at('hearing_date').notNull(),
    status: text('status', { enum: HEARING_STATUSES }).notNull().default('Scheduled'),
    attended: boolean('attended'),
    checklist: jsonb('checklist'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    foreignKey({
      name: 'hearings_case_fkey',
      columns: [table.tenantId, table.caseId],
      foreignColumns: [cases.tenantId, cases.id],
    }),
    foreignKey({
      name: 'hearings_court_fkey',
      columns: [table.tenantId, table.courtId],
      foreignColumns: [courts.tenantId, courts.id],
    }),
    index('hearings_date').on(table.tenantId, table.hearingDate, table.id),
    index('hearings_case').on(table.tenantId, table.caseId),
  ],
);

export const documents = litigationSchema.table(
  'documents',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    id: id(),
    caseId: uuid('case_id').notNull(),
    title: text('title').notNull(),
    uploadedAt: at('uploaded_at').notNull().default(sql`clock_timestamp()`),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.id] })],
);

/** The outbox: what jobs found, once each by `dedupeKey`, for the automation rules. */
export const events = litigationSchema.table(
  'events',
  {
    tenantId: tenantId().references(() => firms.tenantId),
    seq: bigint('seq', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    type: text('type', { enum: EVENT_TYPES }).notNull(),
    dedupeKey: text('dedupe_key').notNull(),
    entityType: text('entity_type', { enum: ['task', 'hearing'] }).notNull(),
    entityId: uuid('entity_id').notNull(),
    payload: jsonb('payload').notNull(),
    createdAt: createdAt(),
    processedAt: at('processed_at'),
    processedBy: uuid('processed_by'),
    messages: smallint('messages').notNull().default(0),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.seq] }),
    unique('events_once').on(table.tenantId, table.dedupeKey),
    index('events_waiting').on(table.tenantId, table.seq).where(sql`processed_at IS NULL`),
    index('events_messages').on(table.tenantId, table.processedBy).where(sql`messages > 0`),
  ],
);

export const automationLogs = litigationSchema.table(
  'automation_logs',
  {
    id: id(),
    tenantId: tenantId().references(() => firms.tenantId),
    ruleId: uuid('rule_id'),
    ruleName: text('rule_name'),
    triggerEvent: text('trigger_event'),
    status: text('status', { enum: ['success', 'failed'] }).notNull(),
    actionsExecuted: jsonb('actions_executed').notNull().default([]),
    errorMessage: text('error_message'),
    executedAt: at('executed_at').notNull().default(sql`clock_timestamp()`),
    eventSeq: bigint('event_seq', { mode: 'number' }),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('automation_logs_once').on(table.tenantId, table.ruleId, table.eventSeq),
    index('automation_logs_time').on(table.tenantId, table.executedAt),
  ],
);

export const analyticsSnapshots = litigationSchema.table(
  'analytics_snapshots',
  {
    id: id(),
    tenantId: tenantId().references(() => firms.tenantId),
    metricType: text('metric_type').notNull(),
    snapshotDate: date('snapshot_date').notNull(),
    metricValue: jsonb('metric_value').notNull(),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('analytics_snapshots_once').on(table.tenantId, table.metricType, table.snapshotDate),
  ],
);

/** What each recipient was last told about a hearing, by channel. */
export const hearingReminders = litigationSchema.table(
  'hearing_reminders',
  {
    tenantId: tenantId(),
    hearingId: uuid('hearing_id').notNull(),
    userId: uuid('user_id').notNull(),
    channel: text('channel', { enum: ['email', 'whatsapp'] }).notNull(),
    hearingDate: at('hearing_date').notNull(),
    courtId: uuid('court_id').notNull(),
    revision: integer('revision').notNull().default(1),
    runId: uuid('run_id').notNull(),
    remindedAt: at('reminded_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.hearingId, table.userId, table.channel] }),
    index('hearing_reminders_run').on(table.tenantId, table.runId),
  ],
);

/** `digestDate` is a local day of the firm. */
export const deadlineDigests = litigationSchema.table(
  'deadline_digests',
  {
    tenantId: tenantId(),
    userId: uuid('user_id').notNull(),
    digestDate: date('digest_date').notNull(),
    tasks: integer('tasks').notNull(),
    hearings: integer('hearings').notNull(),
    runId: uuid('run_id').notNull(),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.userId, table.digestDate] }),
    index('deadline_digests_run').on(table.tenantId, table.runId),
  ],
);
