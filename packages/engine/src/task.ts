import { inSnapshot, inTransaction, type PoolClient } from '@nightshift/db';
import { type JobAlerts, jobAlerts } from './alerts/job-alerts.ts';
import { type LongRun, renewLease } from './claim.ts';
import { jobCrypto } from './crypto/job-crypto.ts';
import type { PersonalValues } from './crypto/sealed-input.ts';
import type { DefinedJob, FollowUpRequest, TaskContext, TaskJob, TenantRef } from './define-job.ts';
import { LostClaimError, PermanentError } from './errors.ts';
import { type ExecuteDeps, lazyDb, lend, notifyFor, SILENCE_GRACE_MS } from './execute/execution.ts';
import { orAborted, type Stopper } from './execute/signals.ts';
import { insertFollowUp } from './follow-up.ts';

export interface LongAttempt {
  readonly deps: ExecuteDeps;
  readonly run: LongRun;
  readonly tenant: TenantRef;
  readonly input: unknown;
  readonly personal: PersonalValues;
  readonly stopper: Stopper;
}

/** One attempt of a task. Errors: whatever it throws; `StopSignal` when it was asked to stop. */
export async function runTask(
  job: DefinedJob<TaskJob>,
  attempt: LongAttempt,
): Promise<{ result: unknown; failedItems: number }> {
  const { deps, run, tenant, input, stopper } = attempt;
  const alerts = <T>(work: (alerts: JobAlerts) => Promise<T>) =>
    ctx.transaction(({ client }) =>
      work(jobAlerts(client, { job: job.name, tenantId: tenant.id, runId: run.id, dryRun: run.options.dryRun })),
    );
  const ctx: TaskContext = {
    runId: run.id,
    tickDate: run.tickDate,
    tenant,
    now: run.startedAt,
    dryRun: run.options.dryRun,
    signal: stopper.signal,
    log: deps.log.child({ job: job.name, runId: run.id, tenant: tenant.slug }),
    worker: deps.worker,
    crypto: jobCrypto(deps.crypto, job),
    alert: (alert) => alerts((one) => one.alert(alert)),
    resolveAlert: (key, tenantId) => alerts((one) => one.resolveAlert(key, tenantId)),
    transaction: (work, limit) =>
      inTransaction(deps.app, [tenant.id], async (client) => {
        if (limit !== undefined) await allow(client, Math.ceil(limit.atMostMs));
        const lent =
          limit === undefined
            ? lend(client)
            : lend(client, { silenceMs: Math.ceil(limit.atMostMs) + SILENCE_GRACE_MS });
        const lazy = lazyDb(lent.client);
        const tx = {
          client: lent.client,
          notify: notifyFor(deps, job, lent.client, run, run.options.dryRun),
          followUp: (request: FollowUpRequest) => insertFollowUp(lent.client, deps.crypto, job, run, request),
          get db() {
            return lazy.db;
          },
        };
        const result = await work(tx).finally(lent.takeBack);
        // The last statement: it locks the row against a new owner until the commit.
        if ((await renewLease(client, run)) === null) throw new LostClaimError(run.id);
        if (run.options.dryRun) await client.query('ROLLBACK; BEGIN');
        return result;
      }),
    async snapshot(work) {
      if (job.snapshots !== true)
        throw new PermanentError(
          `'${job.name}' does not declare 'snapshots: true', so it may not read every tenant's rows`,
        );
      const { timeoutMs } = run.options;
      return inSnapshot(
        { url: deps.databaseUrl, name: 'nightshift-snapshot', timeoutMs, signal: stopper.signal },
        work,
      );
    },
  };
  return { result: (await orAborted(job.run(ctx, input), stopper.signal)) ?? null, failedItems: 0 };
}

/** The limit of a statement comes before that of its transaction: it says why, and leaves the connection whole. */
const AFTER_STATEMENT_MS = 1_000;

/** The transaction in hand, and each of its statements, may take this long. */
async function allow(client: PoolClient, atMostMs: number): Promise<void> {
  const transactionMs = atMostMs + AFTER_STATEMENT_MS;
  await client.query(`SET LOCAL statement_timeout = ${atMostMs}; SET LOCAL transaction_timeout = ${transactionMs}`);
}
