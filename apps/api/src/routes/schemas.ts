import { PRIORITIES } from '@nightshift/engine';
import { EXPLAIN_REASONS, OPEN_STATES, PAUSE_KINDS, RUN_OUTCOMES } from '@nightshift/engine/accept';
import { z } from 'zod';

export const instant = z.iso.datetime().describe('UTC, ISO 8601.');
const id = z.guid();

export const statusSchema = z.enum([...OPEN_STATES, ...RUN_OUTCOMES]).meta({ id: 'RunStatus' });
export const prioritySchema = z.enum(PRIORITIES).meta({ id: 'Priority' });

export const runSchema = z
  .strictObject({
    id,
    url: z.string(),
    tenantId: id,
    tenant: z.string().nullable().describe('Slug of the tenant.'),
    job: z.string(),
    status: statusSchema,
    priority: prioritySchema,
    attempts: z.int(),
    crashes: z.int().describe('Workers that died with this run in hand.'),
    dueAt: instant,
    acceptedAt: instant,
    startedAt: instant.nullable(),
    endedAt: instant.nullable(),
    durationMs: z.int().nullable(),
    expected: z.int().nullable().describe('Eligible items counted when the sweep began.'),
    processed: z.int(),
    changed: z.int(),
    failedItems: z.int(),
    errorClass: z.string().nullable(),
    errorMessage: z.string().nullable(),
    worker: z.string().nullable(),
    bundleSize: z.int().nullable().describe('Runs that shared one call with this one, itself included.'),
    triggerId: id.nullable(),
    parentId: id.nullable(),
    retryOf: id.nullable(),
    replayOf: id.nullable(),
    staleInputs: z.boolean().describe('Started although the job before it had not run.'),
    tickDate: z.iso.date().nullable(),
    actor: z.string(),
    options: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'Run' });

export const runDetailSchema = runSchema
  .extend({
    input: z.unknown(),
    result: z
      .unknown()
      .describe(
        'Summary or answer of the run; null while it is open and after its retention. One that is personal says `<personal>` to viewers.',
      ),
    errors: z
      .array(z.strictObject({ item: z.string(), errorClass: z.string(), errorMessage: z.string() }))
      .describe('The first 100 failed items; all of them at /failures.'),
    totalErrors: z.int(),
    cancelRequestedAt: instant.nullable(),
    afterJob: z.string().nullable(),
    blockedUntil: instant.nullable(),
  })
  .meta({ id: 'RunDetail' });

export const acceptedSchema = z
  .strictObject({
    id,
    status: statusSchema,
    url: z.string(),
    joined: z.boolean().describe('A run that was there before answers for this request.'),
  })
  .meta({ id: 'Accepted' });

export const retriedSchema = z
  .strictObject({
    count: z.int().describe('Started; in a dry run: that would be.'),
    dryRun: z.boolean(),
    more: z.boolean().describe('The limit left some out.'),
    runs: z.array(
      z.strictObject({
        id,
        retryId: id.nullable().describe('The new run.'),
        refused: z.string().nullable().describe('Why it was not retried.'),
      }),
    ),
  })
  .meta({ id: 'Retried' });

export const startedSchema = z
  .strictObject({
    triggerId: id,
    runs: z.array(z.strictObject({ id, tenantId: id, tenant: z.string(), url: z.string(), joined: z.boolean() })),
  })
  .meta({ id: 'Started' });

export const explanationSchema = z
  .strictObject({
    status: statusSchema,
    reason: z.enum(EXPLAIN_REASONS).describe('Stable.'),
    sentence: z.string().describe('For a person.'),
  })
  .meta({ id: 'Explanation' });

export const attemptSchema = z
  .strictObject({
    attempt: z.int(),
    outcome: z.string(),
    errorClass: z.string().nullable(),
    errorMessage: z.string().nullable(),
    worker: z.string().nullable(),
    startedAt: instant.nullable(),
    endedAt: instant.nullable(),
    retryAt: instant.nullable(),
  })
  .meta({ id: 'Attempt' });

export const failureSchema = z
  .strictObject({
    item: z.string(),
    errorClass: z.string(),
    errorMessage: z.string(),
    attempt: z.int(),
    at: instant,
    replayedBy: id.nullable(),
  })
  .meta({ id: 'Failure' });

export const auditSchema = z
  .strictObject({
    seq: z.int(),
    at: instant,
    tenantId: id.nullable(),
    actor: z.string(),
    action: z.string(),
    runId: id.nullable(),
    details: z.unknown(),
  })
  .meta({ id: 'AuditEvent' });

export const tickSchema = z
  .strictObject({
    dueAt: instant,
    state: z.enum(['fired', 'skipped', 'missed']),
    reason: z.string().nullable(),
    scheduleVersion: z.int(),
    latenessMs: z.int(),
    triggerId: id.nullable(),
    recordedAt: instant,
  })
  .meta({ id: 'Tick' });

export const scheduleSchema = z
  .strictObject({
    id,
    url: z.string(),
    job: z.string(),
    cron: z.string(),
    zone: z.string(),
    tenantZone: z.string().nullable(),
    tenantSelector: z.unknown(),
    ownerTenant: id.nullable().describe('Whose own schedule it is; null: a general one.'),
    dst: z.enum(['skip', 'once', 'twice']),
    misfire: z.strictObject({
      policy: z.enum(['skip', 'latest', 'all']),
      withinMs: z.int().nullable(),
      sameDay: z.boolean(),
    }),
    overlap: z.enum(['skip', 'queue']),
    after: z.string().nullable().describe('Job whose run of the same tenant and date a tick waits for.'),
    priority: prioritySchema.nullable(),
    options: z.record(z.string(), z.unknown()),
    enabled: z.boolean(),
    paused: z.strictObject({ by: z.string(), at: instant }).nullable(),
    version: z.int(),
    edited: z.boolean(),
    nextDueAt: instant.nullable(),
    lastDueAt: instant.nullable(),
    updatedAt: instant,
    lastTick: z.strictObject({ dueAt: instant, state: z.string(), reason: z.string().nullable() }).nullable(),
  })
  .meta({ id: 'Schedule' });

export const previewSchema = z
  .strictObject({
    ticks: z.array(
      z.strictObject({
        dueAt: instant.describe('Of a skipped time: when it would have been due.'),
        localTime: z.string().describe('On the clocks of the zone; of a skipped time the time that none shows.'),
        zone: z.string(),
        dst: z
          .enum(['gap-moved', 'repeated-first', 'repeated-second', 'skipped-gap'])
          .nullable()
          .describe('How a change of the clock touches it; `skipped-gap` does not fire.'),
        tenants: z.int().describe('Tenants it serves, as things are now.'),
      }),
    ),
  })
  .meta({ id: 'Preview' });

export const backFillSchema = z
  .strictObject({
    job: z.string(),
    dryRun: z.boolean(),
    runs: z.int().describe('Runs that were made; of a dry run: that would be.'),
    ticks: z.array(
      z.strictObject({
        dueAt: instant,
        date: z.iso.date().describe('Local date that its runs carry.'),
        recorded: z
          .strictObject({ state: z.string(), reason: z.string().nullable() })
          .nullable()
          .describe('What became of the tick when it was due.'),
        triggerId: id.nullable(),
        tenants: z.array(
          z.strictObject({
            tenantId: id,
            tenant: z.string(),
            runId: id.nullable().describe('The run that was made.'),
            earlier: id.nullable().describe('A run of this instant that was there before.'),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'BackFill' });

export const jobSchema = z
  .strictObject({
    name: z.string(),
    url: z.string(),
    title: z.string(),
    description: z.string(),
    system: z.string(),
    kind: z.enum(['request', 'sweep', 'task']),
    scope: z.enum(['tenant', 'system']),
    priority: prioritySchema,
    queue: z.string(),
    schedule: z.strictObject({ cron: z.string(), zone: z.string(), after: z.string().nullable() }).nullable(),
    retry: z.strictObject({
      retries: z.int(),
      delayMs: z.int(),
      backoff: z.enum(['fixed', 'exponential']),
      jitter: z.number(),
    }),
    typicalMs: z.int(),
    maxMs: z.int(),
    targets: z.strictObject({ successAbove: z.number(), errorsBelow: z.number() }),
    options: z.record(z.string(), z.unknown()),
    platformOnly: z.boolean(),
  })
  .meta({ id: 'Job' });

const amount = z.int().optional();
const limitsSchema = z.strictObject({
  concurrency: amount.describe('Runs in hand at once.'),
  perMinute: amount.describe('Starts within any 60 s, retries too.'),
});
const jobLimitsSchema = limitsSchema.extend({
  perTenantConcurrency: amount.describe('Runs of one tenant in hand at once.'),
});
const pausedSchema = z.strictObject({ by: z.string(), reason: z.string().nullable(), at: instant }).nullable();

const jobSettingsSchema = z
  .strictObject({
    tenantId: id.nullable(),
    tenant: z.string().nullable().describe('Slug; null: of all tenants.'),
    options: z.record(z.string(), z.unknown()),
    limits: jobLimitsSchema,
    updatedBy: z.string(),
    updatedAt: instant,
  })
  .meta({ id: 'JobSettings' });

export const jobDetailSchema = jobSchema
  .extend({
    inputVersion: z.int(),
    inputSchema: z.record(z.string(), z.unknown()),
    limits: jobLimitsSchema.describe('As declared.'),
    settings: z
      .array(jobSettingsSchema)
      .describe('What was set at run time, for all tenants first. A tenant’s token sees its own.'),
    paused: pausedSchema,
  })
  .meta({ id: 'JobDetail' });

export const tenantDetailSchema = z
  .strictObject({
    id,
    system: z.string(),
    slug: z.string(),
    name: z.string(),
    zone: z.string(),
    limits: limitsSchema,
    paused: pausedSchema,
  })
  .meta({ id: 'TenantDetail' });

export const tenantSchema = z
  .strictObject({ id, system: z.string(), slug: z.string(), name: z.string(), zone: z.string() })
  .meta({ id: 'Tenant' });

export const pauseSchema = z
  .strictObject({
    kind: z.enum(PAUSE_KINDS),
    key: z.string().describe('Name of the queue or job; id of the tenant.'),
    by: z.string(),
    reason: z.string().nullable(),
    at: instant,
  })
  .meta({ id: 'PauseInForce' });

const depthFields = {
  waiting: z.int().describe('Due and not yet handed out.'),
  oldestWaitingSeconds: z.number(),
  scheduled: z.int().describe('Due later: delayed, put off or to be retried.'),
  blocked: z.int().describe('Waiting for another run.'),
  dispatched: z.int().describe('In Redis, or in the hands of a worker.'),
  running: z.int(),
};

export const queueSchema = z
  .strictObject({
    queue: z.string(),
    kind: z.enum(['short', 'long']),
    ...depthFields,
    slots: z.int().describe('Of live workers.'),
    workers: z.int(),
    paused: z.strictObject({ by: z.string(), reason: z.string().nullable(), at: instant }).nullable(),
    probe: z
      .strictObject({
        askedAt: instant,
        answeredAt: instant.nullable(),
        worker: z.string().nullable(),
        seconds: z.number().describe('From asking to the answer; while that is out, so far.'),
      })
      .nullable()
      .describe('The latest sign of life: an empty dispatch that a worker answered.'),
    byPriority: z.array(z.strictObject({ priority: prioritySchema, ...depthFields })),
  })
  .meta({ id: 'Queue' });

export const alertSchema = z
  .strictObject({
    id,
    key: z.string().describe('Names the condition; what stands before the first colon is its kind.'),
    severity: z.enum(['CRITICAL', 'WARNING', 'INFO']),
    state: z.enum(['open', 'acknowledged', 'resolved']),
    tenantId: id.nullable(),
    job: z.string().nullable(),
    runId: id.nullable(),
    message: z.string(),
    count: z.int().describe('Times it was seen since it was opened.'),
    openedAt: instant,
    lastSeenAt: instant,
    acknowledgedAt: instant.nullable(),
    acknowledgedBy: z.string().nullable(),
    resolvedAt: instant.nullable(),
    resolvedBy: z.string().nullable().describe('`platform` when its condition went away by itself.'),
  })
  .meta({ id: 'Alert' });

export function pageSchema(item: z.ZodType): z.ZodType {
  return z.strictObject({ items: z.array(item), nextCursor: z.string().nullable() });
}

/** Query parameters of every list. */
export const pageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^\d{1,3}$/, { error: 'expected a whole number from 1 to 200' })
    .transform(Number)
    .pipe(z.int().min(1).max(200))
    .default(50)
    .describe('Items of one page, 1 to 200.'),
  cursor: z.string().min(1).max(1_000).optional().describe('nextCursor of the page before.'),
});

export const idParams = z.strictObject({ id: z.guid() });

/** An instant in a query or body, as a Date. */
export const instantInput = z.iso
  .datetime({ offset: true })
  .transform((text) => new Date(text))
  .describe('ISO 8601 with a zone, such as 2026-11-21T22:00:00Z.');
