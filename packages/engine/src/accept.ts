import { setImmediate as nextTurn } from 'node:timers/promises';
import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { Catalogue } from './catalogue.ts';
import { hasPersonal } from './crypto/personal.ts';
import { sealRun, sealRuns } from './crypto/sealed-input.ts';
import type { DefinedJob, RunOptions } from './define-job.ts';
import { IdempotencyConflictError, StoreUnavailableError } from './errors.ts';
import { statusOf } from './in-hand.ts';
import { insertRuns } from './insert-runs.ts';
import type { JobSettings } from './job-settings.ts';
import { checkOfOneTenant, checkOptions, type NewRun, newRun } from './new-run.ts';
import type { Priority } from './priority.ts';
import { PG_WAKE_CHANNEL } from './redis-names.ts';
import { releaseJoined } from './release.ts';
import type { RunStatus } from './run-status.ts';
import { isDataError, storeErrors } from './store-errors.ts';
import type { Tenants } from './tenants.ts';

export interface AcceptRequest {
  readonly job: string;
  /** Id or slug; null where the job has a tenant of its own (system scope, `ops`). */
  readonly tenant: string | null;
  readonly input: unknown;
  readonly priority?: Priority | undefined;
  readonly dueAt?: Date | undefined;
  readonly options?: Partial<RunOptions> | undefined;
  readonly idempotency?: NewRun['idempotency'] | undefined;
}

export interface Accepted {
  readonly id: string;
  readonly status: RunStatus;
  /** True when a run that was there before answers for this request: same idempotency key, or an open run of a scheduled job. */
  readonly joined: boolean;
  readonly tenantId: string;
}

/** What a run takes from its job and its tenant. */
interface Terms {
  readonly job: DefinedJob;
  readonly tenantId: string;
  readonly options: RunOptions;
}

export interface AcceptDeps {
  readonly ops: Pool;
  readonly catalogue: Catalogue;
  readonly tenants: Tenants;
  readonly settings: JobSettings;
  readonly crypto: FieldCrypto;
  /** Called after commit with the queues that got runs; must not throw. */
  readonly wake: (queues: Iterable<string>) => void;
}

/** Two flights keep Postgres busy while the next batch gathers; more would only make batches smaller. */
const FLIGHTS = 2;
const BATCH = 1_000;
/** Runs of one `acceptMany` in a statement: a statement costs Postgres as much as 20 to 40 of them, so fewer do not pay. */
const MANY_A_STATEMENT = 1_000;

/** Who has waited this long for a flight that was lost to a silent Postgres is not sent into the next one: it would be late, ms. */
const LONGEST_WAIT_MS = 300;

interface Waiting {
  readonly run: NewRun;
  readonly since: number;
  readonly resolve: (accepted: Accepted) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Turns requests into durable open runs, many at a time: while a flight is in the air, requests gather; when it lands the next takes
 * them all (natural group commit, no timer).
 */
export function createAccept(deps: AcceptDeps) {
  const waiting: Waiting[] = [];
  let flights = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled || flights >= FLIGHTS || waiting.length === 0) return;
    scheduled = true;
    // After the other requests of this turn of the event loop.
    setImmediate(() => {
      scheduled = false;
      if (flights >= FLIGHTS || waiting.length === 0) return;
      flights += 1;
      fly(waiting.splice(0, BATCH)).finally(() => {
        flights -= 1;
        schedule();
      });
      schedule();
    });
  }

  async function fly(batch: Waiting[]): Promise<void> {
    try {
      const runs = batch.map((w) => w.run);
      const made = await storeErrors(() => insertRuns(deps.ops, runs));
      deps.wake(new Set(batch.filter((w) => made.has(w.run.id)).map((w) => w.run.queue)));
      const left: Waiting[] = [];
      for (const w of batch) {
        const state = made.get(w.run.id);
        if (state === undefined) left.push(w);
        else w.resolve({ id: w.run.id, status: state, joined: false, tenantId: w.run.tenantId });
      }
      await Promise.all(left.map((w) => acceptAlone(w.run).then(w.resolve, w.reject)));
    } catch (error) {
      // One bad row fails the statement for all: halve the batch until it is alone.
      if (isDataError(error) && batch.length > 1) {
        const middle = batch.length >> 1;
        await Promise.all([fly(batch.slice(0, middle)), fly(batch.slice(middle))]);
        return;
      }
      if (error instanceof StoreUnavailableError) refuse([...batch, ...takeLate()], error);
      else refuse(batch, error);
    }
  }

  function refuse(refused: readonly Waiting[], error: unknown): void {
    for (const w of refused) w.reject(error);
  }

  /** Those who have waited so long that another lost flight would be more than an answer may take. */
  function takeLate(): Waiting[] {
    const inTime = waiting.findIndex((w) => performance.now() - w.since < LONGEST_WAIT_MS);
    return waiting.splice(0, inTime === -1 ? waiting.length : inTime);
  }

  /** For the rare run that found its key taken. */
  async function acceptAlone(run: NewRun): Promise<Accepted> {
    const accepted = await storeErrors(() => inTransaction(deps.ops, [], (client) => insertOrJoin(client, run)));
    if (!accepted.joined || accepted.status === 'queued') deps.wake([run.queue]);
    return accepted;
  }

  async function prepare(request: AcceptRequest, actor: string): Promise<NewRun> {
    const job = deps.catalogue.get(request.job);
    checkOfOneTenant(job, request.tenant, request.input);
    checkOptions(job, request.options);
    return storeErrors(async () => {
      const tenant = await deps.tenants.resolve(job, request.tenant);
      const options = await deps.settings.effective(job, tenant.id, request.options ?? {});
      const run = newRun({
        job,
        tenantId: tenant.id,
        actor,
        options,
        input: request.input,
        priority: request.priority,
        dueAt: request.dueAt,
        idempotency: request.idempotency,
      });
      return run.personal.length === 0 ? run : sealRun(deps.crypto, run);
    });
  }

  /**
   * Terms of each request, up to the first that has none: why, is told when those before it have shown no error of their own. What many
   * have in common is looked up once.
   */
  async function termsOf(requests: readonly AcceptRequest[]): Promise<{ terms: readonly Terms[]; refusal: unknown }> {
    const shared = new Map<DefinedJob, Map<string | null, Terms>>();
    const terms: Terms[] = [];
    try {
      for (const request of requests) {
        const job = deps.catalogue.get(request.job);
        checkOfOneTenant(job, request.tenant, request.input);
        checkOptions(job, request.options);
        let ofJob = shared.get(job);
        if (ofJob === undefined) {
          ofJob = new Map();
          shared.set(job, ofJob);
        }
        let found = ofJob.get(request.tenant);
        if (found === undefined) {
          found = await storeErrors(async () => {
            const { id: tenantId } = await deps.tenants.resolve(job, request.tenant);
            return { job, tenantId, options: await deps.settings.effective(job, tenantId, {}) };
          });
          ofJob.set(request.tenant, found);
        }
        terms.push(found);
      }
    } catch (refusal) {
      return { terms, refusal };
    }
    return { terms, refusal: null };
  }

  function runOf(request: AcceptRequest, { job, tenantId, options }: Terms, actor: string): NewRun {
    const { input, priority, dueAt, idempotency } = request;
    return newRun({
      job,
      tenantId,
      actor,
      options: request.options === undefined ? options : { ...options, ...request.options },
      input,
      priority,
      dueAt,
      idempotency,
    });
  }

  return {
    /**
     * Resolves once the run is committed. Errors: `UnknownJobError`, `UnknownTenantError`, `InvalidInputError`,
     * `IdempotencyConflictError`, `StoreUnavailableError`.
     */
    async accept(request: AcceptRequest, actor: string): Promise<Accepted> {
      const run = await prepare(request, actor);
      // A key and a run to join at once need one transaction for both, or a crash leaves a key that names no run.
      if (run.idempotency !== null && run.uniqueKey !== null) return acceptAlone(run);
      return new Promise((resolve, reject) => {
        waiting.push({ run, since: performance.now(), resolve, reject });
        schedule();
      });
    },
    /** The same inside the caller's transaction (as ns_app or ns_ops): it is accepted when that commits. Cannot be group-committed. */
    async acceptIn(client: PoolClient, request: AcceptRequest, actor: string): Promise<Accepted> {
      const run = await prepare(request, actor);
      const accepted = await insertOrJoin(client, run);
      if (!accepted.joined || accepted.status === 'queued')
        await client.query('SELECT pg_notify($1, $2)', [PG_WAKE_CHANNEL, run.queue]);
      return accepted;
    },
    /**
     * Many at once, in order, all of them or none, in one transaction. Errors: those of `accept`, for the first request that has one.
     */
    async acceptMany(requests: readonly AcceptRequest[], actor: string): Promise<Accepted[]> {
      const { terms, refusal } = await termsOf(requests);
      const made = (from: number, to: number) =>
        terms.slice(from, to).map((term, i) => runOf(requests[from + i] as AcceptRequest, term, actor));
      if (terms.length < requests.length) {
        made(0, terms.length);
        throw refusal;
      }
      // Its keys may have to be read, and no transaction waits for that.
      const sealed = terms.some(({ job }) => hasPersonal(job.input))
        ? await storeErrors(() => sealRuns(deps.crypto, made(0, terms.length)))
        : null;
      const part = (from: number) =>
        sealed?.slice(from, from + MANY_A_STATEMENT) ?? made(from, from + MANY_A_STATEMENT);
      // The first is prepared before there is a transaction: most calls have no other, and bad ones need none.
      const first = part(0);
      const queues = new Set<string>();
      const answers = await storeErrors(() =>
        inTransaction(deps.ops, [], async (client, beforeCommit) => {
          const sent: Promise<Accepted[]>[] = [];
          for (let from = 0; from < terms.length; from += MANY_A_STATEMENT) {
            // A statement leaves when its turn of the event loop is over: Postgres is at it while the next runs are prepared.
            if (from > 0) await nextTurn();
            const runs = from === 0 ? first : part(from);
            for (const run of runs) queues.add(run.queue);
            const accepted = insertInOrder(client, runs);
            beforeCommit(accepted);
            sent.push(accepted);
            // What joins asks more of Postgres, and before the next runs are inserted.
            if (runs.some(mayJoin)) await accepted;
          }
          return sent;
        }),
      );
      deps.wake(queues);
      return (await Promise.all(answers)).flat();
    },
  };
}

function mayJoin(run: NewRun): boolean {
  return run.idempotency !== null || run.uniqueKey !== null;
}

/** Inserts the runs in one statement, sent at once; then finds for each that was left out the run that answers for it. */
async function insertInOrder(client: PoolClient, runs: readonly NewRun[]): Promise<Accepted[]> {
  const made = await insertRuns(client, runs);
  const accepted: Accepted[] = [];
  for (const run of runs) {
    const status = made.get(run.id);
    accepted.push(
      status === undefined
        ? await insertOrJoin(client, run)
        : { id: run.id, status, joined: false, tenantId: run.tenantId },
    );
  }
  return accepted;
}

/** Five tries: each time the run that stood in the way ended before it could be joined. */
const JOIN_TRIES = 5;

/** Inserts the run, or finds the one that answers for it. Errors: `IdempotencyConflictError`. */
export async function insertOrJoin(client: PoolClient, run: NewRun): Promise<Accepted> {
  for (let attempt = 1; attempt <= JOIN_TRIES; attempt++) {
    const state = (await insertRuns(client, [run])).get(run.id);
    if (state !== undefined) return { id: run.id, status: state, joined: false, tenantId: run.tenantId };
    const found = (await findByKey(client, run)) ?? (await findOpen(client, run));
    if (found !== null) return found;
    // The insert took the idempotency key and then found no run to join: give it back before the next try.
    if (run.idempotency !== null)
      await client.query('DELETE FROM ops.idempotency_keys WHERE run_id = $1 AND principal = $2', [
        run.id,
        run.idempotency.principal,
      ]);
  }
  throw new Error(`run of '${run.job}' met ${JOIN_TRIES} runs that ended while it joined them`);
}

async function findByKey(client: PoolClient, run: NewRun): Promise<Accepted | null> {
  if (run.idempotency === null) return null;
  const { principal, key, bodySha256 } = run.idempotency;
  const { rows } = await client.query<{ body_sha256: Buffer; run_id: string; status: RunStatus | null }>(
    `SELECT k.body_sha256, k.run_id, coalesce(${statusOf('o')}, r.outcome::text) AS status FROM ops.idempotency_keys k
     LEFT JOIN ops.open_runs o ON o.id = k.run_id LEFT JOIN ops.runs r ON r.id = k.run_id
     WHERE k.principal = $1 AND k.tenant_id = $2 AND k.key = $3 AND k.run_id <> $4`,
    [principal, run.tenantId, key, run.id],
  );
  const row = rows[0];
  if (row === undefined) return null;
  if (!row.body_sha256.equals(bodySha256)) throw new IdempotencyConflictError(key);
  return { id: row.run_id, status: row.status ?? 'queued', joined: true, tenantId: run.tenantId };
}

async function findOpen(client: PoolClient, run: NewRun): Promise<Accepted | null> {
  if (run.uniqueKey === null) return null;
  const { rows } = await client.query<{ id: string; state: RunStatus }>(
    `SELECT id, ${statusOf('o')} AS state FROM ops.open_runs o WHERE tenant_id = $1 AND unique_key = $2`,
    [run.tenantId, run.uniqueKey],
  );
  const row = rows[0];
  if (row === undefined) return null;
  const released = row.state === 'blocked' && (await releaseJoined(client, [row.id], 'blocked')).has(row.id);
  if (run.idempotency !== null) {
    await client.query('UPDATE ops.idempotency_keys SET run_id = $1 WHERE run_id = $2 AND principal = $3', [
      row.id,
      run.id,
      run.idempotency.principal,
    ]);
  }
  return { id: row.id, status: released ? 'queued' : row.state, joined: true, tenantId: run.tenantId };
}
