import { inTransaction, type PoolClient } from '@nightshift/db';
import { type ClaimedShort, claimFirst, claimShort } from '../claim.ts';
import { sealResults } from '../crypto/sealed-result.ts';
import type { DefinedJob, RequestJob } from '../define-job.ts';
import { closeDispatch } from '../in-hand.ts';
import { judge } from '../outcome.ts';
import { type End, endClean } from '../record.ts';
import type { RunStatus } from '../run-status.ts';
import { isPassing, scrubbed } from '../store-errors.ts';
import { type Dispatch, type ExecuteDeps, logSuccess, policyOf } from './execution.ts';
import { handleBundle, TriedError } from './handle-bundle.ts';
import { createStopper } from './signals.ts';

// Bundles of several tenants in one transaction: what a transaction costs is paid once. It is for what goes well. Whatever does not leaves nothing
// behind, and each bundle is executed by itself (short.ts).

/** True when bundles of several tenants may be executed together. What waits before its claim would have the others wait as well. */
export function mayShare(job: DefinedJob | undefined): job is DefinedJob<RequestJob> {
  return job?.kind === 'request' && job.before === undefined;
}

/** Something did not end as completed, or is somebody else's: the bundles are to be executed one by one. */
class ApartError extends Error {
  override readonly name = 'ApartError';
}

/** Resolves to false when nothing was done and each bundle is to be executed by itself. */
export async function executeTogether(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  dispatch: Dispatch,
): Promise<boolean> {
  let runs: readonly string[];
  let ownMs = 0;
  try {
    runs = await inTransaction(
      deps.app,
      dispatch.tenantIds,
      async (client, beforeCommit, begun) => {
        const claimed = await claimShort(client, dispatch, begun);
        if (claimed.length === 0) {
          await closeDispatch(client, dispatch.id);
          return [];
        }
        // Those that are not there any more may have been given back: the row of the dispatch stays for whoever asks where they are.
        if (claimed.length < dispatch.runs.length) throw new ApartError('some of its runs are not to be had');
        const bundles: Bundle[] = [];
        const narrow = narrowing(client);
        const handedAt = performance.now();
        for (const rows of byTenant(claimed)) bundles.push(await handle(deps, job, dispatch, client, rows, narrow.to));
        ownMs = performance.now() - handedAt;
        narrow.backTo(dispatch.tenantIds);
        const results: Record<string, unknown> = {};
        for (const { ends } of bundles)
          for (const { id, result } of ends) if ((result ?? null) !== null) results[id] = result;
        beforeCommit(endClean(client, { dispatchId: dispatch.id, job: job.name, bundles, results }, deps.worker));
        return claimed.map(({ id }) => id);
      },
      { first: claimFirst(dispatch.id) },
    );
  } catch (error) {
    // What a handler did or a connection did is told when the bundle is executed by itself; anything else would show nowhere.
    const expected = error instanceof ApartError || error instanceof TriedError || isPassing(error);
    deps.log[expected ? 'debug' : 'warn'](
      { job: job.name, dispatch: dispatch.id, err: { message: scrubbed(error) } },
      'bundles of several tenants are executed one by one',
    );
    deps.failedTogether(job.name);
    return false;
  }
  if (runs.length === 0) return true;
  deps.measured(job.name, ownMs / runs.length);
  deps.announce(runs.map((id): [string, RunStatus] => [id, 'completed']));
  logSuccess(deps, job, dispatch, runs);
  return true;
}

/** A bundle whose runs all completed. */
interface Bundle {
  readonly tenantId: string;
  readonly runs: number;
  readonly durationMs: number;
  readonly ends: readonly Pick<End, 'id' | 'result'>[];
}

function byTenant(rows: readonly ClaimedShort[]): ClaimedShort[][] {
  const bundles = new Map<string, ClaimedShort[]>();
  for (const row of rows) {
    const known = bundles.get(row.tenantId);
    if (known === undefined) bundles.set(row.tenantId, [row]);
    else known.push(row);
  }
  return [...bundles.values()];
}

/** Lets the transaction see one tenant's rows, from its handler's first statement on; many handlers need none. Errors come with the next statement. */
function narrowing(client: PoolClient) {
  let narrowed = false;
  // Ids that the transaction began with: they are UUIDs.
  const see = (tenantIds: readonly string[]) => {
    client.query(`SET LOCAL app.tenants = '${tenantIds.join(',')}'`).catch(() => undefined);
  };
  return {
    to(tenantId: string): void {
      narrowed = true;
      see([tenantId]);
    },
    backTo(tenantIds: readonly string[]): void {
      if (narrowed) see(tenantIds);
    },
  };
}

/** Errors: `ApartError` unless every run completed; whatever the handler throws. */
async function handle(
  deps: ExecuteDeps,
  job: DefinedJob<RequestJob>,
  dispatch: Dispatch,
  client: PoolClient,
  rows: readonly ClaimedShort[],
  narrowTo: (tenantId: string) => void,
): Promise<Bundle> {
  const tenantId = rows[0]?.tenantId ?? '';
  if (rows.some((row) => row.inputVersion > job.inputVersion)) throw new ApartError('a newer worker is needed');
  const startedAt = performance.now();
  const stopper = createStopper(dispatch.timeoutMs, deps.shutdown);
  try {
    const hand = { job, client, stopper, timeoutMs: dispatch.timeoutMs, personal: new Map() };
    const attempts = await handleBundle(deps, { first: () => narrowTo(tenantId), ...hand }, rows, null);
    let ends = attempts.map(({ run, outcome }) => {
      const verdict = judge(outcome, run.attempt, policyOf(job, run.priority));
      if (verdict.write !== 'end' || verdict.outcome !== 'completed') throw new ApartError('a run did not complete');
      return { id: run.id, result: verdict.result };
    });
    if (job.personalResult === true) ends = await sealResults(deps.crypto, tenantId, ends);
    return { tenantId, runs: rows.length, durationMs: Math.round(performance.now() - startedAt), ends };
  } finally {
    stopper.dispose();
  }
}
