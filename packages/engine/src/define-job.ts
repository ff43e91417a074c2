import type { Snapshot } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { JobAlerts } from './alerts/job-alerts.ts';
import { checkDeclaration } from './check-declaration.ts';
import type { JobLimits } from './limits/limits.ts';
import type { Notify } from './notifications/notify.ts';
import type { RetryPolicy } from './policy.ts';
import type { Priority } from './priority.ts';
import type { DstRule } from './schedule/cron.ts';

// A list of jobs has inputs and items of different types; `unknown` in a handler's parameters would refuse each of them.
// biome-ignore lint/suspicious/noExplicitAny: see above
type AnyInput = any;
// biome-ignore lint/suspicious/noExplicitAny: see above
type AnyItem = any;

export type Scope = 'tenant' | 'system';
export type JobKind = 'request' | 'sweep' | 'task';

/** What is asked often: Postgres plans it once a connection. Of one name there is one text, over all jobs. */
export interface NamedStatement {
  readonly name: string;
  readonly text: string;
  readonly values?: unknown[];
}

/** Plain SQL in the transaction of the batch or bundle in hand. */
export interface SqlClient {
  query<Row extends object = Record<string, unknown>>(
    statement: string | NamedStatement,
    values?: unknown[],
  ): Promise<{ rows: Row[]; rowCount: number | null }>;
}

export interface TenantRef {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  /** IANA name, such as `Asia/Kolkata`. */
  readonly zone: string;
}

/** How a run is to be executed; what is not given comes from the tenant's settings, the job's settings, then the declaration. */
export interface RunOptions {
  /** Items a batch, 1 to 10,000. */
  readonly batchSize: number;
  /** Pause between batches, ms, 0 to 60,000; holds no connection. */
  readonly batchDelayMs: number;
  /** Longest attempt, ms. */
  readonly timeoutMs: number;
  /** Run the same code and roll each batch back. */
  readonly dryRun: boolean;
  /** Parts that a big sweep is done in, side by side, 1 to 16; default what its job makes of its size. */
  readonly shards?: number;
  /** Retries after the first attempt, 0 to 20, instead of what the priority and the job say. */
  readonly retries?: number;
}

export const DEFAULT_OPTIONS: RunOptions = { batchSize: 50, batchDelayMs: 100, timeoutMs: 600_000, dryRun: false };

/** What a caller may set for one run. */
export const runOptionsSchema = z.strictObject({
  batchSize: z.int().min(1).max(10_000).optional(),
  batchDelayMs: z.int().min(0).max(60_000).optional(),
  timeoutMs: z.int().min(100).max(86_400_000).optional(),
  dryRun: z.boolean().optional(),
  shards: z.int().min(1).max(16).optional(),
  retries: z.int().min(0).max(20).optional(),
});

export interface ScheduleDeclaration {
  /** Five fields. */
  readonly cron: string;
  /** IANA name, or `tenant`: each tenant's own zone. */
  readonly zone: string;
  /** What becomes of a local time that the clock skips or repeats; default `once`. */
  readonly dst?: DstRule;
  /** What becomes of instants that passed while nothing could run. */
  readonly misfire?: { readonly policy: 'skip' | 'latest' | 'all'; readonly within?: 'same-day' | number };
  /** What a tick does when the tenant's earlier run is still open. */
  readonly overlap?: 'skip' | 'queue';
  /** A scheduled run waits until this job's run of the same tenant and date has ended, 60 min at most. */
  readonly after?: string;
  /**
   * Of the tenants that a tick serves, those that have something to do: the others get no run of it. One query for all of them, seeing their
   * rows alone. When it fails, all get their run: a tick is never lost to it. Back-fills, nights and calls ask nobody.
   */
  readonly tenants?: (ask: TenantsAsk) => Promise<readonly string[]>;
}

export interface TenantsAsk {
  readonly client: SqlClient;
  readonly now: Date;
  readonly tenantIds: readonly string[];
}

interface JobBase<Input extends z.ZodType> {
  /** `<system>.<verb-noun>`; permanent. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly scope: Scope;
  readonly priority: Priority;
  readonly retry?: Partial<RetryPolicy>;
  readonly schedule?: ScheduleDeclaration;
  /** How long a run usually takes and may take at most, ms (SPEC 3): what alerts compare with. */
  readonly typicalMs: number;
  readonly maxMs: number;
  readonly input: Input;
  readonly inputVersion?: number;
  /** Turns an input stored by an older version into this version's. Needed once `inputVersion` is above 1. */
  readonly upgrade?: (input: unknown, version: number) => unknown;
  readonly options?: Partial<RunOptions>;
  /** How many of its runs may be in hand at once, altogether or of one tenant, and be started within 60 s. */
  readonly limits?: JobLimits;
  /** Most notifications that one run may make, over all its batches; one that would make more fails. Default: no limit. */
  readonly maxNotifications?: number;
  /** Who may start it, instead of `operator` and above: `platform`: only platform tokens of `admin` or `service`; `admin`: only admins. */
  readonly access?: 'platform' | 'admin';
  /**
   * System scope: inputs whose run is one tenant's, named by the caller, and no business of the system. Such a run sees that tenant alone,
   * and its tenant's own callers may start it.
   */
  readonly ofOneTenant?: (input: z.output<Input>) => boolean;
  /** True: its handler may encrypt fields (`ctx.crypto`). */
  readonly encrypts?: boolean;
  /** True: its handler may decrypt fields as well. Others hold no key to read with. Personal input fields need neither. */
  readonly decrypts?: boolean;
}

interface Context {
  /** Start of the run by the database's clock: the `now` of every rule, the same in each batch and after a resume. */
  readonly now: Date;
  readonly dryRun: boolean;
  /** Aborted by cancel, timeout and shutdown. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly worker: string;
  /** Encrypted columns. Errors: `NoKeyError` for what the job does not declare. */
  readonly crypto: FieldCrypto;
}

/** One run inside a bundle. */
export interface RequestRun<Input> {
  readonly runId: string;
  readonly tenantId: string;
  readonly input: Input;
  /** 1-based. */
  readonly attempt: number;
}

export interface RequestContext extends Context, JobAlerts {
  readonly db: NodePgDatabase;
  readonly client: SqlClient;
  /** Messages to be sent once the transaction has committed. */
  readonly notify: Notify;
  readonly tenant: TenantRef;
}

/**
 * Result of one run of a bundle: its result, the error it fails with, or ms after which it wants to be asked again (30 days at most): what
 * it did then is undone, and no attempt is counted.
 */
export type RequestResult<Result> = { readonly ok: Result } | { readonly error: Error } | { readonly snooze: number };

interface Answering {
  /**
   * True: what it answers is personal. It is stored encrypted as a whole, opened for callers that may start runs, and says `<personal>` to
   * others. The summary of a request job's sweep is counts, and stays readable.
   */
  readonly personalResult?: boolean;
}

/**
 * One input, ad hoc; under a backlog up to 200 runs of one tenant come in one call and one transaction, which may go on with other tenants' calls: what a
 * handler sets in it (`SET LOCAL`) it has to set back.
 */
export interface RequestJob<Input extends z.ZodType = AnyInput, Result = unknown> extends JobBase<Input>, Answering {
  readonly kind: 'request';
  /**
   * Waiting that belongs to the run but not into its transaction. It runs before the claim, so another worker may repeat it after a
   * crash: it must leave nothing behind. No connection is held meanwhile.
   */
  readonly before?: (ctx: Context, runs: readonly RequestRun<z.output<Input>>[]) => Promise<void>;
  /**
   * What a run without input does: the same for every item, as a sweep of this name. It makes a job with a required input one that can be
   * scheduled. Tenant scope only.
   */
  // biome-ignore lint/suspicious/noExplicitAny: items are the sweep's own business
  readonly sweep?: SweepForm<any>;
  /** Effects of the bundle, in the transaction that ends its runs. Returns one result a run, in order. No network call in here. */
  readonly handle: (
    ctx: RequestContext,
    runs: readonly RequestRun<z.output<Input>>[],
  ) => Promise<readonly RequestResult<Result>[]>;
}

/** The date that a scheduled run is for, `YYYY-MM-DD` in its schedule's zone; null for one that was asked for by itself. */
type TickDate = string | null;

/** Another run of the same job, for what a run leaves over. */
export interface FollowUpRequest {
  readonly input: unknown;
  /** Whose run it is; default the asking run's tenant. */
  readonly tenantId?: string;
}

/**
 * Inserts another run of the same job and trigger, in the transaction in hand. Asked twice with the same input by the same run, it is one
 * run while that is open. Errors: `InvalidInputError`.
 */
export type FollowUp = (request: FollowUpRequest) => Promise<void>;

export interface SweepContext<Input> extends Context, JobAlerts {
  readonly runId: string;
  readonly tickDate: TickDate;
  readonly input: Input;
  readonly db: NodePgDatabase;
  readonly client: SqlClient;
  /** Messages to be sent once the batch has committed; in a dry run counted only. */
  readonly notify: Notify;
  readonly tenantIds: readonly string[];
  readonly tenants: readonly TenantRef[];
  readonly followUp: FollowUp;
}

export interface SweepTotals {
  readonly processed: number;
  readonly changed: number;
  readonly failed: number;
  /** Eligible items counted at the start; null when the job cannot count. */
  readonly expected: number | null;
  /** The job's own counts, summed over batches. */
  readonly tally: Readonly<Record<string, number>>;
}

/** Pages through items by key, batch by batch, from a checkpoint. */
export interface SweepJob<Input extends z.ZodType = AnyInput, Item = AnyItem> extends JobBase<Input> {
  readonly kind: 'sweep';
  readonly count?: (ctx: SweepContext<z.output<Input>>) => Promise<number>;
  /** Up to `limit` items after key `after`, in key order; a page shorter than that ends the sweep. */
  readonly items: (ctx: SweepContext<z.output<Input>>, after: string | null, limit: number) => Promise<readonly Item[]>;
  /** True: only an empty page ends the sweep, since processing a page makes items that come after it. */
  readonly untilEmpty?: boolean;
  /** Names the item in errors and is the checkpoint: unique within a tenant, ordered like `items`. */
  readonly key: (item: Item) => string;
  /**
   * Splits a big run into child runs with ranges of keys (compared as bytes), one for each `items` expected items, 16 at most. `bounds`
   * gives the last key of every part but the last, in key order.
   */
  readonly shards?: {
    readonly items: number;
    readonly bounds: (ctx: SweepContext<z.output<Input>>, parts: number) => Promise<readonly string[]>;
  };
  /** System scope: whose item it is. */
  readonly tenantOf?: (item: Item) => string;
  /** Effects of one batch. Called again with parts of it when it throws a data error. */
  readonly process: (
    ctx: SweepContext<z.output<Input>>,
    items: readonly Item[],
  ) => Promise<{ readonly changed: number; readonly tally?: Readonly<Record<string, number>> }>;
  readonly summarize: (totals: SweepTotals) => Readonly<Record<string, unknown>>;
}

export interface TaskTransaction {
  readonly db: NodePgDatabase;
  readonly client: SqlClient;
  /** Messages to be sent once the transaction has committed; in a dry run counted only. */
  readonly notify: Notify;
  readonly followUp: FollowUp;
}

/** The part of a sweep that a request job declares beside its `handle`. */
export type SweepForm<Item> = Pick<
  SweepJob<z.ZodType, Item>,
  'count' | 'items' | 'key' | 'shards' | 'process' | 'summarize'
>;

/** A task's alerts are each in a transaction of their own: they stay when the task fails afterwards. */
export interface TaskContext extends Context, JobAlerts {
  readonly runId: string;
  readonly tickDate: TickDate;
  readonly tenant: TenantRef;
  /**
   * A transaction as the run's tenant. It commits only while this worker still holds the run. It may take 30 s, or `atMostMs`: for the
   * few statements that last, such as the refresh of a view.
   */
  transaction<T>(work: (tx: TaskTransaction) => Promise<T>, limit?: { readonly atMostMs: number }): Promise<T>;
  /**
   * One consistent, read-only view of every tenant's rows (as ns_backup), on a connection of its own; closed when the run is stopped.
   * Errors: `PermanentError` in a job that does not declare `snapshots`.
   */
  snapshot<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T>;
}

/** One handler that may last: it must watch `ctx.signal`. */
export interface TaskJob<Input extends z.ZodType = AnyInput, Result = unknown> extends JobBase<Input>, Answering {
  readonly kind: 'task';
  /** True: it changes the outside world, so a dry run is refused. */
  readonly outsideEffects?: boolean;
  /** True: it may read every tenant's rows through `ctx.snapshot`. */
  readonly snapshots?: boolean;
  readonly run: (ctx: TaskContext, input: z.output<Input>) => Promise<Result>;
}

export type Job = RequestJob | SweepJob | TaskJob;

/** A declared job with every default filled in. */
export type DefinedJob<J extends Job = Job> = J & {
  readonly system: string;
  readonly queue: string;
  readonly inputVersion: number;
  readonly options: RunOptions;
  /** A request job's sweep, as a job of the same name. */
  readonly sweepForm?: DefinedJob<SweepJob>;
};

/**
 * Declares a job: checked, completed and frozen at import.
 * Errors: `DeclarationError` naming every problem at once.
 */
export function defineJob<Input extends z.ZodType, Item>(job: SweepJob<Input, Item>): DefinedJob<SweepJob<Input, Item>>;
export function defineJob<Input extends z.ZodType, Result>(
  job: RequestJob<Input, Result>,
): DefinedJob<RequestJob<Input, Result>>;
export function defineJob<Input extends z.ZodType, Result>(
  job: TaskJob<Input, Result>,
): DefinedJob<TaskJob<Input, Result>>;
export function defineJob(job: Job): DefinedJob {
  checkDeclaration(job);
  return completed(job);
}

function completed(job: Job): DefinedJob {
  const system = job.name.slice(0, job.name.indexOf('.'));
  const sweepForm = job.kind === 'request' && job.sweep !== undefined ? formOf(job, job.sweep) : undefined;
  return Object.freeze({
    ...job,
    system,
    queue: job.kind === 'request' ? system : `${system}-long`,
    inputVersion: job.inputVersion ?? 1,
    options: { ...DEFAULT_OPTIONS, ...job.options },
    ...(sweepForm === undefined ? {} : { sweepForm }),
  });
}

function formOf(job: RequestJob, form: SweepForm<AnyItem>): DefinedJob<SweepJob> {
  const { handle: _handle, before: _before, sweep: _sweep, upgrade: _upgrade, personalResult: _own, ...shared } = job;
  const sweep: SweepJob = { ...shared, ...form, kind: 'sweep', input: z.strictObject({}), upgrade: () => ({}) };
  return completed(sweep) as DefinedJob<SweepJob>;
}

/** The job as it executes this input: a request job with a sweep goes over everything when no input is given. */
export function jobForInput(job: DefinedJob, input: unknown): DefinedJob {
  const none = input === undefined || input === null || (typeof input === 'object' && Object.keys(input).length === 0);
  return none && job.sweepForm !== undefined ? job.sweepForm : job;
}

/** The job as its runs in the queue for long ones execute it. */
export function longForm(job: DefinedJob | undefined): DefinedJob<SweepJob> | DefinedJob<TaskJob> | undefined {
  if (job === undefined) return undefined;
  return job.kind === 'request' ? job.sweepForm : (job as DefinedJob<SweepJob> | DefinedJob<TaskJob>);
}

/** Queues that runs of the job may be in. */
export function queuesOfJob(job: DefinedJob): readonly string[] {
  return job.sweepForm === undefined ? [job.queue] : [job.queue, job.sweepForm.queue];
}
