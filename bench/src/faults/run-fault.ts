import { until } from '@nightshift/engine/testing';
import type { Fleet } from '../fleet/fleet.ts';
import { judge, type Verdict } from './judge.ts';
import { type LoadOptions, startLoad } from './load.ts';
import type { Fault } from './scenarios.ts';

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
  const ended = await endedSoFar(fleet);
  await until('a run to end after the fault', async () => (await endedSoFar(fleet)) > ended, 90_000);
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

async function endedSoFar(fleet: Fleet): Promise<number> {
  const [row] = await fleet.admin.rows<{ n: number }>('SELECT count(*)::int AS n FROM sink.ended');
  return row?.n ?? 0;
}
