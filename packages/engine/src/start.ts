import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import type { FieldCrypto } from '@nightshift/db/crypto';
import type { Catalogue } from './catalogue.ts';
import { sealRuns } from './crypto/sealed-input.ts';
import type { DefinedJob, RunOptions, TenantRef } from './define-job.ts';
import { IdempotencyConflictError } from './errors.ts';
import { newId } from './id.ts';
import { insertRuns } from './insert-runs.ts';
import type { JobSettings } from './job-settings.ts';
import { checkOfOneTenant, checkOptions, type NewRun, newRun } from './new-run.ts';
import type { Priority } from './priority.ts';
import { releaseJoined } from './release.ts';
import { localDate } from './schedule/cron.ts';
import { storeErrors } from './store-errors.ts';
import { PLATFORM_TENANT, type Tenants } from './tenants.ts';

/** Why several runs are to start at once. */
export interface Cause {
  readonly kind: 'drop-in' | 'manual' | 'night' | 'back-fill';
  readonly job: string;
  /** Ids or slugs; default: every tenant of the job's system. A job of system scope has one run whatever is named. */
  readonly tenants?: readonly string[] | undefined;
  readonly input?: unknown;
  readonly options?: Partial<RunOptions> | undefined;
  readonly priority?: Priority | undefined;
  readonly scheduleId?: string | undefined;
  readonly idempotency?: NewRun['idempotency'] | undefined;
}

export interface StartedRun {
  readonly tenantId: string;
  /** Slug. */
  readonly tenant: string;
  readonly runId: string;
  /** True when an open run of another cause answers for this one. */
  readonly joined: boolean;
}

export interface Started {
  readonly triggerId: string;
  readonly runs: readonly StartedRun[];
}

const JOIN_TRIES = 5;

/** Starts a job for many tenants under one trigger, in one transaction: all of them or none. */
export function createStart(deps: {
  ops: Pool;
  catalogue: Catalogue;
  tenants: Tenants;
  settings: JobSettings;
  crypto: FieldCrypto;
  wake: (queues: Iterable<string>) => void;
}) {
  async function tenantsOf(job: DefinedJob, named: readonly string[] | undefined): Promise<readonly TenantRef[]> {
    if (job.scope === 'system') return [await deps.tenants.resolve(job, null)];
    if (named === undefined) return deps.tenants.list(job.system);
    const found = await Promise.all(named.map((tenant) => deps.tenants.resolve(job, tenant)));
    // A tenant named twice, by id and slug, has one run.
    return [...new Map(found.map((tenant) => [tenant.id, tenant])).values()];
  }

  /** Errors: `UnknownJobError`, `UnknownTenantError`, `InvalidInputError`, `StoreUnavailableError`. */
  return async function start(cause: Cause, actor: string): Promise<Started> {
    const job = deps.catalogue.get(cause.job);
    checkOfOneTenant(job, null, cause.input);
    checkOptions(job, cause.options);
    return storeErrors(async () => {
      const tenants = await tenantsOf(job, cause.tenants);
      const triggerId = newId();
      const now = new Date();
      const zone = job.schedule?.zone ?? 'UTC';
      const made: NewRun[] = [];
      for (const tenant of tenants) {
        const options = await deps.settings.effective(job, tenant.id, cause.options ?? {});
        const tickDate = localDate(now, zone === 'tenant' ? tenant.zone : zone);
        made.push(
          newRun({
            job,
            tenantId: tenant.id,
            input: cause.input,
            options,
            actor,
            priority: cause.priority,
            triggerId,
            tickDate,
          }),
        );
      }
      const runs = await sealRuns(deps.crypto, made);
      const ids = await inTransaction(deps.ops, [], async (client) => {
        const earlier = await claimKey(client, cause.idempotency, triggerId);
        if (earlier !== null) return earlier;
        const found = await insertOrJoinAll(client, runs);
        await client.query(
          `INSERT INTO ops.triggers (id, kind, job, actor, schedule_id, expected_runs, joined_runs) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
          [
            triggerId,
            cause.kind,
            job.name,
            actor,
            cause.scheduleId ?? null,
            runs.length,
            [...found.values()].filter((run) => run.joined).map((run) => run.id),
          ],
        );
        return found;
      });
      if ('triggerId' in ids) return ids;
      deps.wake(new Set(runs.map((run) => run.queue)));
      return {
        triggerId,
        runs: tenants.map((tenant) => {
          const run = ids.get(tenant.id);
          if (run === undefined) throw new Error(`no run was made or found for tenant '${tenant.slug}'`);
          return { tenantId: tenant.id, tenant: tenant.slug, runId: run.id, joined: run.joined };
        }),
      };
    });
  };
}

/**
 * Takes the idempotency key for this trigger, or finds what the request that took it started. Keys of triggers belong to no one tenant: they
 * stand under the platform's.
 * Errors: `IdempotencyConflictError`.
 */
async function claimKey(
  client: PoolClient,
  idempotency: Cause['idempotency'],
  triggerId: string,
): Promise<Started | null> {
  if (!idempotency) return null;
  const { principal, key, bodySha256 } = idempotency;
  const taken = await client.query(
    `INSERT INTO ops.idempotency_keys (principal, tenant_id, key, body_sha256, trigger_id) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
    [principal, PLATFORM_TENANT, key, bodySha256, triggerId],
  );
  if (taken.rowCount === 1) return null;
  const { rows } = await client.query<{ body_sha256: Buffer; trigger_id: string | null }>(
    'SELECT body_sha256, trigger_id FROM ops.idempotency_keys WHERE principal = $1 AND tenant_id = $2 AND key = $3',
    [principal, PLATFORM_TENANT, key],
  );
  const [row] = rows;
  if (row === undefined || row.trigger_id === null || !row.body_sha256.equals(bodySha256))
    throw new IdempotencyConflictError(key);
  const runs = await client.query<{ tenantId: string; tenant: string; runId: string; joined: boolean }>(
    `SELECT r.tenant_id AS "tenantId", n.slug AS tenant, r.id AS "runId", r.trigger_id IS DISTINCT FROM t.id AS joined
     FROM ops.triggers t JOIN ops.run_view r ON r.trigger_id = t.id OR r.id = ANY (t.joined_runs) JOIN ops.tenants n ON n.id = r.tenant_id
     WHERE t.id = $1 ORDER BY n.slug`,
    [row.trigger_id],
  );
  return { triggerId: row.trigger_id, runs: runs.rows };
}

/** Tenant → the run that was inserted, or the open one that stood in its way. */
async function insertOrJoinAll(
  client: PoolClient,
  runs: readonly NewRun[],
): Promise<Map<string, { id: string; joined: boolean }>> {
  const found = new Map<string, { id: string; joined: boolean }>();
  let left = runs;
  for (let attempt = 1; left.length > 0; attempt++) {
    if (attempt > JOIN_TRIES)
      throw new Error(`${left.length} runs met runs that ended while they joined them, ${JOIN_TRIES} times`);
    const made = await insertRuns(client, left);
    for (const run of left) if (made.has(run.id)) found.set(run.tenantId, { id: run.id, joined: false });
    left = left.filter((run) => !made.has(run.id));
    if (left.length === 0) break;
    const { rows } = await client.query<{ id: string; tenant_id: string }>(
      `SELECT o.id, o.tenant_id FROM ops.open_runs o JOIN unnest($1::uuid[], $2::text[]) AS k(tenant_id, unique_key)
       ON o.tenant_id = k.tenant_id AND o.unique_key = k.unique_key`,
      [left.map((run) => run.tenantId), left.map((run) => run.uniqueKey)],
    );
    await releaseJoined(
      client,
      rows.map((row) => row.id),
      'blocked or scheduled',
    );
    for (const row of rows) found.set(row.tenant_id, { id: row.id, joined: true });
    left = left.filter((run) => !found.has(run.tenantId));
  }
  return found;
}
