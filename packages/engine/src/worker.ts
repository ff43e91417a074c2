import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { createPool, type Pool, schemaVersion, unsafeLogin } from '@nightshift/db';
import type { Worker as BullWorker } from 'bullmq';
import type { Logger } from 'pino';
import { createAlertWatch } from './alerts/alert-watch.ts';
import type { AlertMail } from './alerts/tell-alerts.ts';
import { createAnnouncer } from './announce.ts';
import { createBroker } from './broker.ts';
import type { Catalogue } from './catalogue.ts';
import { type ConsumeDeps, consumeQueue, consumeSchedules } from './consume.ts';
import { processCrypto, requireKeys } from './crypto/job-crypto.ts';
import { createDispatcher } from './dispatcher.ts';
import { DeclarationError } from './errors.ts';
import type { LongRunsInHand } from './execute/long.ts';
import { createHousekeeping } from './housekeeping.ts';
import { newId } from './id.ts';
import { createJobSettings } from './job-settings.ts';
import { listenForWakes } from './listen.ts';
import { createLiveness } from './liveness.ts';
import { createLoop } from './loop.ts';
import { createMirror } from './mirror.ts';
import { createSender, type SenderOptions } from './notifications/sender.ts';
import { createProbes } from './probe.ts';
import { createRecovery, emptiedRedis } from './recover.ts';
import { connectConsumer, connectProducer } from './redis-connect.ts';
import { cancelChannel, DEFAULT_NAMESPACE, wakeChannel } from './redis-names.ts';
import { createRest } from './rest.ts';
import { createClock } from './schedule/clock.ts';
import { CONFIRM_EVERY_MS } from './schedule/declarations.ts';
import { createSchedules } from './schedule/schedules.ts';
import { createTenants } from './tenants.ts';

export interface WorkerOptions {
  /** Login role that may act as ns_app and ns_ops. */
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly namespace?: string | undefined;
  readonly catalogue: Catalogue;
  readonly log: Logger;
  /** As `ENCRYPTION_KEYS` (`id:base64,…`, the first is active). Jobs that encrypt, decrypt or have personal input need them. */
  readonly encryptionKeys?: string | undefined;
  /** Build version, shown in `ops.workers`. */
  readonly version?: string;
  /** Runs (short: bundles) in hand at once, per queue. */
  readonly slots?: { readonly short?: number; readonly long?: number };
  /** Connections of this process at most; default what its slots need. */
  readonly poolMax?: number | undefined;
  /** Who is told of alerts; absent: nobody. */
  readonly alertMail?: AlertMail | undefined;
  /** How notifications are sent; absent: they wait for a worker that sends. */
  readonly notifications?: SenderOptions | undefined;
  /** False: schedules do not fire here. */
  readonly fireSchedules?: boolean;
  /** Payloads are dropped after so many days. */
  readonly retentionDays?: number;
  /** A probe is sent to each queue so often, by one process of the fleet; 0 or absent: never. */
  readonly canarySeconds?: number;
  /** A worker that takes nothing for so long, though it has room and work waits in Redis, is stuck; default 30. */
  readonly stuckSeconds?: number;
  /** Refuse a login that row-level security does not bind, as production must. */
  readonly refuseUnsafeLogin?: boolean;
  /** Called once when this worker is stuck: the process should exit. */
  readonly onStuck?: (queue: string) => void;
  /** The time by which schedules fire; default the database's clock. */
  readonly now?: () => Promise<Date>;
}

export interface RunningWorker {
  readonly id: string;
  /** Resolves once it is connected to Redis and takes runs. */
  readonly consuming: Promise<void>;
  /** Takes nothing more, lets what is in hand end or stop at its checkpoint, for `graceMs` at most; then leaves it to recovery. */
  stop(graceMs?: number): Promise<void>;
}

const DEFAULT_SLOTS = { short: 4, long: 4 };
const HEARTBEAT_MS = 5_000;
const STUCK_AFTER_SECONDS = 30;
const GRACE_MS = 30_000;
/** How long a stop waits for connections that are still in use, ms. */
const LAST_CONNECTIONS_MS = 1_000;
/** Longest statement of the loops, ms, and how long the engine waits for a silent server: a half-open connection must not hold it up. */
const LOOP_STATEMENT_MS = 10_000;
const SILENCE_MS = 12_000;
/** Beside a connection for each slot and its lease: the loops. */
const LOOP_CONNECTIONS = 8;

/** Starts one worker: clock, dispatcher, BullMQ workers, recovery. Errors: `DeclarationError` for slots or a schema that do not fit. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const slots = { ...DEFAULT_SLOTS, ...options.slots };
  const total = options.catalogue.queues.reduce((sum, queue) => sum + slots[queue.kind], 0);
  const poolMax = options.poolMax ?? 2 * total + LOOP_CONNECTIONS;
  if (total > poolMax / 2) {
    throw new DeclarationError('The worker cannot start', [
      `${total} slots need at least ${2 * total} connections, and it may open ${poolMax}: lower the slots or raise the pool`,
    ]);
  }
  requireKeys(options.encryptionKeys, options.catalogue);
  const id = `${hostname()}-${process.pid}-${newId().slice(-6)}`;
  const log = options.log.child({ worker: id });
  const onIdleError = (error: Error) =>
    log.warn({ err: { message: error.message } }, 'Postgres closed an idle connection');
  const appMax = Math.max(2, Math.floor(poolMax / 2));
  const app = createPool({
    url: options.databaseUrl,
    role: 'ns_app',
    max: appMax,
    name: 'nightshift-worker',
    queryTimeoutMs: SILENCE_MS,
    onIdleError,
  });
  const ops = createPool({
    url: options.databaseUrl,
    role: 'ns_ops',
    max: Math.max(2, poolMax - appMax),
    name: 'nightshift-worker-ops',
    statementTimeoutMs: LOOP_STATEMENT_MS,
    queryTimeoutMs: SILENCE_MS,
    onIdleError,
  });
  try {
    if (options.refuseUnsafeLogin === true) await requireSafeLogin(app);
    await requireCurrentSchema(ops);
    return await run(options, { id, log, slots, app, ops });
  } catch (error) {
    await Promise.all([app.end(), ops.end()]);
    throw error;
  }
}

async function requireSafeLogin(app: Pool): Promise<void> {
  const problem = await unsafeLogin(app);
  if (problem !== null) throw new DeclarationError('The worker cannot start', [problem]);
}

async function requireCurrentSchema(ops: Pool): Promise<void> {
  const schema = await schemaVersion(ops);
  if (schema.current) return;
  throw new DeclarationError('The worker cannot start', [
    `the database's schema is ${schema.database} and this build needs ${schema.build}: run 'nightshift migrate'`,
  ]);
}

interface Parts {
  readonly id: string;
  readonly log: Logger;
  readonly slots: { readonly short: number; readonly long: number };
  readonly app: Pool;
  readonly ops: Pool;
}

async function run(options: WorkerOptions, { id, log, slots, app, ops }: Parts): Promise<RunningWorker> {
  const { catalogue } = options;
  const namespace = options.namespace ?? DEFAULT_NAMESPACE;
  const redis = connectProducer(options.redisUrl, log);
  const subscriber = connectConsumer(options.redisUrl, log);
  const broker = createBroker({ redis, namespace });
  const tenants = createTenants(ops);
  const settings = createJobSettings(ops);
  const crypto = processCrypto(options.encryptionKeys, ops);
  const shutdown = new AbortController();
  const inHand: LongRunsInHand = new Map();

  const dispatcher = createDispatcher({ ops, catalogue, broker, tenants, log });
  /** Every process' dispatcher, this one's first. */
  const wake = (queues: Iterable<string>) => {
    const names = [...queues];
    dispatcher.wake(names);
    if (redis.status === 'ready')
      for (const name of names) redis.publish(wakeChannel(namespace), name).catch(() => undefined);
  };
  const announce = createAnnouncer(redis, namespace);
  const schedules = createSchedules({ app, ops, catalogue, tenants, settings, log, wake });
  const mayFire = options.fireSchedules ?? true;
  await schedules.sync({ mayFire });
  const clock = createClock({
    app,
    ops,
    catalogue,
    settings,
    log,
    wake,
    fireSchedules: mayFire,
    ...(options.now ? { now: options.now } : {}),
  });
  const sender =
    options.notifications === undefined
      ? null
      : createSender({ ...options.notifications, ops, catalogue, crypto, worker: id, log });
  const loops = [
    clock,
    createRecovery({ ops, catalogue, redis, namespace, broker, log, wake, announce }),
    createMirror({ ops, broker, catalogue, tenants, log, schedules: mayFire }),
    createHousekeeping({ ops, log, retentionDays: options.retentionDays ?? 30 }),
    createAlertWatch({ ops, log, crypto, notified: () => sender?.wake(), mail: options.alertMail }),
    createLoop('declarations', log, async () => {
      await schedules.sync({ mayFire });
      return CONFIRM_EVERY_MS;
    }),
    createLoop('heartbeat', log, () => heartbeat(ops, id, options, slots)),
    ...(options.canarySeconds
      ? [createProbes({ ops, broker, catalogue, log, everySeconds: options.canarySeconds })]
      : []),
  ];
  const { onStuck, redisUrl, stuckSeconds = STUCK_AFTER_SECONDS } = options;
  const liveness =
    onStuck === undefined
      ? null
      : createLiveness({ redisUrl, namespace, log, stuckAfterMs: stuckSeconds * 1_000, onStuck });
  const deps: ConsumeDeps = {
    app, ops, catalogue, tenants, crypto, worker: id, log, announce, wake, inHand, namespace,
    redisUrl: options.redisUrl,
    databaseUrl: options.databaseUrl,
    shutdown: shutdown.signal,
    notified: () => sender?.wake(),
    measured: dispatcher.measured,
    failedTogether: dispatcher.failedTogether,
    wakeClock: () => clock.wake(),
    freed: dispatcher.freed,
    rest: createRest(),
    ...(liveness === null ? {} : { watch: liveness.watch }),
  }; // biome-ignore format: names alone
  await heartbeat(ops, id, options, slots);
  // What waits may go as soon as this worker is known, Redis can be reached and is the one that Postgres knows: the first passes saw none of it.
  // An error is met again, and told, by the recovery.
  const begin = async () => {
    await emptiedRedis({ ops, redis, namespace, log, wake }).catch(() => undefined);
    dispatcher.wake(catalogue.queues.map((queue) => queue.name));
  };
  redis.on('ready', () => void begin());
  if (redis.status === 'ready') void begin();
  const workers = [
    ...catalogue.queues.map((queue) => consumeQueue(deps, queue, slots[queue.kind])),
    consumeSchedules(deps),
  ];
  const listener = listenForWakes(options.databaseUrl, log, (queue) => dispatcher.wake([queue]));
  subscriber.subscribe(wakeChannel(namespace), cancelChannel(namespace)).catch(() => undefined);
  subscriber.on('message', (channel, message) => {
    if (channel === cancelChannel(namespace)) inHand.get(message)?.stop('cancelled');
    else dispatcher.wake([message]);
  });
  log.info({ queues: catalogue.queues.map((queue) => queue.name), slots }, 'worker started');

  let stopped: Promise<void> | null = null;
  async function stop(graceMs: number): Promise<void> {
    await ops.query('UPDATE ops.workers SET stopping = true WHERE id = $1', [id]).catch(() => undefined);
    await liveness?.stop();
    const closing = closeAll(workers, graceMs, log);
    shutdown.abort();
    await Promise.all([
      closing,
      dispatcher.stop(),
      ...loops.map((loop) => loop.stop()),
      listener.stop(),
      sender?.stop(graceMs),
    ]);
    await ops.query('DELETE FROM ops.workers WHERE id = $1', [id]).catch(() => undefined);
    await broker.close();
    subscriber.disconnect();
    redis.disconnect();
    // A handler that did not stop keeps its connection for ever; its transaction ends with the process, or by its own limit.
    await Promise.race([Promise.all([app.end(), ops.end()]), wait(LAST_CONNECTIONS_MS, undefined, { ref: false })]);
    log.info('worker stopped');
  }

  return {
    id,
    consuming: Promise.all(workers.map((worker) => worker.waitUntilReady())).then(() => undefined),
    stop(graceMs = GRACE_MS) {
      stopped ??= stop(graceMs);
      return stopped;
    },
  };
}

async function heartbeat(
  ops: Pool,
  id: string,
  options: WorkerOptions,
  slots: { short: number; long: number },
): Promise<number> {
  const perQueue = Object.fromEntries(options.catalogue.queues.map((queue) => [queue.name, slots[queue.kind]]));
  const jobs = Object.fromEntries(options.catalogue.jobs.map((job) => [job.name, job.inputVersion]));
  await ops.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp()`,
    [id, hostname(), process.pid, options.version ?? 'dev', JSON.stringify(perQueue), JSON.stringify(jobs)],
  );
  return HEARTBEAT_MS;
}

/** BullMQ waits for what is in hand without limit; past the grace it is told not to. */
async function closeAll(workers: readonly BullWorker[], graceMs: number, log: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), graceMs);
  });
  const closed = Promise.all(workers.map((worker) => worker.close().catch(() => undefined)));
  if ((await Promise.race([closed, late])) === 'late') {
    log.warn({ graceMs }, 'runs still in hand after the grace; they are left to recovery');
    await Promise.race([
      Promise.all(workers.map((worker) => worker.close(true).catch(() => undefined))),
      new Promise((resolve) => setTimeout(resolve, 1_000)),
    ]);
  }
  clearTimeout(timer);
}
