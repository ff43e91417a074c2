import { defineJob, type SqlClient } from '@nightshift/engine';
import { refillInput } from './inputs.ts';
import { organisationOf } from './organisation.ts';
import { type CountedSupply, recordSupplies } from './record-supplies.ts';
import type { SupplyOutlook } from './supply.ts';
import { countSupplies, outlookOf, pageOfSupplies, type SupplyRow, suppliesById, todayOf } from './supply-rows.ts';
import { takeMedications } from './take-medications.ts';

const SAVE_OUTLOOKS = `
  UPDATE medication.user_medications AS taken SET run_out_on = seen.run_out_on, refill_on = seen.refill_on
  FROM unnest($2::uuid[], $3::date[], $4::date[]) AS seen(id, run_out_on, refill_on)
  WHERE taken.tenant_id = $1 AND taken.id = seen.id AND (taken.run_out_on, taken.refill_on) IS DISTINCT FROM (seen.run_out_on, seen.refill_on)`;

const ADD_DUE = `
  INSERT INTO medication.refills (tenant_id, user_medication_id, state, due_on)
  SELECT $1, due.id, 'due', due.refill_on FROM unnest($2::uuid[], $3::date[]) AS due(id, refill_on) ORDER BY due.id
  ON CONFLICT (tenant_id, user_medication_id) WHERE state = 'due' DO NOTHING`;

// A count that was put right can make a refill that was due wait again.
const REMOVE_DUE = `DELETE FROM medication.refills WHERE tenant_id = $1 AND user_medication_id = ANY ($2::uuid[]) AND state = 'due'`;

export const refillCheck = defineJob({
  kind: 'request',
  name: 'medication.refill-check',
  title: 'Refill check',
  description: 'Says how many days a supply lasts and when to refill it; each morning for everybody.',
  scope: 'tenant',
  priority: 'HIGH',
  schedule: { cron: '0 6 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 1_000,
  maxMs: 10_000,
  input: refillInput,
  inputVersion: 1,
  personalResult: true,
  options: { batchSize: 500, batchDelayMs: 0 },
  sweep: {
    count: (ctx) => countSupplies(ctx.client, organisationOf(ctx).id),
    items: (ctx, after, limit) => pageOfSupplies(ctx.client, organisationOf(ctx).id, after, limit),
    key: (row: SupplyRow) => row.id,
    async process(ctx, rows) {
      const saved = await saveOutlooks(ctx.client, organisationOf(ctx).id, rows, ctx.now);
      return { changed: saved.updated + saved.due, tally: { due: saved.due } };
    },
    summarize: ({ processed, changed, tally }) => ({
      medicationsProcessed: processed,
      medicationsUpdated: changed - (tally.due ?? 0),
      refillsDue: tally.due ?? 0,
    }),
  },
  async handle(ctx, runs) {
    const tenantId = ctx.tenant.id;
    const taken = await takeMedications(
      ctx.client,
      tenantId,
      runs.map((run) => run.input),
    );
    const counted = runs.flatMap((run, i): CountedSupply[] => {
      const one = taken[i];
      if (one === undefined || 'error' in one) return [];
      return [{ runId: run.runId, userMedicationId: one.userMedicationId, units: run.input.current_supply }];
    });
    await recordSupplies(ctx, counted);
    const ids = [...new Set(counted.map((one) => one.userMedicationId))];
    const rows = await suppliesById(ctx.client, tenantId, ids);
    await saveOutlooks(ctx.client, tenantId, rows, ctx.now);
    const byId = new Map(rows.map((row) => [row.id, row]));
    return runs.map((run, i) => {
      const one = taken[i];
      if (one !== undefined && 'error' in one) return one;
      const row = byId.get(one?.userMedicationId ?? '');
      if (row === undefined) throw new TypeError('a run without its row');
      // Of two counts in one bundle each answers for its own.
      return { ok: answer({ ...row, supplyUnits: run.input.current_supply, recordedAt: ctx.now }, ctx.now) };
    });
  },
});

async function saveOutlooks(client: SqlClient, tenantId: string, rows: readonly SupplyRow[], now: Date) {
  const seen = rows.map((row) => {
    const outlook = outlookOf(row, now);
    return { id: row.id, outlook, due: isDue(outlook, todayOf(row, now)) };
  });
  const due = seen.filter((one) => one.due);
  const updated = await client.query(SAVE_OUTLOOKS, [
    tenantId,
    seen.map(({ id }) => id),
    seen.map(({ outlook }) => outlook?.runOutOn ?? null),
    seen.map(({ outlook }) => outlook?.refillOn ?? null),
  ]);
  const added = await client.query(ADD_DUE, [
    tenantId,
    due.map(({ id }) => id),
    due.map(({ outlook }) => outlook?.refillOn ?? null),
  ]);
  await client.query(REMOVE_DUE, [tenantId, seen.filter((one) => !one.due).map(({ id }) => id)]);
  return { updated: updated.rowCount ?? 0, due: added.rowCount ?? 0 };
}

function isDue(outlook: SupplyOutlook | null, today: string): boolean {
  return outlook !== null && outlook.refillOn <= today;
}

function answer(row: SupplyRow, now: Date) {
  const outlook = outlookOf(row, now);
  return {
    days_left: outlook?.daysLeft ?? null,
    run_out_on: outlook?.runOutOn ?? null,
    refill_on: outlook?.refillOn ?? null,
    refill_due: isDue(outlook, todayOf(row, now)),
    units_a_day: row.unitsADay,
    lead_days: row.leadDays,
  };
}
