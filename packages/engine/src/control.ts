import { inTransaction, isUuid, type Pool, type PoolClient } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import { type Accepted, insertOrJoin } from './accept.ts';
import type { Catalogue } from './catalogue.ts';
import { openForRetry, sealRun } from './crypto/sealed-input.ts';
import type { RunOptions } from './define-job.ts';
import { RunStateError, UnknownRunError } from './errors.ts';
import { statusOf, untilExecutedSoon, whileExecuted } from './in-hand.ts';
import { type NewRun, type NewRunParts, newRun } from './new-run.ts';
import { INPUT_DROPPED, inputKept, inputOf, payloadOf } from './payload-of.ts';
import { priorityName } from './priority.ts';
import { endRuns } from './record.ts';
import { upgradedInput } from './run-input.ts';
import { isEnded, type RunStatus } from './run-status.ts';
import { endParent } from './shard.ts';
import { storeErrors } from './store-errors.ts';

export interface ControlDeps {
  readonly ops: Pool;
  readonly catalogue: Catalogue;
  readonly crypto: FieldCrypto;
  readonly wake: (queues: Iterable<string>) => void;
  readonly announce: (ended: readonly (readonly [string, RunStatus])[]) => void;
  /** Asks the worker that has the run in hand to stop; best effort. */
  readonly requestCancel: (runId: string) => void;
}

interface EndedRun {
  readonly id: string;
  readonly tenant_id: string;
  readonly job: string;
  readonly priority: number;
  readonly outcome: RunStatus;
  readonly options: RunOptions;
  readonly input: unknown;
  readonly input_version: number;
  readonly tick_date: string | null;
  readonly failed_items: number;
  readonly parent_id: string | null;
  readonly replay_of: string | null;
  /** False: the partition that held its input has been dropped. */
  readonly input_kept: boolean;
}

type Idempotency = NewRun['idempotency'] | undefined;

/** What people do to runs. `tenantId` null acts for the platform; a tenant's caller finds only that tenant's runs. */
export function createControl(deps: ControlDeps) {
  /** Errors: `UnknownRunError`. */
  async function endedRun(client: PoolClient, id: string, tenantId: string | null): Promise<EndedRun> {
    if (!isUuid(id)) throw new UnknownRunError(id);
    const { rows } = await client.query<EndedRun>(
      `SELECT r.id, r.tenant_id, r.job, r.input_version, r.priority, r.outcome, r.options, r.tick_date::text, r.failed_items, r.parent_id, r.replay_of, coalesce(${inputOf('r')}, '{}') AS input,
         ${inputKept('r')} AS input_kept
       FROM ops.runs r LEFT JOIN ${payloadOf('r')} WHERE r.id = $1 AND ($2::uuid IS NULL OR r.tenant_id = $2)`,
      [id, tenantId],
    );
    const [row] = rows;
    if (row?.parent_id)
      throw new RunStateError(id, row.outcome, `it is a shard of run '${row.parent_id}': do that one again.`);
    if (row?.input_kept === false) throw new RunStateError(id, row.outcome, INPUT_DROPPED);
    if (row !== undefined) return row;
    const open = await client.query<{ state: string }>(
      `SELECT ${statusOf('o')} AS state FROM ops.open_runs o WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2)`,
      [id, tenantId],
    );
    if (open.rows[0] !== undefined)
      throw new RunStateError(id, open.rows[0].state, 'it has not ended yet; cancel it or wait.');
    throw new UnknownRunError(id);
  }

  /** A new run like an ended one. It joins an open run of the same job instead, where only one may be open. */
  async function again(
    run: EndedRun,
    client: PoolClient,
    actor: string,
    link: Pick<NewRunParts, 'retryOf' | 'replayOf'>,
    idempotency: Idempotency,
  ): Promise<Accepted> {
    const job = deps.catalogue.get(run.job);
    const made = newRun({
      job,
      tenantId: run.tenant_id,
      input: upgradedInput(job, run, await openForRetry(deps.crypto, { ...run, tenantId: run.tenant_id }, run.input)),
      options: { ...job.options, ...run.options },
      actor,
      priority: priorityName(run.priority),
      ...(run.tick_date === null ? {} : { tickDate: run.tick_date }),
      ...link,
      idempotency,
    });
    const accepted = await insertOrJoin(client, await sealRun(deps.crypto, made));
    if (accepted.joined && run.tick_date !== null && (await dateOf(client, accepted.id)) !== run.tick_date)
      throw new RunStateError(
        run.id,
        run.outcome,
        `run '${accepted.id}' of another date is open: do it again when that has ended.`,
      );
    return accepted;
  }

  return {
    /**
     * Ends a run that waits, at once; asks a running one to stop, which it does between batches. Resolves to its status.
     * Errors: `UnknownRunError`, `RunStateError` when it has ended.
     */
    async cancel(id: string, actor: string, tenantId: string | null): Promise<RunStatus> {
      if (!isUuid(id)) throw new UnknownRunError(id);
      const { status, inHand } = await storeErrors(() =>
        inTransaction(deps.ops, [], async (client): Promise<{ status: RunStatus; inHand: string[] }> => {
          const inHand: string[] = [];
          const family = await client.query<{ id: string }>('SELECT id FROM ops.open_runs WHERE parent_id = $1', [id]);
          await untilExecutedSoon(client, [id, ...family.rows.map((shard) => shard.id)]);
          // Shards are locked before their parent, as their own ends do: the other way round the two would deadlock.
          const shards = await client.query<{ id: string }>(
            'SELECT id FROM ops.open_runs WHERE parent_id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) ORDER BY id FOR UPDATE',
            [id, tenantId],
          );
          for (const shard of shards.rows) await cancelLocked(client, shard.id, actor, tenantId, inHand);
          if (shards.rows.length === 0)
            return { status: await cancelLocked(client, id, actor, tenantId, inHand), inHand };
          await requestLocked(client, id, actor);
          return { status: (await endParent(client, deps.catalogue, id)) ?? 'blocked', inHand };
        }),
      ).catch(whileExecuted(id));
      if (isEnded(status)) deps.announce([[id, status]]);
      for (const runId of inHand) deps.requestCancel(runId);
      return status;
    },

    /** A new run of the same job, tenant, input and options, linked by `retry_of`. */
    async retry(id: string, actor: string, tenantId: string | null, idempotency?: Idempotency): Promise<Accepted> {
      const accepted = await storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          const run = await endedRun(client, id, tenantId);
          // A replay that is done again is one of the same items.
          const replayOf = run.replay_of === null ? {} : { replayOf: run.replay_of };
          return again(run, client, actor, { retryOf: run.id, ...replayOf }, idempotency);
        }),
      );
      deps.wake(deps.catalogue.queues.map((queue) => queue.name));
      return accepted;
    },

    /** A new run over the items that failed in an ended sweep, linked by `replay_of`. Errors: as `retry`, and when no item failed. */
    async replay(id: string, actor: string, tenantId: string | null, idempotency?: Idempotency): Promise<Accepted> {
      const accepted = await storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          const run = await endedRun(client, id, tenantId);
          if (run.failed_items === 0)
            throw new RunStateError(id, run.outcome, 'no item of it failed, so there is nothing to replay.');
          const left = await client.query(
            'SELECT 1 FROM ops.item_failures WHERE run_id = $1 AND replayed_by IS NULL AND notification_id IS NULL LIMIT 1',
            [id],
          );
          if (!left.rowCount)
            throw new RunStateError(id, run.outcome, 'every failed item of it has been replayed well.');
          return again(run, client, actor, { replayOf: run.id }, idempotency);
        }),
      );
      deps.wake(deps.catalogue.queues.map((queue) => queue.name));
      return accepted;
    },
  };
}

async function dateOf(client: PoolClient, id: string): Promise<string | null> {
  const { rows } = await client.query<{ date: string | null }>(
    'SELECT tick_date::text AS date FROM ops.run_view WHERE id = $1',
    [id],
  );
  return rows[0]?.date ?? null;
}

/** Ends a waiting run, whose dispatch is locked; one that runs is added to `inHand`, for its worker to be told. */
async function cancelLocked(
  client: PoolClient,
  id: string,
  actor: string,
  tenantId: string | null,
  inHand: string[],
): Promise<RunStatus> {
  const { rows } = await client.query<{ state: RunStatus; fence: number; tenant_id: string }>(
    'SELECT state, fence, tenant_id FROM ops.open_runs WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2) FOR UPDATE',
    [id, tenantId],
  );
  const [row] = rows;
  if (row === undefined) {
    const ended = await client.query<{ outcome: RunStatus }>(
      'SELECT outcome FROM ops.runs WHERE id = $1 AND ($2::uuid IS NULL OR tenant_id = $2)',
      [id, tenantId],
    );
    const outcome = ended.rows[0]?.outcome;
    if (outcome !== undefined && isEnded(outcome))
      throw new RunStateError(id, outcome, 'it has ended and can no longer be cancelled.');
    throw new UnknownRunError(id);
  }
  await requestLocked(client, id, actor);
  if (row.state === 'running') {
    inHand.push(id);
    await client.query(
      `INSERT INTO ops.audit_log (tenant_id, actor, action, run_id) VALUES ($1, $2, 'run.cancel_requested', $3)`,
      [row.tenant_id, actor, id],
    );
    return 'running';
  }
  const held = { id, fence: row.fence };
  await endRuns(
    client,
    [{ ...held, outcome: 'cancelled', result: null, errorClass: null, errorMessage: null, durationMs: 0 }],
    { worker: null, bundleSize: null, as: null },
  );
  return 'cancelled';
}

async function requestLocked(client: PoolClient, id: string, actor: string): Promise<void> {
  await client.query(
    'UPDATE ops.open_runs SET cancel_requested_at = clock_timestamp(), cancel_actor = $2 WHERE id = $1',
    [id, actor],
  );
}
