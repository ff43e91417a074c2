import type { RunStatus } from '../run-status.ts';
import { type Pools, read } from './read.ts';

const FIND = `
SELECT v.id FROM ops.run_view v
WHERE v.trigger_id IN (SELECT r.trigger_id FROM ops.run_view r WHERE r.id = ANY ($1::uuid[]) AND r.trigger_id IS NOT NULL)
  AND v.actor = ANY ($2::text[]) ORDER BY v.id`;

interface Waiter {
  readonly pools: Pools;
  waitFor(
    runIds: readonly string[],
    options: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<ReadonlyMap<string, RunStatus>>;
}

/** Ids of the runs that these asked for (`ctx.followUp`), not of those that those asked for. Runs of no trigger are not followed. */
export async function findFollowUps(pools: Pools, runIds: readonly string[]): Promise<string[]> {
  if (runIds.length === 0) return [];
  const rows = await read<{ id: string }>(pools, null, FIND, [runIds, runIds.map((id) => `run:${id}`)]);
  return rows.map((row) => row.id);
}

/**
 * Waits for the runs and, in turn, for all that they leave to follow-up runs. Resolves to every id seen and how those that ended did.
 * Errors: `StoreUnavailableError`.
 */
export async function waitWithFollowUps(
  producer: Waiter,
  runIds: readonly string[],
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<{ readonly ids: readonly string[]; readonly ended: ReadonlyMap<string, RunStatus> }> {
  const deadline = performance.now() + options.timeoutMs;
  const ids = new Set(runIds);
  const ended = new Map<string, RunStatus>();
  for (let round: readonly string[] = runIds; round.length > 0; ) {
    const timeoutMs = Math.max(0, deadline - performance.now());
    const found = await producer.waitFor(round, { timeoutMs, signal: options.signal });
    for (const [id, status] of found) ended.set(id, status);
    if (found.size < new Set(round).size) break;
    round = (await findFollowUps(producer.pools, round)).filter((id) => !ids.has(id));
    for (const id of round) ids.add(id);
  }
  return { ids: [...ids], ended };
}
