import { sql } from 'drizzle-orm';
import {
  bigint,
  customType,
  date,
  foreignKey,
  index,
  integer,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** Tables of the clinic system; migrations/0008_clinic.sql is what runs, with checks, triggers, policies and materialized views. */
export const clinicSchema = pgSchema('clinic');

const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' });
const instant = (name: string) => timestamp(name, { withTimezone: true });
const createdAt = () => instant('created_at').notNull().default(sql`clock_timestamp()`);
const id = () => uuid('id').notNull().defaultRandom();
const tenantId = () => uuid('tenant_id').notNull();

export const CLIENT_STATUSES = ['active', 'transferred', 'stopped', 'died'] as const;
export const KEY_POPULATIONS = ['none', 'msm', 'sex_worker', 'transgender', 'injects_drugs', 'in_prison'] as const;
export const PROGRAMMES = ['ART', 'PREP'] as const;
export const SUPPLY_KINDS = ['ARV', 'PREP'] as const;
export const LAB_TESTS = ['CD4', 'VL'] as const;
export const COMPARATORS = ['<', '=', '>', 'TND'] as const;
export const VL_STATUSES = ['undetectable', 'suppressed', 'unsuppressed', 'stale'] as const;
/** What generate-tasks makes; people also make `OTHER`. */
export const TASK_TYPES = ['LTFU_REVIEW', 'LABS_PENDING', 'VL_MONITOR', 'REFILL_ARV', 'REFILL_PREP'] as const;
export const TASK_STATUSES = ['open', 'completed', 'cancelled', 'superseded'] as const;
export const TASK_RULES = [
  'no_activity',
  'missed_contact',
  'vl_due',
  'vl_repeat',
  'baseline_cd4',
  'refill_due',
] as const;
export const CLOSE_REASONS = ['hand', 'visit', 'dispense', 'result', 'left', 'superseded', 'obsolete'] as const;

/** A row beside `ops.tenants`, which has the facility's name and zone. Numbers are days. */
export const facilities = clinicSchema.table('facilities', {
  tenantId: uuid('tenant_id').primaryKey(),
  openedOn: date('opened_on').notNull(),
  ltfuDays: smallint('ltfu_days').notNull().default(90),
  interruptionDays: smallint('interruption_days').notNull().default(28),
  baselineBeforeDays: smallint('baseline_before_days').notNull().default(180),
  baselineAfterDays: smallint('baseline_after_days').notNull().default(90),
  sampleWaitDays: smallint('sample_wait_days').notNull().default(30),
  createdAt: createdAt(),
});

/** `number` is the clinic's own. `nameEnc` and `phoneEnc` are envelopes; `lastVisitAt` is set by triggers alone. */
export const clients = clinicSchema.table(
  'clients',
  {
    tenantId: tenantId().references(() => facilities.tenantId),
    id: id(),
    number: text('number').notNull(),
    nameEnc: text('name_enc'),
    phoneEnc: text('phone_enc'),
    status: text('status', { enum: CLIENT_STATUSES }).notNull().default('active'),
    keyPopulation: text('key_population', { enum: KEY_POPULATIONS }).notNull().default('none'),
    registeredOn: date('registered_on').notNull(),
    vlIntervalMonths: smallint('vl_interval_months').notNull().default(12),
    lastVisitAt: instant('last_visit_at'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('clients_number_key').on(table.tenantId, table.number),
  ],
);

export const regimens = clinicSchema.table(
  'regimens',
  {
    tenantId: tenantId().references(() => facilities.tenantId),
    id: id(),
    code: text('code').notNull(),
    name: text('name').notNull(),
    kind: text('kind', { enum: SUPPLY_KINDS }).notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('regimens_code_key').on(table.tenantId, table.code),
  ],
);

/** Being on a programme, from `startedOn` until before `endedOn`. */
export const enrollments = clinicSchema.table(
  'enrollments',
  {
    tenantId: tenantId(),
    id: id(),
    clientId: uuid('client_id').notNull(),
    programme: text('programme', { enum: PROGRAMMES }).notNull(),
    startedOn: date('started_on').notNull(),
    endedOn: date('ended_on'),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('enrollments_once').on(table.tenantId, table.clientId, table.programme, table.startedOn),
    uniqueIndex('enrollments_one_open')
      .on(table.tenantId, table.clientId, table.programme)
      .where(sql`ended_on IS NULL`),
    foreignKey({
      name: 'enrollments_client_fkey',
      columns: [table.tenantId, table.clientId],
      foreignColumns: [clients.tenantId, clients.id],
    }),
  ],
);

export const encounters = clinicSchema.table(
  'encounters',
  {
    tenantId: tenantId(),
    id: id(),
    clientId: uuid('client_id').notNull(),
    occurredAt: instant('occurred_at').notNull(),
    nextAppointmentOn: date('next_appointment_on'),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    foreignKey({
      name: 'encounters_client_fkey',
      columns: [table.tenantId, table.clientId],
      foreignColumns: [clients.tenantId, clients.id],
    }),
    index('encounters_client_time').on(table.tenantId, table.clientId, table.occurredAt),
  ],
);

/** `nextRefillOn` left out is the day that the supply ends. */
export const dispenses = clinicSchema.table(
  'dispenses',
  {
    tenantId: tenantId(),
    id: id(),
    clientId: uuid('client_id').notNull(),
    kind: text('kind', { enum: SUPPLY_KINDS }).notNull(),
    regimenId: uuid('regimen_id'),
    dispensedAt: instant('dispensed_at').notNull(),
    daysSupplied: smallint('days_supplied').notNull(),
    nextRefillOn: date('next_refill_on').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    foreignKey({
      name: 'dispenses_client_fkey',
      columns: [table.tenantId, table.clientId],
      foreignColumns: [clients.tenantId, clients.id],
    }),
    foreignKey({
      name: 'dispenses_regimen_fkey',
      columns: [table.tenantId, table.regimenId],
      foreignColumns: [regimens.tenantId, regimens.id],
    }),
    index('dispenses_client_time').on(table.tenantId, table.clientId, table.kind, table.dispensedAt),
    index('dispenses_regimen').on(table.tenantId, table.regimenId),
  ],
);

/** A sample; `comparator` is null until its result is there. CD4 in cells/mm³, VL in copies/mL. */
export const labResults = clinicSchema.table(
  'lab_results',
  {
    tenantId: tenantId(),
    id: id(),
    clientId: uuid('client_id').notNull(),
    test: text('test', { enum: LAB_TESTS }).notNull(),
    drawnOn: date('drawn_on').notNull(),
    resultedOn: date('resulted_on'),
    comparator: text('comparator', { enum: COMPARATORS }),
    value: integer('value'),
    assayLimit: integer('assay_limit'),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    foreignKey({
      name: 'lab_results_client_fkey',
      columns: [table.tenantId, table.clientId],
      foreignColumns: [clients.tenantId, clients.id],
    }),
    index('lab_results_client_test').on(table.tenantId, table.clientId, table.test, table.drawnOn),
  ],
);

/** `refreshedAt` is when the row got the values that it has. */
export const clinicalSummaries = clinicSchema.table(
  'clinical_summaries',
  {
    tenantId: tenantId(),
    clientId: uuid('client_id').notNull(),
    artStartedOn: date('art_started_on'),
    baselineCd4Comparator: text('baseline_cd4_comparator', { enum: COMPARATORS }),
    baselineCd4: integer('baseline_cd4'),
    baselineCd4On: date('baseline_cd4_on'),
    baselineVlComparator: text('baseline_vl_comparator', { enum: COMPARATORS }),
    baselineVl: integer('baseline_vl'),
    baselineVlOn: date('baseline_vl_on'),
    latestCd4Comparator: text('latest_cd4_comparator', { enum: COMPARATORS }),
    latestCd4: integer('latest_cd4'),
    latestCd4On: date('latest_cd4_on'),
    latestVlComparator: text('latest_vl_comparator', { enum: COMPARATORS }),
    latestVl: integer('latest_vl'),
    latestVlOn: date('latest_vl_on'),
    vlStatus: text('vl_status', { enum: VL_STATUSES }),
    arvRegimenId: uuid('arv_regimen_id'),
    prepRegimenId: uuid('prep_regimen_id'),
    refreshedAt: instant('refreshed_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.clientId] }),
    foreignKey({
      name: 'clinical_summaries_client_fkey',
      columns: [table.tenantId, table.clientId],
      foreignColumns: [clients.tenantId, clients.id],
    }),
  ],
);

/** `rule` says why the system made it, `ruleDays` the facility's number in that rule. */
export const tasks = clinicSchema.table(
  'tasks',
  {
    tenantId: tenantId(),
    id: id(),
    clientId: uuid('client_id').notNull(),
    type: text('type', { enum: [...TASK_TYPES, 'OTHER'] }).notNull(),
    dueOn: date('due_on').notNull(),
    status: text('status', { enum: TASK_STATUSES }).notNull().default('open'),
    source: text('source', { enum: ['system', 'person'] })
      .notNull()
      .default('person'),
    rule: text('rule', { enum: TASK_RULES }),
    ruleDays: smallint('rule_days'),
    createdAt: createdAt(),
    closedAt: instant('closed_at'),
    closeReason: text('close_reason', { enum: CLOSE_REASONS }),
    closedBy: text('closed_by'),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    uniqueIndex('tasks_identity').on(table.tenantId, table.clientId, table.type, table.dueOn),
    uniqueIndex('tasks_one_open').on(table.tenantId, table.clientId, table.type),
    foreignKey({
      name: 'tasks_client_fkey',
      columns: [table.tenantId, table.clientId],
      foreignColumns: [clients.tenantId, clients.id],
    }),
  ],
);

/** Written by triggers, append-only. `columns` is null where the whole row came or went. */
export const dataAudit = clinicSchema.table(
  'data_audit',
  {
    tenantId: tenantId(),
    id: bigint('id', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    at: instant('at').notNull().default(sql`clock_timestamp()`),
    tx: xid8('tx').notNull().default(sql`pg_current_xact_id()`),
    actor: text('actor').notNull(),
    tableName: text('table_name').notNull(),
    rowId: uuid('row_id').notNull(),
    operation: text('operation', { enum: ['INSERT', 'UPDATE', 'DELETE'] }).notNull(),
    columns: text('columns').array(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    index('data_audit_row').on(table.tenantId, table.tableName, table.rowId),
  ],
);
