import type { SqlClient } from '@nightshift/engine';
import type { Facility } from './facility.ts';
import type { LabSample } from './lab-result.ts';
import type { ClientFacts } from './wanted-tasks.ts';

/** The current, else the latest ART enrollment that has begun by $3. */
const ART = `LEFT JOIN LATERAL (
    SELECT e.started_on::text AS started_on, e.ended_on IS NULL OR e.ended_on > $3::date AS current
    FROM clinic.enrollments AS e
    WHERE e.tenant_id = $1 AND e.client_id = client.id AND e.programme = 'ART' AND e.started_on <= $3::date
    ORDER BY 2 DESC, e.started_on DESC LIMIT 1
  ) AS art ON true`;

const ON_PREP = `EXISTS (
    SELECT FROM clinic.enrollments AS e
    WHERE e.tenant_id = $1 AND e.client_id = client.id AND e.programme = 'PREP' AND e.started_on <= $3::date
      AND (e.ended_on IS NULL OR e.ended_on > $3::date))`;

/** The latest dispense of a kind. */
const latestDispense = (kind: 'ARV' | 'PREP') => `LEFT JOIN LATERAL (
    SELECT d.regimen_id, d.next_refill_on::text AS next_refill_on FROM clinic.dispenses AS d
    WHERE d.tenant_id = $1 AND d.client_id = client.id AND d.kind = '${kind}'
    ORDER BY d.dispensed_at DESC, d.id DESC LIMIT 1
  ) AS ${kind.toLowerCase()} ON true`;

/** Arrays, not objects: of a hundred results of a client, names would be most of what is sent. */
const LABS = `(
    SELECT json_agg(json_build_array(r.test, r.drawn_on, r.comparator, r.value, r.assay_limit) ORDER BY r.drawn_on, r.resulted_on NULLS FIRST, r.id)
    FROM clinic.lab_results AS r WHERE r.tenant_id = $1 AND r.client_id = client.id
  ) AS labs`;

const SUMMARY_ROWS = `
  SELECT client.id, art.started_on AS "artStartedOn", CASE WHEN art.current THEN arv.regimen_id END AS "arvRegimenId",
         CASE WHEN ${ON_PREP} THEN prep.regimen_id END AS "prepRegimenId", ${LABS}
  FROM unnest($2::uuid[]) AS client(id) ${ART} ${latestDispense('ARV')} ${latestDispense('PREP')}`;

// Locks the clients as the triggers do: a visit, dispense or result that comes meanwhile waits, and then sees the tasks of this batch.
const LOCK_ACTIVE = `
  SELECT id FROM clinic.clients WHERE tenant_id = $1 AND id = ANY ($2::uuid[]) AND status = 'active' ORDER BY id FOR NO KEY UPDATE`;

const TASK_ROWS = `
  SELECT client.id, client.registered_on::text AS "registeredOn", (client.last_visit_at AT TIME ZONE $4)::date::text AS "lastVisitOn",
         client.vl_interval_months AS "vlIntervalMonths", booked.next_appointment_on AS "nextAppointmentOn",
         supply.ends_on AS "supplyEndsOn", CASE WHEN art.current THEN art.started_on END AS "artStartedOn", ${ON_PREP} AS "onPrep",
         arv.next_refill_on AS "arvRefillOn", prep.next_refill_on AS "prepRefillOn", ${LABS}
  FROM clinic.clients AS client ${ART} ${latestDispense('ARV')} ${latestDispense('PREP')}
  LEFT JOIN LATERAL (
    SELECT e.next_appointment_on::text AS next_appointment_on FROM clinic.encounters AS e
    WHERE e.tenant_id = $1 AND e.client_id = client.id AND e.next_appointment_on IS NOT NULL
    ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1
  ) AS booked ON true
  LEFT JOIN LATERAL (
    SELECT max((d.dispensed_at AT TIME ZONE $4)::date + d.days_supplied)::text AS ends_on
    FROM clinic.dispenses AS d WHERE d.tenant_id = $1 AND d.client_id = client.id
  ) AS supply ON true
  WHERE client.tenant_id = $1 AND client.id = ANY ($2::uuid[])`;

type LabRow = [LabSample['test'], string, LabSample['comparator'], number | null, number | null];

export interface SummaryRow {
  readonly id: string;
  readonly artStartedOn: string | null;
  readonly arvRegimenId: string | null;
  readonly prepRegimenId: string | null;
  readonly labs: readonly LabSample[];
}

/** What summaries are made from. */
export async function summaryRows(
  client: SqlClient,
  facility: Facility,
  ids: readonly string[],
): Promise<SummaryRow[]> {
  const { rows } = await client.query<Omit<SummaryRow, 'labs'> & { labs: LabRow[] | null }>(SUMMARY_ROWS, [
    facility.id,
    ids,
    facility.today,
  ]);
  return rows.map((row) => ({ ...row, labs: samples(row.labs) }));
}

/** Those of the clients that are still active, locked until the batch commits, with what their tasks follow from. */
export async function lockedClientFacts(
  client: SqlClient,
  facility: Facility,
  ids: readonly string[],
): Promise<ClientFacts[]> {
  const locked = await client.query<{ id: string }>(LOCK_ACTIVE, [facility.id, ids]);
  const { rows } = await client.query<Omit<ClientFacts, 'labs'> & { labs: LabRow[] | null }>(TASK_ROWS, [
    facility.id,
    locked.rows.map(({ id }) => id),
    facility.today,
    facility.zone,
  ]);
  return rows.map((row) => ({ ...row, labs: samples(row.labs) }));
}

function samples(labs: readonly LabRow[] | null): LabSample[] {
  return (labs ?? []).map(([test, drawnOn, comparator, value, assayLimit]) => ({
    test,
    drawnOn,
    comparator,
    value,
    assayLimit,
  }));
}
