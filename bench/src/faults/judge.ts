import { until } from '@nightshift/engine/testing';
import type { Fleet } from '../fleet/fleet.ts';
import type { Ledger } from '../fleet/ledger.ts';

/** What a scenario left, counted from the client's ledger and the sink; the platform's tables are only asked how each run ended. */
export interface Verdict {
  /** Runs that a client was told are accepted. */
  readonly accepted: number;
  readonly completed: number;
  /** Ended in another way than completed. */
  readonly failed: number;
  /** Acknowledged, and not ended exactly once. */
  readonly lost: number;
  /** Keys that have more than one run, and runs whose end was written more than once. */
  readonly doubledRuns: number;
  /** Scorings beyond one a member and sweep. */
  readonly duplicateEffects: number;
  readonly missingEffects: number;
  /** Still open when the time was up, whoever asked for it. */
  readonly open: number;
}

export interface Asked {
  readonly ledger: Ledger;
  /** Runs of `gym.commitment-scores` by gym's id. */
  readonly sweeps: ReadonlyMap<string, readonly string[]>;
}

const SETTLE_MS = 90_000;

/** Waits until nothing is open any more, then counts. */
export async function judge(fleet: Fleet, asked: Asked, settleMs = SETTLE_MS): Promise<Verdict> {
  const open = await stillOpen(fleet, settleMs);
  const ids = [...new Set(asked.ledger.acknowledged.values())];
  const rows = await fleet.admin.rows<{ id: string; outcome: string }>(
    'SELECT id, outcome::text AS outcome FROM ops.runs WHERE id = ANY ($1)',
    [ids],
  );
  const ends = await fleet.effects.ends(ids);
  const endedOnce = new Set(rows.filter((row) => (ends.get(row.id) ?? 0) >= 1).map((row) => row.id));
  const scored = await scorings(fleet, asked.sweeps);
  return {
    accepted: ids.length,
    completed: rows.filter((row) => row.outcome === 'completed').length,
    failed: rows.filter((row) => row.outcome !== 'completed').length,
    lost: ids.length - endedOnce.size,
    doubledRuns: [...ends.values()].filter((n) => n > 1).length + (await runsOfOneKey(fleet)),
    ...scored,
    open,
  };
}

async function stillOpen(fleet: Fleet, settleMs: number): Promise<number> {
  const count = async () => {
    const [row] = await fleet.admin.rows<{ n: number }>('SELECT count(*)::int AS n FROM ops.open_runs');
    return row?.n ?? 0;
  };
  await until('every run to end', async () => (await count()) === 0, settleMs).catch(() => undefined);
  return count();
}

/** Canaries carry their key in `echo`: a key with two runs was accepted twice. */
async function runsOfOneKey(fleet: Fleet): Promise<number> {
  const [row] = await fleet.admin.rows<{ n: number }>(
    `SELECT count(*)::int AS n FROM (
       SELECT input ->> 'echo' FROM ops.payloads, unnest(inputs) AS input WHERE input ? 'echo' GROUP BY 1 HAVING count(*) > 1) AS doubled`,
  );
  return row?.n ?? 0;
}

async function scorings(fleet: Fleet, sweeps: Asked['sweeps']) {
  let duplicateEffects = 0;
  let missingEffects = 0;
  for (const gym of fleet.gyms) {
    const times = new Set(sweeps.get(gym.id) ?? []).size;
    const { missing, extra } = await fleet.effects.scorings(gym.id, times);
    duplicateEffects += extra;
    missingEffects += missing;
  }
  return { duplicateEffects, missingEffects };
}
