import { inTransaction, type Pool } from '@nightshift/db';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { raiseAlert } from './alerts/raise-alert.ts';
import type { Broker } from './broker.ts';
import type { Catalogue } from './catalogue.ts';
import { countCrashes, MAX_CRASHES } from './crashes.ts';
import { CrashLoopError, errorClass } from './errors.ts';
import { giveBack } from './give-back.ts';
import { createLoop, type Loop } from './loop.ts';
import { type End, endRuns, type Held } from './record.ts';
import { incarnationKey } from './redis-names.ts';
import type { RunStatus } from './run-status.ts';
import { endParent, parentsLeft } from './shard.ts';
import { isConnectionError } from './store-errors.ts';

const ROUND_MS = 2_000;
/** A dispatch this old is looked for in Redis, s. */
const LOST_AFTER_SECONDS = 15;
/** Dispatches looked for in one round. */
const LOOKED_FOR = 1_000;

export interface RecoverDeps {
  readonly ops: Pool;
  readonly catalogue: Catalogue;
  readonly redis: Redis;
  readonly namespace: string;
  readonly broker: Broker;
  readonly log: Logger;
  readonly wake: (queues: Iterable<string>) => void;
  readonly announce: (ended: readonly (readonly [string, RunStatus])[]) => void;
}

/** What can be executed of a dispatch. A sub-select that finds one row cannot be planned as a join, which would read every open run. */
const someRun = (state: string) =>
  `(SELECT true FROM ops.open_runs o WHERE o.id = ANY (d.runs) AND o.state ${state} LIMIT 1)`;

const AGED = `d.dispatched_at < clock_timestamp() - interval '${LOST_AFTER_SECONDS} seconds'`;

/** Dispatches whose runs were cancelled or put off; whoever executed one has ended it. */
const FORGET_DISPATCHES = `
DELETE FROM ops.dispatches WHERE id IN (
  SELECT id FROM ops.dispatches d WHERE ${AGED} AND ${someRun("IN ('queued', 'running')")} IS NULL FOR UPDATE SKIP LOCKED)`;

type Crashed = Awaited<ReturnType<typeof countCrashes>>;

/**
 * Counts a crash for the rows that `where` picks and puts them back; those that were to be cancelled, and with an alert those that reached
 * `MAX_CRASHES`, end instead. One
 * transaction: a run that was put back first could be handed out, and kill once more, before it ended.
 */
export async function recordCrashes(
  deps: Pick<RecoverDeps, 'ops' | 'announce' | 'log'>,
  where: Parameters<typeof countCrashes>[1],
): Promise<Crashed> {
  const { crashed, ended } = await inTransaction(deps.ops, [], async (client) => {
    const counted = await countCrashes(client, where);
    const over = counted.filter((run) => run.cancelRequested || run.crashes >= MAX_CRASHES);
    if (over.length === 0) return { crashed: counted, ended: [] };
    const ids = await endRuns(client, over.map(crashEnd), { worker: null, bundleSize: null, as: null });
    return { crashed: counted, ended: over.filter((run) => ids.has(run.id)) };
  });
  const cancelled = ended.filter((run) => run.cancelRequested);
  if (cancelled.length > 0) deps.announce(cancelled.map((run) => [run.id, 'cancelled']));
  await reportCrashLoops(
    deps,
    ended.filter((run) => !run.cancelRequested),
  );
  return crashed;
}

function crashEnd(run: Held & { crashes: number; cancelRequested: boolean }): End {
  if (run.cancelRequested)
    return { ...run, outcome: 'cancelled', result: null, errorClass: null, errorMessage: null, durationMs: null };
  const error = new CrashLoopError(run.crashes);
  return {
    ...run,
    outcome: 'failed',
    result: null,
    errorClass: errorClass(error),
    errorMessage: error.message,
    durationMs: null,
  };
}

async function reportCrashLoops(deps: Pick<RecoverDeps, 'ops' | 'announce' | 'log'>, looping: Crashed): Promise<void> {
  if (looping.length === 0) return;
  deps.announce(looping.map((run) => [run.id, 'failed']));
  for (const run of looping) {
    deps.log.error({ job: run.job, runId: run.id, crashes: run.crashes }, '[JOB FAILURE] the run kills its workers');
    await raiseAlert(deps.ops, {
      key: `crash-loop:${run.job}:${run.tenantId}`,
      severity: 'CRITICAL',
      job: run.job,
      tenantId: run.tenantId,
      runId: run.id,
      message: `A run of ${run.job} was in hand when its worker died ${run.crashes} times. It is not tried again.`,
    });
  }
}

/** The loop that finds what crashes left: an emptied Redis, lost dispatches, expired leases. Every worker runs it. */
export function createRecovery(deps: RecoverDeps): Loop {
  return createLoop('recover', deps.log, async () => {
    // Each by itself: one run that cannot be ended must not keep all others from being found.
    const errors: unknown[] = [];
    const steps = [
      expiredLeases,
      leftParents,
      forgetDispatches,
      ...(deps.redis.status === 'ready' ? [emptiedRedis, lostDispatches] : []),
    ];
    for (const step of steps) {
      if (errors.some(isConnectionError)) break;
      await step(deps).catch((error) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
    return ROUND_MS;
  });
}

async function forgetDispatches(deps: RecoverDeps): Promise<void> {
  await deps.ops.query(FORGET_DISPATCHES);
}

async function leftParents(deps: RecoverDeps): Promise<void> {
  const errors: unknown[] = [];
  for (const parent of await parentsLeft(deps.ops)) {
    await inTransaction(deps.ops, [], (client) => endParent(client, deps.catalogue, parent.id)).then(
      (outcome) => outcome !== null && deps.announce([[parent.id, outcome]]),
      (error) => errors.push(error),
    );
  }
  if (errors.length > 0) throw errors[0];
}

async function expiredLeases(deps: RecoverDeps): Promise<void> {
  const crashed = await recordCrashes(deps, 'expired-leases');
  if (crashed.length === 0) return;
  deps.log.warn(
    { runs: crashed.map((run) => run.id) },
    'leases expired: their workers died; the runs are queued again at their checkpoints',
  );
  deps.wake(new Set(crashed.map((run) => run.queue)));
}

/**
 * Postgres and Redis each hold the incarnation. Missing or different in Redis: it was emptied, or is another. Every dispatched run that is
 * not being executed (its dispatch is not locked) goes back; only then is the new incarnation written, so that a crash here repeats the work.
 */
export async function emptiedRedis(
  deps: Pick<RecoverDeps, 'ops' | 'redis' | 'namespace' | 'log' | 'wake'>,
): Promise<void> {
  const key = incarnationKey(deps.namespace);
  const copy = await deps.redis.get(key);
  const { rows } = await deps.ops.query<{ incarnation: string }>('SELECT incarnation FROM ops.broker');
  const known = rows[0]?.incarnation ?? null;
  if (copy !== null && copy === known) return;
  const fresh = await inTransaction(deps.ops, [], async (client) => {
    const locked = await client.query<{ incarnation: string }>('SELECT incarnation FROM ops.broker FOR UPDATE');
    // Another process was first: its new incarnation is in Postgres, and soon in Redis.
    if (locked.rows[0]?.incarnation !== known) return null;
    // Or it was between writing the one and the other.
    if (known !== null && (await deps.redis.get(key)) === known) return null;
    const back = await giveBack(client, 'all', []);
    const next = await client.query<{ incarnation: string }>(
      'UPDATE ops.broker SET incarnation = gen_random_uuid(), changed_at = clock_timestamp() RETURNING incarnation',
    );
    return { incarnation: next.rows[0]?.incarnation ?? '', back };
  });
  if (fresh === null) return;
  await deps.redis.set(key, fresh.incarnation);
  if (fresh.back.size > 0)
    deps.log.warn(
      { runs: [...fresh.back.values()].reduce((sum, n) => sum + n, 0) },
      'Redis was emptied: the runs that it held are queued again',
    );
  deps.wake(fresh.back.keys());
}

/** Dispatches older than 15 s whose BullMQ job is gone or finished; a long run's is there until its lease ends. */
async function lostDispatches(deps: RecoverDeps): Promise<void> {
  const { rows } = await deps.ops.query<{ queue: string; dispatch_id: string }>(
    `SELECT d.queue, d.id AS dispatch_id FROM ops.dispatches d
     WHERE ${AGED} AND NOT d.running AND ${someRun("= 'queued'")} ORDER BY d.dispatched_at LIMIT $1`,
    [LOOKED_FOR],
  );
  for (const queue of new Set(rows.map((row) => row.queue))) {
    const dispatches = rows.filter((row) => row.queue === queue).map((row) => row.dispatch_id);
    const gone = await deps.broker.gone(queue, dispatches);
    if (gone.length === 0) continue;
    const runs = (await giveBack(deps.ops, 'dispatches', [gone])).get(queue);
    if (runs !== undefined) deps.log.warn({ queue, runs }, 'dispatches were lost: their runs are queued again');
    deps.wake([queue]);
  }
}
