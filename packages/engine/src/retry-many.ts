import { inTransaction, isUuid, type Pool, type PoolClient } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { Catalogue } from './catalogue.ts';
import { openForRetry, sealRuns } from './crypto/sealed-input.ts';
import type { RunOptions } from './define-job.ts';
import { InvalidInputError, RunStateError, UnknownJobError } from './errors.ts';
import { NO_ID } from './id.ts';
import { insertRuns } from './insert-runs.ts';
import { type NewRun, newRun } from './new-run.ts';
import { INPUT_DROPPED, inputKept, inputOf, payloadOf } from './payload-of.ts';
import { priorityName } from './priority.ts';
import { uuid7Floor } from './query/runs.ts';
import { upgradedInput } from './run-input.ts';
import { storeErrors } from './store-errors.ts';

/** How runs can have ended that may be retried together. */
export const RETRYABLE = ['failed', 'cancelled', 'completed_with_item_errors'] as const;

export interface RetryFilter {
  readonly status: (typeof RETRYABLE)[number];
  readonly job?: string | undefined;
  /** Id or slug. */
  readonly tenant?: string | undefined;
  /** Accepted at or after, and before. */
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
  /** Runs at most, the oldest first; 1 to 1,000. */
  readonly limit: number;
  /** Only tell which. */
  readonly dryRun?: boolean | undefined;
  /** Also those that have been retried before. */
  readonly again?: boolean | undefined;
}

export interface Retried {
  /** Runs that were (or, in a dry run, would be) started. */
  readonly count: number;
  readonly dryRun: boolean;
  readonly runs: readonly {
    readonly id: string;
    /** The new run; null in a dry run, and when an open run of the same job already does the work or the run is refused. */
    readonly retryId: string | null;
    /** Why it was not retried, if it was not. */
    readonly refused: string | null;
  }[];
  /** True when the limit left runs out that the filter names. */
  readonly more: boolean;
}

interface EndedRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly job: string;
  readonly priority: number;
  readonly options: RunOptions;
  readonly tick_date: string | null;
  readonly input: unknown;
  readonly input_version: number;
  readonly replay_of: string | null;
  readonly input_kept: boolean;
  readonly outcome: string;
}

// Shards are their parent's to retry.
const find = (kept: 'IS TRUE' | 'IS NOT TRUE') => `
SELECT r.id, r.tenant_id, r.job, r.outcome::text, r.priority, r.input_version, r.replay_of, r.options, r.tick_date::text, coalesce(${inputOf('r')}, '{}') AS input, ${inputKept('r')} AS input_kept
FROM ops.runs r LEFT JOIN ${payloadOf('r')}
WHERE r.outcome = $1 AND r.outcome <> 'completed' AND r.parent_id IS NULL AND r.job = ANY ($2)
  AND ($3::uuid IS NULL OR r.tenant_id = $3)
  AND ($4::text IS NULL OR r.tenant_id IN (SELECT t.id FROM ops.tenants t WHERE t.slug = $4 OR t.id::text = $4))
  AND r.id >= $5::uuid AND ($6::uuid IS NULL OR r.id < $6)
  AND ($7 OR NOT (EXISTS (SELECT 1 FROM ops.runs x WHERE x.retry_of = r.id) OR EXISTS (SELECT 1 FROM ops.open_runs x WHERE x.retry_of = r.id)))
  AND ${inputKept('r')} ${kept}
ORDER BY r.id LIMIT $8`;
const KEPT = find('IS TRUE');
const GONE = find('IS NOT TRUE');

/**
 * Starts ended runs again that a filter names, each as a new run linked by `retry_of`, all in one transaction. `tenantId` null acts for the
 * platform. `jobs` are those that the caller may start. Errors: `UnknownJobError`.
 */
export function createRetryMany(deps: {
  ops: Pool;
  catalogue: Catalogue;
  crypto: FieldCrypto;
  wake: (queues: Iterable<string>) => void;
}) {
  async function named(client: PoolClient, filter: RetryFilter, tenantId: string | null, jobs: readonly string[]) {
    const values = (limit: number) => [
      filter.status,
      filter.job === undefined ? jobs : jobs.filter((job) => job === filter.job),
      tenantId,
      filter.tenant === undefined ? null : isUuid(filter.tenant) ? filter.tenant.toLowerCase() : filter.tenant,
      filter.since === undefined ? NO_ID : uuid7Floor(filter.since),
      filter.until === undefined ? null : uuid7Floor(filter.until),
      filter.again === true,
      limit,
    ];
    const { rows } = await client.query<EndedRow>(KEPT, values(filter.limit + 1));
    // What can no longer be done comes last: it is the oldest, and would stand before all others each time.
    const left = filter.limit + 1 - rows.length;
    if (left > 0) rows.push(...(await client.query<EndedRow>(GONE, values(left))).rows);
    const found = rows.slice(0, filter.limit).sort((a, b) => (a.id < b.id ? -1 : 1));
    return { found, more: rows.length > filter.limit };
  }

  return async function retryMany(
    filter: RetryFilter,
    actor: string,
    tenantId: string | null,
    jobs: readonly string[] = deps.catalogue.jobs.map((job) => job.name),
  ): Promise<Retried> {
    if (filter.job !== undefined) deps.catalogue.get(filter.job);
    const dryRun = filter.dryRun === true;
    const retried = await storeErrors(() =>
      inTransaction(deps.ops, [], async (client): Promise<Retried> => {
        // Two of these at once would each find the same runs.
        await client.query(`SELECT pg_advisory_xact_lock(hashtext('nightshift.retry-many'))`);
        const { found, more } = await named(client, filter, tenantId, jobs);
        const made: { id: string; run: NewRun | null; refused: string | null }[] = [];
        for (const run of found) made.push({ id: run.id, ...(await retryOf(deps, run, actor)) });
        const fresh = made.flatMap((one) => one.run ?? []);
        const started = dryRun ? null : await insertRuns(client, await sealRuns(deps.crypto, fresh));
        const others =
          started === null
            ? new Set()
            : await ofOtherDates(
                client,
                fresh.filter((run) => !started.has(run.id)),
              );
        const runs = made.map(({ id, run, refused }) => {
          if (run === null || started === null) return { id, retryId: null, refused };
          if (started.has(run.id)) return { id, retryId: run.id, refused: null };
          return {
            id,
            retryId: null,
            refused: others.has(run.id) ? OTHER_DATE : 'an open run of the same job does its work',
          };
        });
        const count = started === null ? fresh.length : fresh.filter((run) => started.has(run.id)).length;
        if (!dryRun) await auditRetry(client, filter, actor, tenantId, count);
        return { count, dryRun, runs, more };
      }),
    );
    if (!dryRun) deps.wake(deps.catalogue.queues.map((queue) => queue.name));
    return retried;
  };
}

const OTHER_DATE = 'an open run of the same job is for another date: ask again when that has ended';

/** Of these runs, which gave way to open ones, those whose dates are others than theirs. */
async function ofOtherDates(client: PoolClient, runs: readonly NewRun[]): Promise<ReadonlySet<unknown>> {
  const dated = runs.filter((run) => run.tickDate !== null);
  if (dated.length === 0) return new Set();
  const { rows } = await client.query<{ id: string }>(
    `SELECT g.id FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::date[]) AS g(id, tenant_id, unique_key, tick_date)
     JOIN ops.open_runs o ON o.tenant_id = g.tenant_id AND o.unique_key = g.unique_key WHERE o.tick_date IS DISTINCT FROM g.tick_date`,
    [dated.map((r) => r.id), dated.map((r) => r.tenantId), dated.map((r) => r.uniqueKey), dated.map((r) => r.tickDate)],
  );
  return new Set(rows.map((row) => row.id));
}

async function auditRetry(
  client: PoolClient,
  filter: RetryFilter,
  actor: string,
  tenantId: string | null,
  count: number,
): Promise<void> {
  await client.query(
    `INSERT INTO ops.audit_log (tenant_id, actor, action, details) VALUES ($1, $2, 'runs.retried', $3)`,
    [tenantId, actor, JSON.stringify({ filter, count })],
  );
}

/** The new run, or why there is none: an input that its job no longer takes, or that is no longer there. */
async function retryOf(
  deps: { catalogue: Catalogue; crypto: FieldCrypto },
  run: EndedRow,
  actor: string,
): Promise<{ readonly run: NewRun | null; readonly refused: string | null }> {
  try {
    if (!run.input_kept) throw new RunStateError(run.id, run.outcome, INPUT_DROPPED);
    const job = deps.catalogue.get(run.job);
    const made = newRun({
      job,
      tenantId: run.tenant_id,
      input: upgradedInput(job, run, await openForRetry(deps.crypto, { ...run, tenantId: run.tenant_id }, run.input)),
      options: { ...job.options, ...run.options },
      actor,
      priority: priorityName(run.priority),
      retryOf: run.id,
      // A replay that is done again is one of the same items.
      ...(run.replay_of === null ? {} : { replayOf: run.replay_of }),
      ...(run.tick_date === null ? {} : { tickDate: run.tick_date }),
    });
    return { run: made, refused: null };
  } catch (error) {
    if (error instanceof InvalidInputError || error instanceof UnknownJobError || error instanceof RunStateError)
      return { run: null, refused: error.message };
    throw error;
  }
}
