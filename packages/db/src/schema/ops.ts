import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  customType,
  date,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/**
 * Tables of the platform's memory. migrations/0001_ops.sql is what runs, with the partitions, indexes, checks, policies, triggers and
 * grants that drizzle cannot say. The hot path (accept, dispatch, claim, end) is plain SQL.
 */
export const opsSchema = pgSchema('ops');

const bytea = customType<{ data: Buffer }>({ dataType: () => 'bytea' });
/** Id of a transaction, 64 bits and never reused; as decimal text. */
const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' });

const at = (name: string) => timestamp(name, { withTimezone: true });
const now = (name: string) => at(name).notNull().default(sql`clock_timestamp()`);
const tenantId = () => uuid('tenant_id').notNull();
const count = (name: string) => integer(name).notNull().default(0);

export const tenants = opsSchema.table(
  'tenants',
  {
    id: uuid('id').primaryKey(),
    system: text('system').notNull(),
    slug: text('slug').notNull(),
    name: text('name').notNull(),
    /** IANA name. */
    zone: text('zone').notNull().default('UTC'),
    /** `system`: owns the runs that span the system's tenants. */
    kind: text('kind', { enum: ['tenant', 'system'] })
      .notNull()
      .default('tenant'),
    limits: jsonb('limits').notNull().default({}),
    createdAt: now('created_at'),
  },
  (table) => [unique().on(table.system, table.slug)],
);

/** Runs that have not ended. */
export const openRuns = opsSchema.table('open_runs', {
  id: uuid('id').primaryKey(),
  tenantId: tenantId(),
  job: text('job').notNull(),
  inputVersion: smallint('input_version').notNull(),
  queue: text('queue').notNull(),
  /** 1 (CRITICAL) to 4 (LOW). */
  priority: smallint('priority').notNull(),
  /** `dispatched` is what `dispatches` says of a queued one. */
  state: text('state').notNull(),
  attempt: smallint('attempt').notNull().default(1),
  crashes: smallint('crashes').notNull().default(0),
  fence: count('fence'),
  dueAt: now('due_at'),
  acceptedAt: now('accepted_at'),
  leaseUntil: at('lease_until'),
  startedAt: at('started_at'),
  attemptStartedAt: at('attempt_started_at'),
  worker: text('worker'),
  cursor: text('cursor'),
  expected: integer('expected'),
  processed: count('processed'),
  changed: count('changed'),
  failedItems: count('failed_items'),
  tally: jsonb('tally'),
  uniqueKey: text('unique_key'),
  triggerId: uuid('trigger_id'),
  parentId: uuid('parent_id'),
  retryOf: uuid('retry_of'),
  replayOf: uuid('replay_of'),
  afterJob: text('after_job'),
  blockedUntil: at('blocked_until'),
  staleInputs: boolean('stale_inputs').notNull().default(false),
  tickDate: date('tick_date'),
  cancelRequestedAt: at('cancel_requested_at'),
  cancelActor: text('cancel_actor'),
  snoozedUntil: at('snoozed_until'),
  actor: text('actor').notNull(),
  options: jsonb('options').notNull(),
  input: jsonb('input').notNull(),
});

/** Runs in hand, in Redis or with a worker. Its lock is the claim of those that are queued. */
export const dispatches = opsSchema.table('dispatches', {
  id: uuid('id').primaryKey(),
  queue: text('queue').notNull(),
  job: text('job').notNull(),
  /** Whose runs they are. */
  tenantIds: uuid('tenant_ids').array().notNull(),
  runs: uuid('runs').array().notNull(),
  /** In Redis: that of its runs, unless they have waited past their bound. */
  priority: smallint('priority').notNull(),
  dispatchedAt: now('dispatched_at'),
  /** Its long run was claimed; a short one is executed under the row's lock. */
  running: boolean('running').notNull().default(false),
});

/** Runs that have ended: never updated. */
export const runs = opsSchema.table('runs', {
  id: uuid('id').primaryKey(),
  tenantId: tenantId(),
  job: text('job').notNull(),
  inputVersion: smallint('input_version').notNull(),
  queue: text('queue').notNull(),
  priority: smallint('priority').notNull(),
  outcome: text('outcome').notNull(),
  attempts: smallint('attempts').notNull(),
  crashes: smallint('crashes').notNull().default(0),
  dueAt: at('due_at').notNull(),
  acceptedAt: at('accepted_at').notNull(),
  startedAt: at('started_at'),
  endedAt: now('ended_at'),
  durationMs: integer('duration_ms'),
  bundleSize: smallint('bundle_size'),
  worker: text('worker'),
  expected: integer('expected'),
  processed: count('processed'),
  changed: count('changed'),
  failedItems: count('failed_items'),
  errorClass: text('error_class'),
  errorMessage: text('error_message'),
  triggerId: uuid('trigger_id'),
  parentId: uuid('parent_id'),
  retryOf: uuid('retry_of'),
  replayOf: uuid('replay_of'),
  staleInputs: boolean('stale_inputs').notNull().default(false),
  tickDate: date('tick_date'),
  actor: text('actor').notNull(),
  options: jsonb('options').notNull(),
  /** Row of `payloads`. Null: the input was `{}` and there was no result. */
  payloadId: uuid('payload_id'),
});

/** What runs were given and what they answered, a row for those that ended together. Dropped sooner than `runs`; the view `ops.run_payloads` has each run's own. */
export const payloads = opsSchema.table(
  'payloads',
  {
    /** The dispatch's, where all its runs completed; else the run's own. */
    id: uuid('id').notNull(),
    tenantId: tenantId(),
    runs: uuid('runs').array().notNull(),
    /** Each at the place of its run, as are the results. */
    inputs: jsonb('inputs').array().notNull(),
    results: jsonb('results').array(),
  },
  (table) => [primaryKey({ columns: [table.id, table.tenantId] })],
);

/** Attempts that did not end their run. */
export const attempts = opsSchema.table(
  'attempts',
  {
    runId: uuid('run_id').notNull(),
    attempt: smallint('attempt').notNull(),
    seq: bigint('seq', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    tenantId: tenantId(),
    outcome: text('outcome', { enum: ['failed', 'timeout', 'crashed', 'interrupted', 'lost'] }).notNull(),
    errorClass: text('error_class'),
    errorMessage: text('error_message'),
    worker: text('worker'),
    startedAt: at('started_at'),
    endedAt: now('ended_at'),
    retryAt: at('retry_at'),
  },
  (table) => [primaryKey({ columns: [table.runId, table.attempt, table.seq] })],
);

export const itemFailures = opsSchema.table(
  'item_failures',
  {
    runId: uuid('run_id').notNull(),
    itemKey: text('item_key').notNull(),
    tenantId: tenantId(),
    errorClass: text('error_class').notNull(),
    errorMessage: text('error_message').notNull(),
    attempt: smallint('attempt').notNull(),
    at: now('at'),
    /** Set where it is a message that could not be delivered, and no item. */
    notificationId: uuid('notification_id'),
    replayedBy: uuid('replayed_by'),
  },
  (table) => [primaryKey({ columns: [table.runId, table.itemKey] })],
);

export const schedules = opsSchema.table(
  'schedules',
  {
    id: uuid('id').primaryKey(),
    job: text('job').notNull(),
    tenantSelector: jsonb('tenant_selector').notNull().default({ all: true }),
    cron: text('cron').notNull(),
    zone: text('zone').notNull(),
    tenantZone: text('tenant_zone'),
    dst: text('dst', { enum: ['skip', 'once', 'twice'] })
      .notNull()
      .default('once'),
    misfire: text('misfire', { enum: ['skip', 'latest', 'all'] })
      .notNull()
      .default('latest'),
    misfireWithinMs: bigint('misfire_within_ms', { mode: 'number' }),
    misfireSameDay: boolean('misfire_same_day').notNull().default(false),
    overlap: text('overlap', { enum: ['skip', 'queue'] })
      .notNull()
      .default('skip'),
    priority: smallint('priority'),
    options: jsonb('options').notNull().default({}),
    enabled: boolean('enabled').notNull().default(true),
    version: integer('version').notNull().default(1),
    edited: boolean('edited').notNull().default(false),
    nextDueAt: at('next_due_at'),
    lastDueAt: at('last_due_at'),
    pausedBy: text('paused_by'),
    pausedAt: at('paused_at'),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
    ownerTenant: uuid('owner_tenant'),
    declared: text('declared'),
    declaredAt: at('declared_at'),
    superseded: text('superseded').array().notNull().default([]),
  },
  (table) => [
    uniqueIndex('schedules_own')
      .on(table.ownerTenant, table.job, table.cron, table.zone)
      .where(sql`owner_tenant IS NOT NULL`),
  ],
);

export const ticks = opsSchema.table(
  'ticks',
  {
    scheduleId: uuid('schedule_id').notNull(),
    dueAt: at('due_at').notNull(),
    job: text('job').notNull(),
    state: text('state', { enum: ['fired', 'skipped', 'missed'] }).notNull(),
    reason: text('reason'),
    scheduleVersion: integer('schedule_version').notNull(),
    latenessMs: bigint('lateness_ms', { mode: 'number' }).notNull(),
    triggerId: uuid('trigger_id'),
    recordedAt: now('recorded_at'),
  },
  (table) => [primaryKey({ columns: [table.scheduleId, table.dueAt] })],
);

export const triggers = opsSchema.table('triggers', {
  id: uuid('id').primaryKey(),
  kind: text('kind', { enum: ['tick', 'drop-in', 'manual', 'night', 'back-fill', 'replay'] }).notNull(),
  job: text('job').notNull(),
  actor: text('actor').notNull(),
  scheduleId: uuid('schedule_id'),
  dueAt: at('due_at'),
  expectedRuns: integer('expected_runs').notNull(),
  joinedRuns: uuid('joined_runs').array().notNull().default([]),
  createdAt: now('created_at'),
});

export const idempotencyKeys = opsSchema.table(
  'idempotency_keys',
  {
    principal: text('principal').notNull(),
    tenantId: tenantId(),
    key: text('key').notNull(),
    bodySha256: bytea('body_sha256').notNull(),
    runId: uuid('run_id'),
    triggerId: uuid('trigger_id'),
    expiresAt: at('expires_at').notNull().default(sql`clock_timestamp() + interval '48 hours'`),
  },
  (table) => [primaryKey({ columns: [table.principal, table.tenantId, table.key] })],
);

const NO_UUID = `decode(repeat('00', 16), 'hex')`;
const AUDIT_ROW_HASH = `sha256(int8send(seq) || timestamptz_send(at) || xid8send(tx) || coalesce(uuid_send(tenant_id), ${NO_UUID})
  || coalesce(uuid_send(run_id), ${NO_UUID}) || int4send(length(actor)) || int4send(length(action))
  || replace(actor || action, '\\', '\\\\')::bytea || coalesce(jsonb_send(details), ''))`;

/** Append-only. */
export const auditLog = opsSchema.table(
  'audit_log',
  {
    at: now('at'),
    seq: bigint('seq', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    tx: xid8('tx').notNull().default(sql`pg_current_xact_id()`),
    tenantId: uuid('tenant_id'),
    actor: text('actor').notNull(),
    action: text('action').notNull(),
    runId: uuid('run_id'),
    details: jsonb('details'),
    /** SHA-256 of the row's bytes; which and in what order stands in migration 0005. Computed when it is read, from Postgres 18 on (0014). */
    rowHash: bytea('row_hash').generatedAlwaysAs(sql.raw(AUDIT_ROW_HASH)),
  },
  (table) => [primaryKey({ columns: [table.at, table.seq] })],
);

export const auditSeals = opsSchema.table('audit_seals', {
  seal: bigint('seal', { mode: 'number' }).primaryKey(),
  fromSeq: bigint('from_seq', { mode: 'number' }).notNull(),
  toSeq: bigint('to_seq', { mode: 'number' }).notNull(),
  belowTx: xid8('below_tx').notNull(),
  rows: bigint('rows', { mode: 'number' }).notNull(),
  root: bytea('root').notNull(),
  signature: bytea('signature').notNull(),
  keyId: text('key_id').notNull(),
  sealedAt: now('sealed_at'),
});

export const refusals = opsSchema.table(
  'refusals',
  {
    address: text('address').notNull(),
    minute: at('minute').notNull(),
    count: integer('count').notNull().default(1),
    lastMethod: text('last_method').notNull(),
    lastPath: text('last_path').notNull(),
    lastStatus: smallint('last_status').notNull(),
    lastCode: text('last_code').notNull(),
  },
  (table) => [primaryKey({ columns: [table.address, table.minute] })],
);

export const workers = opsSchema.table('workers', {
  id: text('id').primaryKey(),
  host: text('host').notNull(),
  pid: integer('pid').notNull(),
  version: text('version').notNull(),
  /** Queue → slots. */
  slots: jsonb('slots').$type<Record<string, number>>().notNull(),
  /** Job → highest input version that this worker can read. */
  jobs: jsonb('jobs').$type<Record<string, number>>().notNull(),
  stopping: boolean('stopping').notNull().default(false),
  startedAt: now('started_at'),
  heartbeatAt: now('heartbeat_at'),
});

export const pauses = opsSchema.table(
  'pauses',
  {
    kind: text('kind', { enum: ['queue', 'job', 'tenant'] }).notNull(),
    key: text('key').notNull(),
    pausedBy: text('paused_by').notNull(),
    reason: text('reason'),
    at: now('at'),
  },
  (table) => [primaryKey({ columns: [table.kind, table.key] })],
);

export const queues = opsSchema.table('queues', {
  queue: text('queue').primaryKey(),
  taken: bigint('taken', { mode: 'number' }).notNull().default(0),
  tenantCursor: uuid('tenant_cursor').notNull().default('00000000-0000-0000-0000-000000000000'),
  probeAskedAt: at('probe_asked_at'),
  probeAnsweredAt: at('probe_answered_at'),
  probeWorker: text('probe_worker'),
});

/** Starts of whatever has a rate limit, by second. */
export const limitStarts = opsSchema.table(
  'limit_starts',
  {
    /** `tenant:<id>`, `job:<name>` or `job:<name>:<tenant id>`. */
    key: text('key').notNull(),
    second: at('second').notNull(),
    starts: integer('starts').notNull(),
  },
  (table) => [primaryKey({ columns: [table.key, table.second] })],
);

export const broker = opsSchema.table('broker', {
  id: smallint('id').primaryKey().default(1),
  incarnation: uuid('incarnation').notNull().defaultRandom(),
  changedAt: now('changed_at'),
});

/** Settings of a job (`tenantId` null) or of one tenant's runs of it. */
export const jobSettings = opsSchema.table(
  'job_settings',
  {
    job: text('job').notNull(),
    tenantId: uuid('tenant_id'),
    options: jsonb('options').notNull().default({}),
    limits: jsonb('limits').notNull().default({}),
    updatedBy: text('updated_by').notNull(),
    updatedAt: now('updated_at'),
  },
  (table) => [unique().on(table.job, table.tenantId).nullsNotDistinct()],
);

export const alerts = opsSchema.table('alerts', {
  id: uuid('id').primaryKey(),
  /** One open alert a key. */
  key: text('key').notNull(),
  severity: text('severity', { enum: ['CRITICAL', 'WARNING', 'INFO'] }).notNull(),
  state: text('state', { enum: ['open', 'acknowledged', 'resolved'] })
    .notNull()
    .default('open'),
  tenantId: uuid('tenant_id'),
  job: text('job'),
  runId: uuid('run_id'),
  message: text('message').notNull(),
  count: integer('count').notNull().default(1),
  openedAt: now('opened_at'),
  lastSeenAt: now('last_seen_at'),
  acknowledgedAt: at('acknowledged_at'),
  acknowledgedBy: text('acknowledged_by'),
  resolvedAt: at('resolved_at'),
  /** `platform` when its condition went away by itself. */
  resolvedBy: text('resolved_by'),
  openingToldAt: at('opening_told_at'),
  endToldAt: at('end_told_at'),
});

/** Data keys of tenants, wrapped by a master key. */
export const tenantKeys = opsSchema.table('tenant_keys', {
  id: text('id').primaryKey(),
  tenantId: uuid('tenant_id').notNull(),
  state: text('state', { enum: ['active', 'retired'] })
    .notNull()
    .default('active'),
  masterKeyId: text('master_key_id').notNull(),
  wrapped: text('wrapped').notNull(),
  createdAt: now('created_at'),
  retiredAt: at('retired_at'),
  rewrappedAt: at('rewrapped_at'),
});

/** Tasks that ended runs generated, by type. */
export const taskCounts = opsSchema.table(
  'task_counts',
  {
    tenantId: uuid('tenant_id').notNull(),
    job: text('job').notNull(),
    type: text('type').notNull(),
    total: bigint('total', { mode: 'number' }).notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.tenantId, table.job, table.type] })],
);
