import { sql } from 'drizzle-orm';
import {
  boolean,
  date,
  foreignKey,
  index,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/** Tables of the gym system; migrations/0002_gym.sql is what runs, with the checks, policies and grants that drizzle cannot say. */
export const gymSchema = pgSchema('gym');

const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().default(sql`clock_timestamp()`);
const id = () => uuid('id').notNull().defaultRandom();
const tenantId = () => uuid('tenant_id').notNull();

export const MEMBER_STATUSES = ['active', 'frozen', 'left'] as const;
export const RISK_LEVELS = ['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'] as const;
export const ACTION_KINDS = ['call', 'message'] as const;
export const ACTION_STATUSES = ['open', 'done', 'dismissed'] as const;

/** A row beside `ops.tenants`, which has the gym's name and zone. */
export const gyms = gymSchema.table('gyms', {
  tenantId: uuid('tenant_id').primaryKey(),
  openedOn: date('opened_on').notNull(),
  createdAt: createdAt(),
});

/** `number` is the membership number. Scores are null until first computed; `*ScoredAt` is when the value in the row was set. */
export const members = gymSchema.table(
  'members',
  {
    tenantId: tenantId().references(() => gyms.tenantId),
    id: id(),
    number: text('number').notNull(),
    status: text('status', { enum: MEMBER_STATUSES }).notNull().default('active'),
    joinedOn: date('joined_on').notNull(),
    commitmentScore: smallint('commitment_score'),
    commitmentScoredAt: timestamp('commitment_scored_at', { withTimezone: true }),
    churnRisk: smallint('churn_risk'),
    riskLevel: text('risk_level', { enum: RISK_LEVELS }),
    riskScoredAt: timestamp('risk_scored_at', { withTimezone: true }),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('members_number_key').on(table.tenantId, table.number),
  ],
);

/** One check-in, or a booking that was missed (`attended` false). */
export const visits = gymSchema.table(
  'visits',
  {
    tenantId: tenantId(),
    id: id(),
    memberId: uuid('member_id').notNull(),
    visitedAt: timestamp('visited_at', { withTimezone: true }).notNull(),
    attended: boolean('attended').notNull().default(true),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    foreignKey({
      name: 'visits_member_fkey',
      columns: [table.tenantId, table.memberId],
      foreignColumns: [members.tenantId, members.id],
    }),
    uniqueIndex('visits_member_time').on(table.tenantId, table.memberId, table.visitedAt),
  ],
);

export const coaches = gymSchema.table(
  'coaches',
  {
    tenantId: tenantId().references(() => gyms.tenantId),
    id: id(),
    number: text('number').notNull(),
    active: boolean('active').notNull().default(true),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('coaches_number_key').on(table.tenantId, table.number),
  ],
);

export const coachMembers = gymSchema.table(
  'coach_members',
  {
    tenantId: tenantId(),
    coachId: uuid('coach_id').notNull(),
    memberId: uuid('member_id').notNull(),
    assignedOn: date('assigned_on').notNull().default(sql`current_date`),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.coachId, table.memberId] }),
    foreignKey({
      name: 'coach_members_coach_fkey',
      columns: [table.tenantId, table.coachId],
      foreignColumns: [coaches.tenantId, coaches.id],
    }),
    foreignKey({
      name: 'coach_members_member_fkey',
      columns: [table.tenantId, table.memberId],
      foreignColumns: [members.tenantId, members.id],
    }),
    index('coach_members_member').on(table.tenantId, table.memberId),
  ],
);

/** `actionDate` is a local day of the gym. */
export const coachActions = gymSchema.table(
  'coach_actions',
  {
    tenantId: tenantId(),
    id: id(),
    coachId: uuid('coach_id').notNull(),
    memberId: uuid('member_id').notNull(),
    actionDate: date('action_date').notNull(),
    kind: text('kind', { enum: ACTION_KINDS }).notNull(),
    churnRisk: smallint('churn_risk').notNull(),
    riskLevel: text('risk_level', { enum: RISK_LEVELS }).notNull(),
    status: text('status', { enum: ACTION_STATUSES }).notNull().default('open'),
    createdAt: createdAt(),
  },
  (table) => [
    primaryKey({ columns: [table.tenantId, table.id] }),
    unique('coach_actions_once_a_day').on(table.tenantId, table.coachId, table.memberId, table.actionDate),
    foreignKey({
      name: 'coach_actions_coach_fkey',
      columns: [table.tenantId, table.coachId],
      foreignColumns: [coaches.tenantId, coaches.id],
    }),
    foreignKey({
      name: 'coach_actions_member_fkey',
      columns: [table.tenantId, table.memberId],
      foreignColumns: [members.tenantId, members.id],
    }),
    index('coach_actions_member').on(table.tenantId, table.memberId),
  ],
);
