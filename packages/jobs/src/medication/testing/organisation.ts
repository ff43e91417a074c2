import { createFieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import { insertMedicationTable } from '@nightshift/db/demo';
import { TEST_ENCRYPTION_KEYS, type TestEngine } from '@nightshift/engine/testing';

export interface TestUser {
  readonly zone?: string;
  readonly email?: string | null;
  readonly optIn?: boolean;
  readonly names?: boolean;
}

/** An organisation of a test, with the demonstration table. */
export async function makeOrganisation(engine: TestEngine, slug: string, zone = 'UTC') {
  const id = await engine.store.addTenant('medication', slug, zone);
  const sql = async <Row extends object>(text: string, values: unknown[] = []) =>
    (await engine.store.admin.query<Row>(text, [id, ...values])).rows;
  const crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: engine.store.admin });
  await sql('INSERT INTO medication.organisations (tenant_id) VALUES ($1)');
  await insertMedicationTable(engine.store.admin, id);
  return {
    id,
    slug,
    sql,
    crypto,
    /** Resolves to the user's id. */
    async addUser(
      number: string,
      { zone = 'UTC', email = `${number}@example.org`, optIn = true, names = false }: TestUser = {},
    ) {
      const [user] = await sql<{ id: string }>(
        'INSERT INTO medication.users (tenant_id, number, zone, reminders_opt_in, names_in_texts) VALUES ($1, $2, $3, $4, $5) RETURNING id',
        [number, zone, optIn, names],
      );
      const row = user?.id ?? '';
      if (email !== null) {
        const envelope = await crypto.encrypt({ tenantId: id, place: 'medication.users.email_enc', row }, email);
        await sql('UPDATE medication.users SET email_enc = $3 WHERE tenant_id = $1 AND id = $2', [row, envelope]);
      }
      return row;
    },
    /** Resolves to the id of the user's medication. */
    async take(
      userId: string,
      medication: string,
      more: { unitsADay?: number; supply?: number; recorded?: string; status?: string } = {},
    ) {
      const [taken] = await sql<{ id: string }>(
        `INSERT INTO medication.user_medications (tenant_id, user_id, medication_id, units_a_day, supply_units, supply_recorded_at, status, dose)
         SELECT $1, $2, id, $4, $5, CASE WHEN $5::numeric IS NOT NULL THEN coalesce($6::timestamptz, clock_timestamp()) END, $7, '1 tablet'
         FROM medication.medications WHERE tenant_id = $1 AND name = $3 RETURNING id`,
        [userId, medication, more.unitsADay ?? 1, more.supply ?? null, more.recorded ?? null, more.status ?? 'active'],
      );
      return taken?.id ?? '';
    },
    /** A daily schedule looked at last an hour or more before its first dose; resolves to its id. */
    async schedule(
      takenId: string,
      frequency: string,
      times: readonly string[],
      lookFrom: Date,
      startsOn = '2020-01-01',
    ) {
      const [row] = await sql<{ id: string }>(
        `INSERT INTO medication.dose_schedules (tenant_id, user_medication_id, frequency, times, starts_on, next_due_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`,
        [takenId, frequency, times, startsOn, lookFrom],
      );
      return row?.id ?? '';
    },
  };
}

export type TestOrganisation = Awaited<ReturnType<typeof makeOrganisation>>;

/** `HH:MM` on the zone's clock, so many minutes ago. */
export function minutesAgo(minutes: number, zone: string): string {
  const at = new Date(Date.now() - minutes * 60_000);
  return new Intl.DateTimeFormat('sv-SE', { timeZone: zone, hour: '2-digit', minute: '2-digit' }).format(at);
}
