import { isUuid } from '@nightshift/db';
import type { SqlClient } from '@nightshift/engine';

// In one statement a kind, however many runs a bundle has; what is not found is not in the answer.

export interface FoundUser {
  readonly id: string;
  readonly zone: string;
}

/** Users of the tenant by what they were called by: id or number. */
export async function findUsers(
  client: SqlClient,
  tenantId: string,
  references: readonly string[],
): Promise<Map<string, FoundUser>> {
  const { rows } = await client.query<FoundUser & { reference: string }>(
    `SELECT DISTINCT ON (asked.reference) asked.reference, u.id, u.zone
     FROM unnest($2::text[], $3::uuid[]) AS asked(reference, id)
     JOIN medication.users AS u ON u.tenant_id = $1 AND u.active AND (u.id = asked.id OR u.number = asked.reference)
     ORDER BY asked.reference, u.id = asked.id DESC NULLS LAST`,
    [tenantId, references, references.map(idOrNull)],
  );
  return new Map(rows.map(({ reference, ...user }) => [reference, user]));
}

export interface FoundMedication {
  readonly id: string;
  readonly name: string;
  readonly ingredients: readonly string[];
  readonly classes: readonly string[];
  readonly properties: readonly string[];
}

/**
 * Medications of the tenant by id, name, brand or ingredient, whatever the case; the nearest kind of name counts, and of an ingredient's
 * medications one with that ingredient alone.
 */
export async function findMedications(
  client: SqlClient,
  tenantId: string,
  references: readonly string[],
): Promise<Map<string, FoundMedication>> {
  const { rows } = await client.query<FoundMedication & { reference: string }>(
    `SELECT DISTINCT ON (asked.reference) asked.reference, m.id, m.name, m.ingredients, m.classes, m.properties
     FROM unnest($2::text[], $3::uuid[], $4::text[]) AS asked(reference, id, low)
     JOIN medication.medications AS m ON m.tenant_id = $1
       AND (m.id = asked.id OR lower(m.name) = asked.low OR m.brands @> ARRAY[asked.low] OR m.ingredients @> ARRAY[asked.low])
     ORDER BY asked.reference, m.id = asked.id DESC NULLS LAST, lower(m.name) = asked.low DESC, m.brands @> ARRAY[asked.low] DESC,
       cardinality(m.ingredients), m.name`,
    [tenantId, references, references.map(idOrNull), references.map((reference) => reference.trim().toLowerCase())],
  );
  return new Map(rows.map(({ reference, ...medication }) => [reference, medication]));
}

/** What a call names and its organisation does not have. */
export interface Missing {
  readonly users: readonly string[];
  readonly medications: readonly string[];
}

export async function findMissing(
  client: SqlClient,
  tenantId: string,
  named: { readonly users: readonly string[]; readonly medications: readonly string[] },
): Promise<Missing> {
  const users = named.users.length === 0 ? null : await findUsers(client, tenantId, named.users);
  const medications =
    named.medications.length === 0 ? null : await findMedications(client, tenantId, named.medications);
  return {
    users: named.users.filter((reference) => users?.has(reference) !== true),
    medications: named.medications.filter((reference) => medications?.has(reference) !== true),
  };
}

function idOrNull(reference: string): string | null {
  return isUuid(reference) ? reference : null;
}
