import { randomUUID } from 'node:crypto';
import type { Fleet } from '../fleet/fleet.ts';
import { createLedger, type Ledger } from '../fleet/ledger.ts';
import { until } from '../fleet/until.ts';
import type { Asked } from './judge.ts';

export interface LoadOptions {
  readonly canaries: number;
  /** Requests in flight at once. */
  readonly inFlight: number;
}

/** A sweep a gym, and canaries that keep coming. */
export interface Load extends Asked {
  readonly ledger: Ledger;
  /** Resolves when the fault may come: every sweep is under way, runs wait, are dispatched and are worked on. */
  underWay(): Promise<void>;
  /** Resolves when every request has been acknowledged. */
  readonly sent: Promise<void>;
}

/** Small batches: a sweep of 1,000 members takes seconds, and has many places to be hit at. */
const SWEEP = { batchSize: 20, batchDelayMs: 60 };
/** Work of one canary, ms: what keeps slots busy. */
const WORK_MS = 40;

/** Begins to send. Every third canary fails at first, so that retries, which run alone, are always about. */
export async function startLoad(fleet: Fleet, { canaries, inFlight }: LoadOptions): Promise<Load> {
  const ledger = createLedger(fleet.caller);
  const sweeps = new Map<string, string[]>();
  for (const [index, gym] of fleet.gyms.entries()) {
    // One of them is done in shards, which end their parent.
    const options = index === 0 ? { ...SWEEP, shards: 3 } : SWEEP;
    const id = await ledger.start('gym.commitment-scores', { tenant: gym.slug, options });
    sweeps.set(gym.id, [id]);
  }
  let next = 0;
  const send = async () => {
    while (next < canaries) {
      const fail = next++ % 3 === 0 ? 'once' : 'never';
      const key = randomUUID();
      await ledger.start('ops.canary', { input: { echo: key, workMs: WORK_MS, fail } }, key);
    }
  };
  const sent = Promise.all(Array.from({ length: inFlight }, send)).then(() => undefined);
  // Whoever awaits `sent` hears of it; until then it must not end the process.
  sent.catch(() => undefined);
  return { ledger, sweeps, sent, underWay: () => untilUnderWay(fleet, sweeps.size) };
}

async function untilUnderWay(fleet: Fleet, sweeps: number): Promise<void> {
  await until('a backlog with sweeps in their middle', async () => {
    const [row] = await fleet.admin.rows<{ sweeping: number; waiting: number; dispatched: number }>(
      `SELECT count(*) FILTER (WHERE status = 'running' AND processed > 0)::int AS sweeping,
         count(*) FILTER (WHERE status IN ('queued', 'scheduled') AND job = 'ops.canary')::int AS waiting,
         count(*) FILTER (WHERE status = 'dispatched' AND job = 'ops.canary')::int AS dispatched FROM ops.run_view WHERE ended_at IS NULL`,
    );
    return row !== undefined && row.sweeping >= sweeps && row.waiting >= 20 && row.dispatched >= 8;
  });
}
