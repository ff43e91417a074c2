import { localDate, type RequestContext } from '@nightshift/engine';
import { inZone } from './organisation.ts';
import { wasRefilled } from './supply.ts';
import { type SupplyRow, suppliesById, supplyOf } from './supply-rows.ts';

/** What somebody counted. */
export interface CountedSupply {
  readonly runId: string;
  readonly userMedicationId: string;
  readonly units: number;
}

// Run ids rise with time: a retry of an earlier count does not overwrite a later one.
const RECORD = `
  UPDATE medication.user_medications AS taken
  SET supply_units = counted.units, supply_recorded_at = $5, supply_recorded_by = run.actor, supply_run_id = counted.run_id
  FROM unnest($2::uuid[], $3::uuid[], $4::numeric[]) AS counted(id, run_id, units)
  LEFT JOIN ops.open_runs AS run ON run.id = counted.run_id
  WHERE taken.tenant_id = $1 AND taken.id = counted.id AND (taken.supply_run_id IS NULL OR taken.supply_run_id < counted.run_id)
  RETURNING taken.id`;

const REFILLED = `
  INSERT INTO medication.refills (tenant_id, user_medication_id, state, refilled_at)
  SELECT $1, id, 'done', $3 FROM unnest($2::uuid[]) AS id ORDER BY id`;

/** Records counts with time and caller; the last one of each row counts. One that only a refill can explain begins a new cycle. */
export async function recordSupplies(ctx: RequestContext, counted: readonly CountedSupply[]): Promise<void> {
  const last = new Map(
    [...counted].sort((a, b) => (a.runId < b.runId ? -1 : 1)).map((one) => [one.userMedicationId, one]),
  );
  const before = await suppliesById(ctx.client, ctx.tenant.id, [...last.keys()]);
  const wanted = [...last.values()];
  const { rows } = await ctx.client.query<{ id: string }>(RECORD, [
    ctx.tenant.id,
    wanted.map((one) => one.userMedicationId),
    wanted.map((one) => one.runId),
    wanted.map((one) => one.units),
    ctx.now,
  ]);
  const recorded = new Set(rows.map((row) => row.id));
  const refilled = before.filter((row) => recorded.has(row.id) && isRefill(row, last.get(row.id)?.units ?? 0, ctx.now));
  if (refilled.length > 0) await ctx.client.query(REFILLED, [ctx.tenant.id, refilled.map((row) => row.id), ctx.now]);
}

function isRefill(row: SupplyRow, units: number, now: Date): boolean {
  const recordedOn = inZone(row.zone, () => localDate(now, row.zone));
  return wasRefilled(supplyOf(row), { units, recordedOn, unitsADay: row.unitsADay, leadDays: row.leadDays });
}
