import type { SqlClient } from '@nightshift/engine';
import { type FoundMedication, type FoundUser, findMedications, findUsers } from './find-entities.ts';
import { NoSuchEntityError } from './organisation.ts';

export interface Taken {
  readonly userMedicationId: string;
  readonly user: FoundUser;
  readonly medication: FoundMedication;
}

/**
 * For each input the row that says that this user takes this medication; it is made where there is none, since who counts a supply or asks
 * for reminders takes it. An error instead where user or medication do not exist, or the medication was stopped.
 */
export async function takeMedications(
  client: SqlClient,
  tenantId: string,
  inputs: readonly { readonly user_id: string; readonly medication_id: string }[],
): Promise<(Taken | { readonly error: Error })[]> {
  const users = await findUsers(client, tenantId, distinct(inputs.map((input) => input.user_id)));
  const medications = await findMedications(client, tenantId, distinct(inputs.map((input) => input.medication_id)));
  const found = inputs.flatMap((input) => {
    const user = users.get(input.user_id);
    const medication = medications.get(input.medication_id);
    return user === undefined || medication === undefined ? [] : [{ user, medication }];
  });
  const rows = await ensureRows(client, tenantId, found);
  return inputs.map((input) => {
    const user = users.get(input.user_id);
    const medication = medications.get(input.medication_id);
    if (user === undefined) return { error: new NoSuchEntityError('user') };
    if (medication === undefined) return { error: new NoSuchEntityError('medication') };
    const row = rows.get(`${user.id} ${medication.id}`);
    if (row?.status !== 'active') return { error: new NoSuchEntityError('medication', 'was stopped for this user') };
    return { userMedicationId: row.id, user, medication };
  });
}

async function ensureRows(
  client: SqlClient,
  tenantId: string,
  pairs: readonly { readonly user: FoundUser; readonly medication: FoundMedication }[],
): Promise<Map<string, { id: string; status: string }>> {
  const values = [tenantId, pairs.map(({ user }) => user.id), pairs.map(({ medication }) => medication.id)];
  // In order of key, so that two bundles that make the same rows do not wait for each other.
  await client.query(
    `INSERT INTO medication.user_medications (tenant_id, user_id, medication_id)
     SELECT DISTINCT $1::uuid, p.user_id, p.medication_id FROM unnest($2::uuid[], $3::uuid[]) AS p(user_id, medication_id)
     WHERE NOT EXISTS (SELECT FROM medication.user_medications AS taken
       WHERE taken.tenant_id = $1 AND taken.user_id = p.user_id AND taken.medication_id = p.medication_id)
     ORDER BY 2, 3 ON CONFLICT ON CONSTRAINT user_medications_once DO NOTHING`,
    values,
  );
  const { rows } = await client.query<{ key: string; id: string; status: string }>(
    `SELECT DISTINCT taken.user_id || ' ' || taken.medication_id AS key, taken.id, taken.status
     FROM unnest($2::uuid[], $3::uuid[]) AS p(user_id, medication_id)
     JOIN medication.user_medications AS taken ON taken.tenant_id = $1 AND taken.user_id = p.user_id AND taken.medication_id = p.medication_id`,
    values,
  );
  return new Map(rows.map((row) => [row.key, row]));
}

export function distinct(values: readonly string[]): string[] {
  return [...new Set(values)];
}
