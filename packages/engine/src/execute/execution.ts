import type { Pool, PoolClient } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { Logger } from 'pino';
import type { Catalogue } from '../catalogue.ts';
import type { DefinedJob, SqlClient } from '../define-job.ts';
import { createNotify, type Notify, type Origin } from '../notifications/notify.ts';
import { type RetryPolicy, retryPolicy } from '../policy.ts';
import { priorityName } from '../priority.ts';
import type { RunStatus } from '../run-status.ts';
import { isPassing } from '../store-errors.ts';
import type { Tenants } from '../tenants.ts';

/** What executing needs of its process. */
export interface ExecuteDeps {
  readonly app: Pool;
  readonly ops: Pool;
  /** For what needs a connection of its own. */
  readonly databaseUrl: string;
  readonly catalogue: Catalogue;
  readonly tenants: Tenants;
  readonly worker: string;
  /** With every key: a handler gets `jobCrypto` of it. */
  readonly crypto: FieldCrypto;
  /** Notifications were written and may be sent after the commit. */
  readonly notified: () => void;
  readonly log: Logger;
  /** Tells whoever waits that these runs have ended. After commit; must not throw. */
  readonly announce: (ended: readonly (readonly [string, RunStatus])[]) => void;
  /** Tells the dispatcher how long a run of this job took its own code, ms: what bundle sizes follow. */
  readonly measured: (job: string, msPerRun: number) => void;
  /** Tells the dispatcher that bundles of several tenants could not be executed together: for a time each goes alone. */
  readonly failedTogether: (job: string) => void;
  /** Queues that have runs or room again. */
  readonly wake: (queues: Iterable<string>) => void;
  /** Aborts when the worker stops. */
  readonly shutdown: AbortSignal;
}

/** What a BullMQ job carries: ids and safe labels. A bundle of a tenant, or of several tenants one each. */
export interface Dispatch {
  readonly id: string;
  readonly queue: string;
  readonly runs: readonly string[];
  readonly job: string;
  readonly tenantIds: readonly string[];
  /** Of each of its runs, ms. */
  readonly timeoutMs: number;
}

/** `ctx.db` costs something to make; most short jobs write plain SQL and never ask for it. */
export function lazyDb(client: PoolClient): { readonly db: NodePgDatabase } {
  let db: NodePgDatabase | undefined;
  return {
    get db() {
      db ??= drizzle(client);
      return db;
    },
  };
}

/** `ctx.notify` of a run, in the transaction that `client` is in. A shard speaks for its parent. */
export function notifyFor(
  deps: ExecuteDeps,
  job: DefinedJob,
  client: SqlClient,
  run: { readonly id: string; readonly parentId?: string | null; readonly priority: number },
  dryRun: boolean,
): Notify {
  const origin: Origin = {
    runId: run.parentId ?? run.id,
    job: job.name,
    priority: run.priority,
    dryRun,
    cap: job.maxNotifications,
  };
  const { crypto, notified } = deps;
  return createNotify(client, { crypto, notified, templates: deps.catalogue.templates }, origin);
}

/** A handler went on after its attempt was over, and would have spoken in another transaction. */
class HandlerTooLateError extends Error {
  override readonly name = 'HandlerTooLateError';
}

/** How much longer pg waits than the server works: the server's own limit comes first, and says why. */
export const SILENCE_GRACE_MS = 5_000;

/** A statement of a job's may last as long as the server lets it; one of the engine's own that is not answered sooner never will be. */
const HANDLER_SILENCE_MS = 35_000;

/** pg's `query` as a job may call it: a text or a config first. What brings its own reader (COPY) keeps its own limit. */
function patient(statement: unknown, silenceMs: number): unknown {
  if (typeof statement === 'string') return { text: statement, query_timeout: silenceMs };
  const config = statement as { submit?: unknown; query_timeout?: number };
  if (typeof config.submit === 'function' || config.query_timeout !== undefined) return config;
  // A copy would lose what a class computes, such as `text` of a SQL template.
  return Object.assign(Object.create(config), { query_timeout: silenceMs });
}

/**
 * Lends a pool's connection to a handler. What was lent no longer works once it is taken back: a handler that outlives its timeout must
 * not write into the transaction of whoever has the connection next. A statement of its is waited for `silenceMs` at most.
 * `first`: called before its first statement.
 */
export function lend(
  client: PoolClient,
  { silenceMs = HANDLER_SILENCE_MS, first }: { silenceMs?: number; first?: (() => void) | undefined } = {},
): { readonly client: PoolClient; takeBack(): void } {
  let lent = true;
  let before = first;
  const check = () => {
    if (!lent) throw new HandlerTooLateError('the attempt is over: its connection belongs to another');
  };
  const proxy = new Proxy(client, {
    get(target, property) {
      check();
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      // Again when it is called: a handler may have kept the function.
      if (property !== 'query')
        return (...args: unknown[]) => {
          check();
          return value.apply(target, args);
        };
      return (statement: unknown, ...rest: unknown[]) => {
        check();
        before?.();
        before = undefined;
        return value.call(target, patient(statement, silenceMs), ...rest);
      };
    },
  });
  return {
    client: proxy,
    takeBack() {
      lent = false;
    },
  };
}

/** `retries`: the run's own, which stand before all others. */
export function policyOf(job: DefinedJob, priority: number, retries?: number): RetryPolicy {
  return retryPolicy(priorityName(priority), retries === undefined ? job.retry : { ...job.retry, retries });
}

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/**
 * Does `work` again while it fails with an error that passes (Postgres away, a deadlock), with growing waits, until `giveUp` says so.
 * Errors: the last one.
 */
export async function untilStored<T>(
  work: () => Promise<T>,
  giveUp: (error: unknown, tries: number) => boolean,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isPassing(error) || giveUp(error, tries)) throw error;
      const base = Math.min(FIRST_WAIT_MS * 2 ** (tries - 1), LONGEST_WAIT_MS);
      await new Promise((resolve) => setTimeout(resolve, base * (0.5 + Math.random() / 2)));
    }
  }
}

/** Ids of runs that a line of the log names at most. */
const LOGGED_RUNS = 20;

/** The last line about short runs that succeeded: one for all that ended together. */
export function logSuccess(
  deps: Pick<ExecuteDeps, 'log'>,
  job: DefinedJob,
  dispatch: Dispatch,
  runs: readonly string[],
): void {
  deps.log.info(
    { job: job.name, dispatch: dispatch.id, runs: runs.slice(0, LOGGED_RUNS), ended: runs.length },
    `[JOB SUCCESS] ${job.name}`,
  );
}
