import { createPool, type Pool, type PoolClient } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { Logger } from 'pino';
import { type Accepted, type AcceptRequest, createAccept } from './accept.ts';
import { type Alerts, createAlerts } from './alerts/answer-alert.ts';
import { createAnnouncer, createWaiters } from './announce.ts';
import { type AuditEvent, appendAudit, type Refusal, recordRefusal } from './audit/append.ts';
import type { Catalogue } from './catalogue.ts';
import { createControl } from './control.ts';
import { processCrypto } from './crypto/job-crypto.ts';
import type { DefinedJob, TenantRef } from './define-job.ts';
import { type BrokerState, explainRun, type RunExplanation } from './explain.ts';
import { createJobSettings } from './job-settings.ts';
import { createPauses, type Pauses } from './limits/pauses.ts';
import { createSettings, type Settings } from './limits/settings.ts';
import { connectProducer } from './redis-connect.ts';
import { cancelChannel, DEFAULT_NAMESPACE, incarnationKey, wakeChannel } from './redis-names.ts';
import { createRetryMany, type Retried, type RetryFilter } from './retry-many.ts';
import type { RunStatus } from './run-status.ts';
import type { CronRights, SchedulePatch } from './schedule/schedule-input.ts';
import { createSchedules, type Schedules } from './schedule/schedules.ts';
import { createSnooze, type Snooze } from './snooze.ts';
import { type Cause, createStart, type Started } from './start.ts';
import { createTenants } from './tenants.ts';

export interface ProducerOptions {
  /** Login role that may act as ns_app and ns_ops. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly namespace?: string | undefined;
  readonly catalogue: Catalogue;
  readonly log: Logger;
  /** As `ENCRYPTION_KEYS` (`id:base64,…`, the first is active). Without them inputs with personal fields are refused. */
  readonly encryptionKeys?: string | undefined;
  /** Connections of each of its two pools at most. */
  readonly poolMax?: number;
  /** Its pools can COPY: for imports. */
  readonly copies?: boolean;
}

export interface Producer {
  readonly pools: { readonly app: Pool; readonly ops: Pool };
  readonly catalogue: Catalogue;
  /** Encrypted columns, for callers that read and write business tables themselves. Errors: `NoKeyError` without keys. */
  readonly crypto: FieldCrypto;
  /** Durable when it resolves; many at a time share a commit. Errors: see `createAccept`. */
  accept(request: AcceptRequest, actor: string): Promise<Accepted>;
  /** In the caller's transaction: accepted when that commits. */
  acceptIn(client: PoolClient, request: AcceptRequest, actor: string): Promise<Accepted>;
  /** Many at once, in order, all of them or none. */
  acceptMany(requests: readonly AcceptRequest[], actor: string): Promise<Accepted[]>;
  /** A run for each tenant under one trigger, all or none. */
  start(cause: Cause, actor: string): Promise<Started>;
  /** Resolves to id → how it ended, when all have or the time is up. */
  waitFor(
    runIds: readonly string[],
    options: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<ReadonlyMap<string, RunStatus>>;
  /** `cancelled` when it waited, `running` when its worker was asked to stop. Errors: `UnknownRunError`, `RunStateError`. */
  cancel(runId: string, actor: string, tenantId: string | null): Promise<RunStatus>;
  retry(
    runId: string,
    actor: string,
    tenantId: string | null,
    idempotency?: AcceptRequest['idempotency'],
  ): Promise<Accepted>;
  replay(
    runId: string,
    actor: string,
    tenantId: string | null,
    idempotency?: AcceptRequest['idempotency'],
  ): Promise<Accepted>;
  resolveTenant(job: DefinedJob, idOrSlug: string | null): Promise<TenantRef>;
  tenants(system: string): Promise<readonly TenantRef[]>;
  /** `jobs`: those that the caller may start; default all. */
  retryMany(filter: RetryFilter, actor: string, tenantId: string | null, jobs?: readonly string[]): Promise<Retried>;
  /** Puts a waiting run off; see `createSnooze`. */
  readonly snooze: Snooze;
  /** Keeps a queue, a job or a tenant from starting runs; see `createPauses`. */
  readonly pause: Pauses['pause'];
  readonly resume: Pauses['resume'];
  /** Options and limits at run time; see `createSettings`. */
  readonly setJobSettings: Settings['setJobSettings'];
  readonly setTenantLimits: Settings['setTenantLimits'];
  pauseSchedule(id: string, actor: string): Promise<void>;
  resumeSchedule(id: string, actor: string): Promise<void>;
  editSchedule(id: string, patch: SchedulePatch, actor: string, rights?: CronRights): Promise<void>;
  /** Own schedules of tenants, previews, back-fills; see `createSchedules`. */
  readonly schedules: Schedules;
  syncSchedules(): Promise<void>;
  /** Raised, acknowledged, resolved; see `createAlerts`. */
  readonly alerts: Alerts;
  /** One sentence on why a run isn't running. Errors: `UnknownRunError`, `StoreUnavailableError`. */
  explain(runId: string, tenantId: string | null): Promise<RunExplanation>;
  /** Bounded at 1.5 s. */
  redisState(): Promise<'ok' | 'down'>;
  appendAudit(event: AuditEvent): Promise<void>;
  recordRefusal(refusal: Refusal): Promise<void>;
  close(): Promise<void>;
}

/** Statements of whoever must answer somebody: over this the caller is told to come back, ms. */
const ANSWER_MS = 2_500;

/** The side that accepts and controls. It needs Postgres; Redis only to be quick. */
export function createProducer(options: ProducerOptions): Producer {
  const { catalogue, log } = options;
  const namespace = options.namespace ?? DEFAULT_NAMESPACE;
  const max = options.poolMax ?? 10;
  const onIdleError = (error: Error) =>
    log.warn({ err: { message: error.message } }, 'Postgres closed an idle connection');
  const limits = {
    max,
    onIdleError,
    copies: options.copies ?? false,
    statementTimeoutMs: ANSWER_MS,
    queryTimeoutMs: ANSWER_MS,
    transactionTimeoutMs: 10_000,
  };
  const app = createPool({ url: options.databaseUrl, role: 'ns_app', name: 'nightshift-api', ...limits });
  const ops = createPool({ url: options.databaseUrl, role: 'ns_ops', name: 'nightshift-api-ops', ...limits });
  // Of its own: keys are looked up while a transaction holds one of the others, and all of those could be waiting for each other.
  const keys = createPool({ url: options.databaseUrl, role: 'ns_ops', name: 'nightshift-api-keys', ...limits, max: 2 });
  const redis = connectProducer(options.redisUrl, log);
  const publish = (channel: string, message: string) => {
    if (redis.status === 'ready') redis.publish(channel, message).catch(() => undefined);
  };
  const wake = (queues: Iterable<string>) => {
    for (const queue of queues) publish(wakeChannel(namespace), queue);
  };
  const tenants = createTenants(ops);
  const settings = createJobSettings(ops);
  const crypto = processCrypto(options.encryptionKeys, keys);
  const { accept, acceptIn, acceptMany } = createAccept({ ops, catalogue, tenants, settings, crypto, wake });
  const control = createControl({
    ops,
    catalogue,
    crypto,
    wake,
    announce: createAnnouncer(redis, namespace),
    requestCancel: (runId) => publish(cancelChannel(namespace), runId),
  });
  const schedules = createSchedules({ app, ops, catalogue, tenants, settings, log, wake });
  const pauses = createPauses({ ops, catalogue, wake });
  async function brokerState(): Promise<BrokerState> {
    if (redis.status !== 'ready') return 'down';
    try {
      const copy = await redis.get(incarnationKey(namespace));
      const { rows } = await ops.query<{ incarnation: string }>('SELECT incarnation FROM ops.broker');
      return copy === rows[0]?.incarnation ? 'ok' : 'emptied';
    } catch {
      return 'down';
    }
  }
  const waiters = createWaiters({ ops, redisUrl: options.redisUrl, namespace, log });
  return {
    pools: { app, ops },
    catalogue,
    crypto,
    accept,
    acceptIn,
    acceptMany,
    start: createStart({ ops, catalogue, tenants, settings, crypto, wake }),
    waitFor: waiters.waitFor,
    cancel: control.cancel,
    retry: control.retry,
    replay: control.replay,
    resolveTenant: tenants.resolve,
    tenants: tenants.list,
    retryMany: createRetryMany({ ops, catalogue, crypto, wake }),
    snooze: createSnooze(ops),
    pause: pauses.pause,
    resume: pauses.resume,
    ...createSettings({ ops, catalogue, wake }),
    pauseSchedule: schedules.pause,
    resumeSchedule: schedules.resume,
    editSchedule: schedules.edit,
    schedules,
    alerts: createAlerts({ ops }),
    syncSchedules: () => schedules.sync(),
    explain: (runId, tenantId) => explainRun({ app, ops }, catalogue, runId, tenantId, brokerState),
    async redisState() {
      const pong = redis.status === 'ready' ? await redis.ping().catch(() => null) : null;
      return pong === 'PONG' ? 'ok' : 'down';
    },
    appendAudit: (event) => appendAudit(ops, event),
    recordRefusal: (refusal) => recordRefusal(ops, refusal),
    async close() {
      waiters.close();
      redis.disconnect();
      await Promise.all([app.end(), ops.end(), keys.end()]);
    },
  };
}
