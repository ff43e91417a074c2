import { sql } from 'drizzle-orm';
import {
  boolean,
  date,
  foreignKey,
  integer,
  numeric,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';

/** Tables of the medication system; migrations/0012_medication.sql is what runs, with the triggers, checks, policies and grants. */
export const medicationSchema = pgSchema('medication');

const instant = (name: string) => timestamp(name, { withTimezone: true });
const createdAt = () => instant('created_at').notNull().default(sql`clock_timestamp()`);
const id = () => uuid('id').notNull().defaultRandom();
const tenantId = () => uuid('tenant_id').notNull();
const units = (name: string) => numeric(name);

export const CHANNELS = ['email', 'whatsapp'] as const;
export const SEVERITIES = ['CONTRAINDICATED', 'MAJOR', 'MODERATE', 'MINOR'] as const;
export const SIDE_KINDS = ['ingredient', 'class'] as const;
export const ROLLUP_METRICS = ['adherence', 'reminders_sent', 'reminders_taken', 'refills', 'interactions'] as const;

/** A row beside `ops.tenants`, which has the organisation's name and zone. */
export const organisations = medicationSchema.table('organisations', {
  tenantId: uuid('tenant_id').primaryKey(),
  leadDays: smallint('lead_days').notNull().default(7),
  alertDays: smallint('alert_days').notNull().default(3),
  createdAt: createdAt(),
});

/** `number` is the user's name in the organisation's own systems; `*Enc` are envelopes. */
export const users = medicationSchema.table(
  'users',
  {
    tenantId: tenantId().references(() => organisations.tenantId),
    id: id(),
    number: text('number').notNull(),
    zone: text('zone').notNull(),
    active: boolean('active').notNull().default(true),
    nameEnc: text('name_enc'),
    emailEnc: text('email_enc'),
    phoneEnc: text('phone_enc'),
    channel: text('channel', { enum: CHANNELS }).notNull().default('email'),
    remindersOptIn: boolean('reminders_opt_in').notNull().default(true),
    namesInTexts: boolean('names_in_texts').notNull().default(false),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('users_number_key').on(table.tenantId, table.number),
  ],
);

/** Everything but `name` is in lower case. */
export const medications = medicationSchema.table(
  'medications',
  {
    tenantId: tenantId().references(() => organisations.tenantId),
    id: id(),
    name: text('name').notNull(),
    ingredients: text('ingredients').array().notNull(),
    brands: text('brands').array().notNull().default([]),
    classes: text('classes').array().notNull().default([]),
    properties: text('properties').array().notNull().default([]),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.id] })],
);

/** `supplyUnits` is what was there at `supplyRecordedAt`. */
export const userMedications = medicationSchema.table(
  'user_medications',
  {
    tenantId: tenantId(),
    id: id(),
    userId: uuid('user_id').notNull(),
    medicationId: uuid('medication_id').notNull(),
    status: text('status', { enum: ['active', 'stopped'] })
      .notNull()
      .default('active'),
    dose: text('dose'),
    unitsADay: units('units_a_day').notNull().default('0'),
    leadDays: smallint('lead_days'),
    supplyUnits: units('supply_units'),
    supplyRecordedAt: instant('supply_recorded_at'),
    supplyRecordedBy: text('supply_recorded_by'),
    supplyRunId: uuid('supply_run_id'),
    refillCycle: integer('refill_cycle').notNull().default(0),
    runOutOn: date('run_out_on'),
    refillOn: date('refill_on'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('user_medications_once').on(table.tenantId, table.userId, table.medicationId),
    foreignKey({
      name: 'user_medications_user_fkey',
      columns: [table.tenantId, table.userId],
      foreignColumns: [users.tenantId, users.id],
    }),
    foreignKey({
      name: 'user_medications_medication_fkey',
      columns: [table.tenantId, table.medicationId],
      foreignColumns: [medications.tenantId, medications.id],
    }),
  ],
);

const ofUserMedication = (name: string, table: { tenantId: unknown; userMedicationId: unknown }) => {
  const columns = [table.tenantId, table.userMedicationId] as never;
  return foreignKey({ name, columns, foreignColumns: [userMedications.tenantId, userMedications.id] as never });
};

/** No dose before `nextDueAt`; null: none will come. */
export const doseSchedules = medicationSchema.table(
  'dose_schedules',
  {
    tenantId: tenantId(),
    id: id(),
    userMedicationId: uuid('user_medication_id').notNull(),
    frequency: text('frequency').notNull(),
    times: text('times').array().notNull().default([]),
    startsOn: date('starts_on').notNull(),
    endsOn: date('ends_on'),
    active: boolean('active').notNull().default(true),
    nextDueAt: instant('next_due_at'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('dose_schedules_once').on(table.tenantId, table.userMedicationId),
    ofUserMedication('dose_schedules_medication_fkey', table),
  ],
);

/** A dose that fell due and what became of it. */
export const reminders = medicationSchema.table(
  'reminders',
  {
    tenantId: tenantId(),
    id: id(),
    userMedicationId: uuid('user_medication_id').notNull(),
    doseDate: date('dose_date').notNull(),
    doseTime: text('dose_time').notNull(),
    dueAt: instant('due_at').notNull(),
    state: text('state', { enum: ['sent', 'missed', 'muted'] }).notNull(),
    reason: text('reason'),
    takenAt: instant('taken_at'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('reminders_once').on(table.tenantId, table.userMedicationId, table.doseDate, table.doseTime),
    ofUserMedication('reminders_medication_fkey', table),
  ],
);

/** A rule of an interaction table; the version loaded last is in force. */
export const interactions = medicationSchema.table(
  'interactions',
  {
    tenantId: tenantId().references(() => organisations.tenantId),
    id: id(),
    tableVersion: text('table_version').notNull(),
    aKind: text('a_kind', { enum: SIDE_KINDS }).notNull(),
    aName: text('a_name').notNull(),
    bKind: text('b_kind', { enum: SIDE_KINDS }).notNull(),
    bName: text('b_name').notNull(),
    severity: text('severity', { enum: SEVERITIES }).notNull(),
    effect: text('effect').notNull(),
    source: text('source').notNull(),
    loadedAt: instant('loaded_at').notNull().default(sql`transaction_timestamp()`),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('interactions_pair_key').on(
      table.tenantId,
      table.tableVersion,
      table.aKind,
      table.aName,
      table.bKind,
      table.bName,
    ),
  ],
);

export const interactionChecks = medicationSchema.table(
  'interaction_checks',
  {
    tenantId: tenantId(),
    runId: uuid('run_id').notNull(),
    userId: uuid('user_id').notNull(),
    checkedAt: instant('checked_at').notNull(),
    tableVersion: text('table_version'),
    found: integer('found').notNull(),
    worst: text('worst', { enum: SEVERITIES }),
    complete: boolean('complete').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.runId] }),
    foreignKey({
      name: 'interaction_checks_user_fkey',
      columns: [table.tenantId, table.userId],
      foreignColumns: [users.tenantId, users.id],
    }),
  ],
);

/** `units` is null where the whole supply was counted anew. */
export const refills = medicationSchema.table(
  'refills',
  {
    tenantId: tenantId(),
    id: id(),
    userMedicationId: uuid('user_medication_id').notNull(),
    state: text('state', { enum: ['due', 'done'] }).notNull(),
    dueOn: date('due_on'),
    refilledAt: instant('refilled_at'),
    units: units('units'),
    createdAt: createdAt(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.id] }), ofUserMedication('refills_medication_fkey', table)],
);

export const supplyAlerts = medicationSchema.table(
  'supply_alerts',
  {
    tenantId: tenantId(),
    id: id(),
    userMedicationId: uuid('user_medication_id').notNull(),
    cycle: integer('cycle').notNull(),
    daysLeft: integer('days_left').notNull(),
    runOutOn: date('run_out_on').notNull(),
    state: text('state', { enum: ['open', 'closed'] })
      .notNull()
      .default('open'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('supply_alerts_once_a_cycle').on(table.tenantId, table.userMedicationId, table.cycle),
    ofUserMedication('supply_alerts_medication_fkey', table),
  ],
);

/** A metric over part of one local day of the organisation; `value` is null where it would divide by nothing. */
export const analyticsRollups = medicationSchema.table(
  'analytics_rollups',
  {
    tenantId: tenantId().references(() => organisations.tenantId),
    metric: text('metric', { enum: ROLLUP_METRICS }).notNull(),
    startsAt: instant('starts_at').notNull(),
    endsAt: instant('ends_at').notNull(),
    localDay: date('local_day').notNull(),
    value: numeric('value'),
    counted: integer('counted').notNull(),
    ofTotal: integer('of_total'),
    computedAt: instant('computed_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.metric, table.startsAt, table.endsAt] })],
);
