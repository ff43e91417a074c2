import { until } from '@nightshift/engine/testing';
import type { Fleet } from '../fleet/fleet.ts';
import { judge, type Verdict } from './judge.ts';
import { type LoadOptions, startLoad } from './load.ts';
import type { Fault } from './scenarios.ts';

const RECOVERY_MS = 90_000;

export interface FaultReport extends Verdict {
  readonly fault: string;
  /** Requests that had to be sent again. */
  readonly sentAgain: number;
  /** From the moment when all was whole again to the next end of a run, s. */
  readonly recoverySeconds: number;
  /** From the same moment until nothing was open, s. */
  readonly settledSeconds: number;
}

/** One fault under load. `delayMs`: how long after the load is under way it comes. */
export async function runFault(fleet: Fleet, fault: Fault, load: LoadOptions, delayMs = 0): Promise<FaultReport> {
  await fleet.effects.reset();
  const asked = await startLoad(fleet, load);
  await asked.underWay();
  // Seeded by the caller: not every run is to be hit at the same place.
  if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
  await fault.inject(fleet, asked);
  const healedAt = performance.now();
  await untilOneEnds(fleet);
  const recoverySeconds = secondsSince(healedAt);
  await asked.sent;
  const verdict = await judge(fleet, asked);
  return {
    fault: fault.name,
    sentAgain: asked.ledger.unanswered(),
    ...verdict,
    recoverySeconds,
    settledSeconds: secondsSince(healedAt),
  };
}

function secondsSince(at: number): number {
  return Math.round((performance.now() - at) / 100) / 10;
}

/** Or until nothing is left to end. */
async function untilOneEnds(fleet: Fleet): Promise<void> {
  const look = async () => {
    const [row] = await fleet.admin.rows<{ ended: number; open: boolean }>(
      'SELECT (SELECT count(*)::int FROM sink.ended) AS ended, EXISTS (SELECT 1 FROM ops.open_runs) AS open',
    );
    return row ?? { ended: 0, open: true };
  };
  const before = await look();
  await until(
    'a run to end after the fault',
    async () => {
      const now = await look();
      return now.ended > before.ended || !now.open;
    },
    RECOVERY_MS,
  );
}
