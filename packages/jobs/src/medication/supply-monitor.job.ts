import { defineJob, type RequestContext, type SqlClient } from '@nightshift/engine';
import { type FoundMedication, findMedications, findUsers } from './find-entities.ts';
import { supplyInput } from './inputs.ts';
import { notifyUsers, silence } from './message-to.ts';
import { NoSuchEntityError, organisationOf } from './organisation.ts';
import { isLow, type SupplyOutlook } from './supply.ts';
import { countSupplies, outlookOf, pageOfSupplies, type SupplyRow, suppliesOfUsers } from './supply-rows.ts';
import { distinct } from './take-medications.ts';
import { supplyAlert } from './templates.ts';

const RAISE = `
  INSERT INTO medication.supply_alerts (tenant_id, user_medication_id, cycle, days_left, run_out_on)
  SELECT $1::uuid, low.* FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::date[]) AS low(id, cycle, days_left, run_out_on) ORDER BY low.id
  ON CONFLICT ON CONSTRAINT supply_alerts_once_a_cycle DO NOTHING
  RETURNING user_medication_id AS id`;

export const supplyMonitor = defineJob({
  kind: 'request',
  name: 'medication.supply-monitor',
  title: 'Supply monitor',
  description: 'Tells a user once, until the next refill, that a supply is running low.',
  scope: 'tenant',
  priority: 'HIGH',
  schedule: { cron: '0 */4 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 1_000,
  maxMs: 10_000,
  input: supplyInput,
  inputVersion: 1,
  personalResult: true,
  decrypts: true,
  options: { batchSize: 500, batchDelayMs: 0 },
  sweep: {
    count: (ctx) => countSupplies(ctx.client, organisationOf(ctx).id),
    items: (ctx, after, limit) => pageOfSupplies(ctx.client, organisationOf(ctx).id, after, limit),
    key: (row: SupplyRow) => row.id,
    async process(ctx, rows) {
      const raised = await raiseAlerts(ctx, organisationOf(ctx).id, rows);
      return { changed: raised.size, tally: { alerts: raised.size } };
    },
    summarize: ({ processed, tally }) => ({ medicationsProcessed: processed, alertsRaised: tally.alerts ?? 0 }),
  },
  async handle(ctx, runs) {
    const tenantId = ctx.tenant.id;
    const users = await findUsers(ctx.client, tenantId, distinct(runs.map((run) => run.input.user_id)));
    const names = distinct(runs.flatMap((run) => run.input.medications));
    const medications = await findMedications(ctx.client, tenantId, names);
    const rows = await suppliesOfUsers(ctx.client, tenantId, distinct([...users.values()].map((user) => user.id)));
    const chosen = runs.map((run) => chooseRows(run.input, users.get(run.input.user_id)?.id, medications, rows));
    const asked = new Map(chosen.flatMap((one) => ('error' in one ? [] : one.rows)).map((row) => [row.id, row]));
    const raised = await raiseAlerts(ctx, tenantId, [...asked.values()]);
    const open = await alertsOf(ctx.client, tenantId, [...asked.values()]);
    return chosen.map((one) =>
      'error' in one ? one : { ok: { medications: one.rows.map((row) => answer(row, ctx.now, raised, open)) } },
    );
  },
});

type Chosen = { readonly rows: readonly SupplyRow[] } | { readonly error: Error };

/** What of the user's rows is asked about: all without a list. Errors are of this input alone. */
function chooseRows(
  input: { readonly medications: readonly string[] },
  userId: string | undefined,
  medications: ReadonlyMap<string, FoundMedication>,
  rows: readonly SupplyRow[],
): Chosen {
  if (userId === undefined) return { error: new NoSuchEntityError('user') };
  const own = rows.filter((row) => row.userId === userId);
  if (input.medications.length === 0) return { rows: own };
  const wanted = input.medications.map((name) => medications.get(name)?.id);
  if (wanted.includes(undefined)) return { error: new NoSuchEntityError('medication') };
  return { rows: own.filter((row) => wanted.includes(row.medicationId)) };
}

/** Ids of the rows whose alert is new; their users are told. Errors: `UnreadableRowError`, `DecryptionError`. */
async function raiseAlerts(
  ctx: Pick<RequestContext, 'client' | 'crypto' | 'notify' | 'now'>,
  tenantId: string,
  rows: readonly SupplyRow[],
): Promise<ReadonlySet<string>> {
  const low = rows.flatMap((row) => {
    const outlook = outlookOf(row, ctx.now);
    return outlook !== null && isLow(outlook, row.leadDays, row.alertDays) ? [{ row, outlook }] : [];
  });
  if (low.length === 0) return new Set();
  const made = await ctx.client.query<{ id: string }>(RAISE, [
    tenantId,
    low.map(({ row }) => row.id),
    low.map(({ row }) => row.cycle),
    low.map(({ outlook }) => outlook.daysLeft),
    low.map(({ outlook }) => outlook.runOutOn),
  ]);
  const raised = new Set(made.rows.map((row) => row.id));
  const told = low.filter(({ row }) => raised.has(row.id) && silence(row) === null);
  await notifyUsers(
    ctx,
    tenantId,
    told.map(({ row, outlook }) => ({ user: row, message: lowMessage(row, outlook) })),
  );
  return raised;
}

function lowMessage(row: SupplyRow, { runOutOn, daysLeft }: SupplyOutlook) {
  return {
    dedupeKey: `supply:${row.id}:${row.cycle}`,
    template: supplyAlert.name,
    data: { runOutOn, daysLeft, medicine: row.namesInTexts ? row.medicine : null },
  };
}

/** Ids of the rows that have an alert in their present cycle. */
async function alertsOf(client: SqlClient, tenantId: string, rows: readonly SupplyRow[]): Promise<ReadonlySet<string>> {
  const found = await client.query<{ id: string }>(
    `SELECT a.user_medication_id AS id FROM unnest($2::uuid[], $3::integer[]) AS asked(id, cycle)
     JOIN medication.supply_alerts AS a ON a.tenant_id = $1 AND a.user_medication_id = asked.id AND a.cycle = asked.cycle`,
    [tenantId, rows.map((row) => row.id), rows.map((row) => row.cycle)],
  );
  return new Set(found.rows.map((row) => row.id));
}

function answer(row: SupplyRow, now: Date, raised: ReadonlySet<string>, open: ReadonlySet<string>) {
  const outlook = outlookOf(row, now);
  return {
    medication_id: row.medicationId,
    days_left: outlook?.daysLeft ?? null,
    run_out_on: outlook?.runOutOn ?? null,
    alert_at_days_left: row.leadDays + row.alertDays,
    alert: raised.has(row.id) ? 'raised' : open.has(row.id) ? 'raised before' : null,
  };
}
