import { localDate, type SqlClient } from '@nightshift/engine';
import { RECIPIENT_COLUMNS, type Recipient } from './message-to.ts';
import { inZone } from './organisation.ts';
import { type Supply, type SupplyOutlook, supplyOutlook } from './supply.ts';

/** A medication that somebody takes, with what is known about its supply. */
export interface SupplyRow extends Recipient {
  readonly id: string;
  readonly medicationId: string;
  readonly medicine: string;
  readonly zone: string;
  readonly unitsADay: number;
  readonly supplyUnits: number | null;
  readonly recordedAt: Date | null;
  readonly leadDays: number;
  readonly alertDays: number;
  readonly cycle: number;
}

const ROWS = `
  SELECT taken.id, taken.medication_id AS "medicationId", m.name AS medicine, u.zone, taken.units_a_day::float8 AS "unitsADay",
    taken.supply_units::float8 AS "supplyUnits", taken.supply_recorded_at AS "recordedAt", coalesce(taken.lead_days, o.lead_days) AS "leadDays",
    o.alert_days AS "alertDays", taken.refill_cycle AS cycle, ${RECIPIENT_COLUMNS}
  FROM medication.user_medications AS taken
  JOIN medication.users AS u ON u.tenant_id = taken.tenant_id AND u.id = taken.user_id AND u.active
  JOIN medication.medications AS m ON m.tenant_id = taken.tenant_id AND m.id = taken.medication_id
  JOIN medication.organisations AS o ON o.tenant_id = taken.tenant_id
  WHERE taken.tenant_id = $1 AND taken.status = 'active'`;

const COUNTED = `
  SELECT count(*)::int AS count FROM medication.user_medications AS taken
  JOIN medication.users AS u ON u.tenant_id = taken.tenant_id AND u.id = taken.user_id AND u.active
  WHERE taken.tenant_id = $1 AND taken.status = 'active' AND taken.supply_units IS NOT NULL`;

export async function countSupplies(client: SqlClient, tenantId: string): Promise<number> {
  const { rows } = await client.query<{ count: number }>(COUNTED, [tenantId]);
  return rows[0]?.count ?? 0;
}

/** A page of those whose supply somebody recorded, in order of id. */
export async function pageOfSupplies(
  client: SqlClient,
  tenantId: string,
  after: string | null,
  limit: number,
): Promise<SupplyRow[]> {
  const { rows } = await client.query<SupplyRow>(
    `${ROWS} AND taken.supply_units IS NOT NULL AND ($2::uuid IS NULL OR taken.id > $2) ORDER BY taken.id LIMIT $3`,
    [tenantId, after, limit],
  );
  return rows;
}

export async function suppliesById(client: SqlClient, tenantId: string, ids: readonly string[]): Promise<SupplyRow[]> {
  const { rows } = await client.query<SupplyRow>(
    `${ROWS} AND taken.id = ANY ($2::uuid[]) ORDER BY taken.id FOR UPDATE OF taken`,
    [tenantId, ids],
  );
  return rows;
}

export async function suppliesOfUsers(
  client: SqlClient,
  tenantId: string,
  userIds: readonly string[],
): Promise<SupplyRow[]> {
  const { rows } = await client.query<SupplyRow>(`${ROWS} AND taken.user_id = ANY ($2::uuid[]) ORDER BY taken.id`, [
    tenantId,
    userIds,
  ]);
  return rows;
}

/** Null while no supply was recorded. Errors: `UnreadableRowError` for an unknown zone. */
export function supplyOf(row: SupplyRow): Supply | null {
  const { recordedAt, supplyUnits } = row;
  if (recordedAt === null || supplyUnits === null) return null;
  const recordedOn = inZone(row.zone, () => localDate(recordedAt, row.zone));
  return { units: supplyUnits, recordedOn, unitsADay: row.unitsADay, leadDays: row.leadDays };
}

/** Null where nothing is recorded or used: it is never told of. Errors: `UnreadableRowError`. */
export function outlookOf(row: SupplyRow, now: Date): SupplyOutlook | null {
  const supply = supplyOf(row);
  return supply === null ? null : supplyOutlook(supply, todayOf(row, now));
}

export function todayOf(row: SupplyRow, now: Date): string {
  return inZone(row.zone, () => localDate(now, row.zone));
}
