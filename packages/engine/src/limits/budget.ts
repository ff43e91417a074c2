import type { PoolClient } from '@nightshift/db';
import type { Candidate, QueueState, Readable } from '../dispatch-queries.ts';
import { pairKey, type QueueLimits } from './limits.ts';
import { readUsage, recordStarts, type Use } from './usage.ts';

/** What a pass may still take under the limits, and what it must pass by. */
export interface Budget {
  /** Jobs that may be dispatched: readable, not paused, with room. */
  readonly readable: Readable;
  /** Tenants that are paused or have no room. */
  readonly heldTenants: readonly string[];
  /** Jobs of tenants that have no room, by `pairKey`. */
  readonly heldPairs: readonly string[];
  /** The first of these that the limits let through, all together. */
  admit(candidates: readonly Candidate[]): readonly Candidate[];
  /** These are taken. */
  spend(runs: readonly Candidate[]): void;
  /** True once `admit` refused something: a pass that leaves it out from the start may find more. */
  readonly refused: boolean;
  /** True when something waits for runs in hand to end. */
  readonly waits: boolean;
  /** Counts what was spent of rates; in the pass' transaction. */
  record(client: PoolClient): Promise<void>;
}

/** Without limits: nothing is counted and nothing read. */
export function unlimited(readable: Readable, state: QueueState): Budget {
  return {
    readable,
    heldTenants: state.pausedTenants,
    heldPairs: [],
    admit: (candidates) => candidates,
    spend: () => undefined,
    refused: false,
    waits: false,
    record: async () => undefined,
  };
}

/**
 * Counts in the pass' transaction. Runs of one job are dispatched under the queue's lock alone; those of a tenant, and of a job with a sweep form,
 * by the passes of its system's two queues, so these take turns while such limits are counted.
 */
export async function readBudget(
  client: PoolClient,
  limits: QueueLimits,
  readable: Readable,
  state: QueueState,
): Promise<Budget> {
  if (limits.shared) {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('nightshift.tenant-limits'), hashtext($1))`, [
      limits.system,
    ]);
  }
  const usage = await readUsage(client, limits);
  const jobs = Object.keys(readable);
  const tenantFull = (id: string) => usage({ job: '', tenantId: id }).some(isFull);
  const jobFull = (job: string) => usage({ job, tenantId: '' }).some((use) => use.of === 'job' && isFull(use));
  const heldTenants = [...limits.tenants.keys()].filter(tenantFull);
  const heldPairs = await fullPairs(client, limits, jobs, (job, tenantId) => usage({ job, tenantId }).some(isFull));
  const rooms = new Map<string, number>();
  const spent = new Map<string, number>();
  const roomOf = (use: Use, left: ReadonlyMap<string, number>) =>
    left.get(`${use.kind} ${use.key}`) ?? use.limit - use.used;
  let refused = false;

  function take(run: Candidate, left: Map<string, number>): boolean {
    const uses = usage(run);
    if (uses.some((use) => roomOf(use, left) <= 0)) return false;
    for (const use of uses) left.set(`${use.kind} ${use.key}`, roomOf(use, left) - 1);
    return true;
  }

  const heldJobs = jobs.filter(jobFull);
  return {
    readable: Object.fromEntries(Object.entries(readable).filter(([job]) => !heldJobs.includes(job))),
    heldTenants: [...state.pausedTenants, ...heldTenants],
    heldPairs,
    admit(candidates) {
      const left = new Map(rooms);
      const admitted = candidates.filter((run) => take(run, left));
      refused ||= admitted.length < candidates.length;
      return admitted;
    },
    spend(runs) {
      for (const run of runs) {
        take(run, rooms);
        for (const use of usage(run)) if (use.kind === 'rate') spent.set(use.key, (spent.get(use.key) ?? 0) + 1);
      }
    },
    get refused() {
      return refused;
    },
    waits: heldTenants.length + heldJobs.length + heldPairs.length > 0,
    record: (pass) => recordStarts(pass, spent),
  };
}

function isFull(use: Use): boolean {
  return use.used >= use.limit;
}

/** Only a tenant with a limit of its own, or with runs of a job in hand that is limited for each tenant, can be at a limit of the two. */
async function fullPairs(
  client: PoolClient,
  limits: QueueLimits,
  jobs: readonly string[],
  full: (job: string, tenantId: string) => boolean,
): Promise<string[]> {
  const found = new Set<string>();
  for (const pair of limits.pairs.keys()) {
    const [job = '', tenantId = ''] = pair.split(' ');
    if (full(job, tenantId)) found.add(pair);
  }
  const each = jobs.filter((job) => limits.jobs.get(job)?.perTenantConcurrency !== undefined);
  if (each.length === 0) return [...found];
  const { rows } = await client.query<{ job: string; tenant_id: string }>(
    `SELECT DISTINCT job, unnest(tenant_ids) AS tenant_id FROM ops.dispatches WHERE queue = ANY ($1) AND job = ANY ($2)`,
    [limits.tenantQueues, each],
  );
  for (const row of rows) if (full(row.job, row.tenant_id)) found.add(pairKey(row.job, row.tenant_id));
  return [...found];
}
