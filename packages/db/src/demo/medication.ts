import type { Client } from 'pg';
import { v5 as uuidV5 } from 'uuid';
import { createFieldCrypto, parseKeyring } from '../crypto/index.ts';
import { addDays, localDate } from './gym-calendar.ts';
import { type DemoPatient, planPatients } from './medication-patients.ts';
import { DEMO_TABLE_VERSION, demoInteractions, demoMedications } from './medication-table.ts';

export interface MedicationDemoOptions {
  readonly organisations: number;
  /** For each organisation. */
  readonly users: number;
  readonly seed: number;
  /** Now, as far as the data is concerned. */
  readonly endDate: Date;
  /** As in `ENCRYPTION_KEYS`: names, addresses and phone numbers are stored encrypted. */
  readonly encryptionKeys: string;
}

export interface MedicationDemoCounts {
  organisations: number;
  users: number;
  medications: number;
  reminders: number;
}

const NAMESPACE = 'b7a4a0f2-93d4-5c1f-8a0e-1d6a6f6f3c52';
const REMINDER_DAYS = 14;
/** Rows of one statement. */
const ROWS_AT_ONCE = 2_000;

const ORGANISATIONS = [
  { slug: 'harbour-health', name: 'Harbour Health', zone: 'America/New_York' },
  { slug: 'linden-care', name: 'Linden Care', zone: 'Europe/Berlin' },
  { slug: 'banyan-clinics', name: 'Banyan Clinics', zone: 'Asia/Kolkata' },
  { slug: 'coral-family-practice', name: 'Coral Family Practice', zone: 'Australia/Sydney' },
];

type Organisation = (typeof ORGANISATIONS)[number] & { readonly tenantId: string };

export function demoOrganisationTenantId(seed: number, slug: string): string {
  return uuidV5(`${seed}:medication:${slug}`, NAMESPACE);
}

/** Adds the demo organisations that the database doesn't have yet, by slug; the client is a superuser's, in a transaction without triggers. */
export async function seedOrganisations(
  client: Client,
  options: MedicationDemoOptions,
  onProgress: (message: string) => void,
): Promise<MedicationDemoCounts> {
  const wanted = ORGANISATIONS.slice(0, options.organisations);
  const { rows } = await client.query<{ slug: string }>(
    `SELECT slug FROM ops.tenants WHERE system = 'medication' AND slug = ANY ($1)`,
    [wanted.map(({ slug }) => slug)],
  );
  const present = new Set(rows.map((row) => row.slug));
  const counts: MedicationDemoCounts = { organisations: 0, users: 0, medications: 0, reminders: 0 };
  for (const place of wanted.filter(({ slug }) => !present.has(slug))) {
    const organisation = { ...place, tenantId: demoOrganisationTenantId(options.seed, place.slug) };
    counts.organisations += 1;
    const { tenantId, slug, name, zone } = organisation;
    await client.query(`INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'medication', $2, $3, $4)`, [
      tenantId,
      slug,
      name,
      zone,
    ]);
    await client.query('INSERT INTO medication.organisations (tenant_id) VALUES ($1)', [tenantId]);
    counts.medications += await insertMedicationTable(client, tenantId);
    counts.users += await insertPatients(client, organisation, options);
    counts.reminders += await insertReminders(client, tenantId, options);
    onProgress(`${name}: ${options.users} users`);
  }
  return counts;
}

/** The demonstration table of an organisation: medications with ids that its slug and names give, and interactions. Resolves to medications. */
export async function insertMedicationTable(client: Pick<Client, 'query'>, tenantId: string): Promise<number> {
  const medications = demoMedications();
  const list = (words: readonly string[]) => words.join(';');
  await client.query(
    `INSERT INTO medication.medications (tenant_id, id, name, ingredients, brands, classes, properties)
     SELECT $1, m.id, m.name, string_to_array(m.ingredients, ';'), string_to_array(m.brands, ';'), string_to_array(m.classes, ';'), string_to_array(m.properties, ';')
     FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS m(id, name, ingredients, brands, classes, properties)`,
    [
      tenantId,
      medications.map(({ name }) => medicationId(tenantId, name)),
      medications.map(({ name }) => name),
      medications.map(({ ingredients }) => list(ingredients)),
      medications.map(({ brands }) => list(brands)),
      medications.map(({ classes }) => list(classes)),
      medications.map(({ properties }) => list(properties)),
    ],
  );
  const rules = demoInteractions();
  await client.query(
    `INSERT INTO medication.interactions (tenant_id, table_version, a_kind, a_name, b_kind, b_name, severity, effect, source)
     SELECT $1, $2, r.* FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) AS r`,
    [
      tenantId,
      DEMO_TABLE_VERSION,
      ...(['aKind', 'aName', 'bKind', 'bName', 'severity', 'effect', 'source'] as const).map((field) =>
        rules.map((rule) => rule[field]),
      ),
    ],
  );
  return medications.length;
}

function medicationId(tenantId: string, name: string): string {
  return uuidV5(`medication:${name}`, tenantId);
}

async function insertPatients(
  client: Client,
  organisation: Organisation,
  options: MedicationDemoOptions,
): Promise<number> {
  const { tenantId } = organisation;
  const today = localDate(options.endDate, organisation.zone);
  const patients = planPatients(`${options.seed}:${organisation.slug}`, options.users, organisation.zone).map(
    (patient) => ({ ...patient, id: uuidV5(`user:${patient.number}`, tenantId) }),
  );
  const crypto = createFieldCrypto({ keyring: parseKeyring(options.encryptionKeys), pool: client });
  for (let from = 0; from < patients.length; from += ROWS_AT_ONCE) {
    const some = patients.slice(from, from + ROWS_AT_ONCE);
    const sealed = async (column: string, plain: (patient: DemoPatient) => string) =>
      crypto.encryptAll(
        some.map((patient) => ({
          ref: { tenantId, place: `medication.users.${column}`, row: patient.id },
          plain: plain(patient),
        })),
      );
    await client.query(
      `INSERT INTO medication.users (tenant_id, id, number, zone, channel, reminders_opt_in, names_in_texts, name_enc, email_enc, phone_enc)
       SELECT $1, g.* FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[], $8::text[], $9::text[], $10::text[]) AS g`,
      [
        tenantId,
        some.map((patient) => patient.id),
        some.map((patient) => patient.number),
        some.map((patient) => patient.zone),
        some.map((patient) => patient.channel),
        some.map((patient) => patient.remindersOptIn),
        some.map((patient) => patient.namesInTexts),
        await sealed('name_enc', (patient) => patient.name),
        await sealed('email_enc', (patient) => patient.email),
        await sealed('phone_enc', (patient) => patient.phone),
      ],
    );
    await insertTaken(client, tenantId, some, today, options.endDate);
  }
  return patients.length;
}

async function insertTaken(
  client: Client,
  tenantId: string,
  patients: readonly (DemoPatient & { readonly id: string })[],
  today: string,
  now: Date,
): Promise<void> {
  const taken = patients.flatMap((patient) =>
    patient.taken.map((one) => ({
      ...one,
      userId: patient.id,
      medicationId: medicationId(tenantId, one.medication),
      id: uuidV5(`taken:${patient.number}:${one.medication}`, tenantId),
      recordedAt: new Date(now.getTime() - one.recordedDaysAgo * 86_400_000),
      startsOn: addDays(today, -60),
    })),
  );
  const column = <T>(pick: (one: (typeof taken)[number]) => T): T[] => taken.map(pick);
  await client.query(
    `INSERT INTO medication.user_medications (tenant_id, id, user_id, medication_id, dose, units_a_day, supply_units, supply_recorded_at, supply_recorded_by)
     SELECT $1, g.*, 'demo' FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::numeric[], $7::numeric[], $8::timestamptz[]) AS g`,
    [
      tenantId,
      column((one) => one.id),
      column((one) => one.userId),
      column((one) => one.medicationId),
      column((one) => one.dose),
      column((one) => one.unitsADay),
      column((one) => one.supply),
      column((one) => one.recordedAt),
    ],
  );
  // Triggers are off while demo data is made: the first tick plans what comes after now.
  await client.query(
    `INSERT INTO medication.dose_schedules (tenant_id, id, user_medication_id, frequency, times, starts_on, next_due_at)
     SELECT $1, g.id, g.id, g.frequency, string_to_array(g.times, ','), g.starts_on, CASE WHEN g.frequency <> 'as_needed' THEN $6::timestamptz END
     FROM unnest($2::uuid[], $3::text[], $4::text[], $5::date[]) AS g(id, frequency, times, starts_on)`,
    [
      tenantId,
      column((one) => one.id),
      column((one) => one.frequency),
      column((one) => one.times.join(',')),
      column((one) => one.startsOn),
      now,
    ],
  );
}

/** Two weeks of reminders of the daily medicines, and some refills. Each medicine has its own share of doses taken. */
async function insertReminders(
  client: Client,
  tenantId: string,
  { endDate, seed }: MedicationDemoOptions,
): Promise<number> {
  const { rowCount } = await client.query(
    `INSERT INTO medication.reminders (tenant_id, id, user_medication_id, dose_date, dose_time, due_at, state, reason, taken_at, created_at)
     SELECT $1, md5(d.key)::uuid, d.id, d.day, d.time, d.due_at, CASE WHEN d.opt_in THEN 'sent' ELSE 'muted' END,
       CASE WHEN NOT d.opt_in THEN 'the user wants no messages' END, CASE WHEN abs(hashtext(d.key)) % 100 < d.habit THEN d.due_at + interval '12 minutes' END, d.due_at
     FROM (
       SELECT plan.user_medication_id AS id, day::date AS day, time, u.reminders_opt_in AS opt_in, 60 + abs(hashtext(plan.id::text || $4)) % 40 AS habit,
         plan.id || ' ' || day::date || ' ' || time AS key, (day::date + time::time) AT TIME ZONE u.zone AS due_at
       FROM medication.dose_schedules AS plan
       JOIN medication.user_medications AS taken ON taken.tenant_id = plan.tenant_id AND taken.id = plan.user_medication_id
       JOIN medication.users AS u ON u.tenant_id = taken.tenant_id AND u.id = taken.user_id
       CROSS JOIN generate_series($2::timestamptz::date - $3::int, $2::timestamptz::date, interval '1 day') AS day CROSS JOIN unnest(plan.times) AS time
       WHERE plan.tenant_id = $1 AND plan.frequency = 'daily') AS d
     WHERE d.due_at < $2`,
    [tenantId, endDate, REMINDER_DAYS, String(seed)],
  );
  await client.query(
    `INSERT INTO medication.refills (tenant_id, id, user_medication_id, state, refilled_at, units, created_at)
     SELECT tenant_id, md5('refill ' || id)::uuid, id, 'done', supply_recorded_at, supply_units, supply_recorded_at FROM medication.user_medications
     WHERE tenant_id = $1 AND supply_units > 0 AND abs(hashtext(id::text)) % 2 = 0`,
    [tenantId],
  );
  return rowCount ?? 0;
}
