import type { Client } from 'pg';
import { v5 as uuidV5 } from 'uuid';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '../crypto/index.ts';
import { type DemoClient, planClient } from './clinic-clients.ts';
import { type DemoFacility, demoFacilities } from './clinic-places.ts';
import { copyRows } from './copy-rows.ts';
import { addDays, type DemoDay, demoCalendar, localDate } from './gym-calendar.ts';
import { createRandom, type Random } from './random.ts';

export interface ClinicDemoOptions {
  readonly facilities: number;
  /** For each facility. */
  readonly clients: number;
  readonly seed: number;
  /** Now, as far as the data is concerned. */
  readonly endDate: Date;
  /** As in `ENCRYPTION_KEYS`. Without it clients have neither name nor phone: they exist as envelopes alone. */
  readonly encryptionKeys?: string | undefined;
}

export interface ClinicDemoCounts {
  facilities: number;
  clients: number;
  visits: number;
  labResults: number;
}

interface FacilityPlan {
  readonly facility: DemoFacility;
  readonly tenantId: string;
  readonly seed: number;
  readonly today: string;
  readonly clients: readonly DemoClient[];
  readonly calendar: readonly DemoDay[];
}

const NAMESPACE = '6f0d3a5e-2b57-5d0c-9a54-6e3f0b8a7c11';
const HISTORY_DAYS = 730;
const ASSAY_LIMIT = 20;
const ID_KIND = { client: '1', enrollment: '2', encounter: '3', dispense: '4', lab: '5', regimen: '6' } as const;
const GIVEN = [
  'Amina',
  'Okello',
  'Thabo',
  'Nomsa',
  'Somchai',
  'Grace',
  'Chisomo',
  'Rafael',
  'Lucia',
  'Kofi',
  'Meera',
  'Juma',
];
const FAMILY = ['Nakato', 'Dlamini', 'Banda', 'Srisai', 'Mensah', 'Silva', 'Mwangi', 'Iyer', 'Otieno', 'Ncube'];
const REGIMENS = [
  { code: 'TLD', name: 'Tenofovir, lamivudine, dolutegravir', kind: 'ARV' },
  { code: 'AZT-3TC-DTG', name: 'Zidovudine, lamivudine, dolutegravir', kind: 'ARV' },
  { code: 'TDF-FTC', name: 'Tenofovir, emtricitabine', kind: 'PREP' },
  { code: 'TDF-3TC', name: 'Tenofovir, lamivudine', kind: 'PREP' },
] as const;

export function demoClinicTenantId(seed: number, slug: string): string {
  return uuidV5(`${seed}:clinic:${slug}`, NAMESPACE);
}

/**
 * Adds the demo facilities that the database doesn't have yet, by slug; the client is a superuser's, in a transaction whose triggers are
 * off. Counts are of the rows added.
 */
export async function seedClinics(
  client: Client,
  options: ClinicDemoOptions,
  onProgress: (message: string) => void,
): Promise<ClinicDemoCounts> {
  const wanted = demoFacilities(options.facilities);
  const { rows } = await client.query<{ slug: string }>(
    `SELECT slug FROM ops.tenants WHERE system = 'clinic' AND slug = ANY ($1)`,
    [wanted.map(({ slug }) => slug)],
  );
  const { encryptionKeys } = options;
  const crypto = encryptionKeys ? createFieldCrypto({ keyring: parseKeyring(encryptionKeys), pool: client }) : null;
  const present = new Set(rows.map((row) => row.slug));
  const counts: ClinicDemoCounts = { facilities: 0, clients: 0, visits: 0, labResults: 0 };
  for (const facility of wanted) {
    if (present.has(facility.slug)) continue;
    const plan = planFacility(facility, options);
    await insertFacility(client, plan);
    await copyFacility(client, plan, counts, await contacts(plan, crypto));
    counts.facilities += 1;
    onProgress(`${facility.name}: ${plan.clients.length} clients`);
  }
  return counts;
}

function planFacility(facility: DemoFacility, options: ClinicDemoOptions): FacilityPlan {
  const random = createRandom(`${options.seed}:${facility.slug}:clients`);
  return {
    facility,
    tenantId: demoClinicTenantId(options.seed, facility.slug),
    seed: options.seed,
    today: localDate(options.endDate, facility.zone),
    clients: Array.from({ length: options.clients }, () => planClient(random, HISTORY_DAYS)),
    calendar: demoCalendar(options.endDate, HISTORY_DAYS, facility.zone),
  };
}

async function insertFacility(client: Client, plan: FacilityPlan): Promise<void> {
  const { slug, name, zone } = plan.facility;
  await client.query(`INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES ($1, 'clinic', $2, $3, $4)`, [
    plan.tenantId,
    slug,
    name,
    zone,
  ]);
  await client.query('INSERT INTO clinic.facilities (tenant_id, opened_on) VALUES ($1, $2)', [
    plan.tenantId,
    addDays(plan.today, -4_000),
  ]);
  await client.query(
    `INSERT INTO clinic.regimens (tenant_id, id, code, name, kind)
     SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[])`,
    [
      plan.tenantId,
      REGIMENS.map((_, index) => rowId(plan, 'regimen', index)),
      REGIMENS.map(({ code }) => code),
      REGIMENS.map((regimen) => regimen.name),
      REGIMENS.map(({ kind }) => kind),
    ],
  );
}

/** Envelopes of name and phone of each client, as COPY text. */
async function contacts(plan: FacilityPlan, crypto: FieldCrypto | null): Promise<readonly string[]> {
  if (crypto === null) return plan.clients.map(() => '\\N\t\\N');
  const random = createRandom(`${plan.seed}:${plan.facility.slug}:names`);
  const { tenantId } = plan;
  const items = plan.clients.flatMap((_, index) => {
    const row = rowId(plan, 'client', index);
    const name = `${GIVEN[random.between(0, GIVEN.length - 1)]} ${FAMILY[random.between(0, FAMILY.length - 1)]}`;
    // Numbers of 999 belong to no country.
    const phone = `+999${random.between(10_000_000, 99_999_999)}`;
    return [
      { ref: { tenantId, place: 'clinic.clients.name_enc', row }, plain: name },
      { ref: { tenantId, place: 'clinic.clients.phone_enc', row }, plain: phone },
    ];
  });
  const envelopes = await crypto.encryptAll(items);
  return plan.clients.map((_, index) => `${envelopes[2 * index]}\t${envelopes[2 * index + 1]}`);
}

async function copyFacility(
  client: Client,
  plan: FacilityPlan,
  counts: ClinicDemoCounts,
  envelopes: readonly string[],
): Promise<void> {
  counts.clients += await copyRows(
    client,
    'clinic.clients',
    'tenant_id, id, number, status, key_population, registered_on, vl_interval_months, last_visit_at, name_enc, phone_enc',
    clientLines(plan, envelopes),
  );
  await copyRows(
    client,
    'clinic.enrollments',
    'tenant_id, id, client_id, programme, started_on, ended_on',
    enrollmentLines(plan),
  );
  counts.visits += await copyRows(
    client,
    'clinic.encounters',
    'tenant_id, id, client_id, occurred_at, next_appointment_on',
    encounterLines(plan),
  );
  await copyRows(
    client,
    'clinic.dispenses',
    'tenant_id, id, client_id, kind, regimen_id, dispensed_at, days_supplied, next_refill_on',
    dispenseLines(plan),
  );
  counts.labResults += await copyRows(
    client,
    'clinic.lab_results',
    'tenant_id, id, client_id, test, drawn_on, resulted_on, comparator, value, assay_limit',
    labLines(plan),
  );
}

/** Ids rise with the row's number, so that every index is filled from left to right; version 8 (RFC 9562: free for own schemes). */
function rowId(plan: FacilityPlan, kind: keyof typeof ID_KIND, row: number): string {
  return `${plan.tenantId.slice(0, 8)}-${ID_KIND[kind]}000-8000-8000-${row.toString(16).padStart(12, '0')}`;
}

const ago = (plan: FacilityPlan, days: number) => addDays(plan.today, -days);

/** A time of day in the clinic's hours, on its own clock. */
function visitTime(plan: FacilityPlan, daysAgo: number, client: number): string {
  const day = plan.calendar[Math.max(0, plan.calendar.length - daysAgo)] as DemoDay;
  const minute = 8 * 60 + ((client * 7 + daysAgo * 13) % 480);
  const clock = `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
  return `${ago(plan, daysAgo)} ${clock}:00${day.offset}`;
}

function* clientLines(plan: FacilityPlan, envelopes: readonly string[]): Generator<string> {
  for (const [index, client] of plan.clients.entries()) {
    const [last] = client.visits;
    yield [
      plan.tenantId,
      rowId(plan, 'client', index),
      `K${String(index + 1).padStart(6, '0')}`,
      client.status,
      client.keyPopulation,
      ago(plan, client.registeredDaysAgo),
      client.vlIntervalMonths,
      last === undefined ? '\\N' : visitTime(plan, last.daysAgo, index),
      envelopes[index],
    ].join('\t');
  }
}

function* enrollmentLines(plan: FacilityPlan): Generator<string> {
  for (const [index, client] of plan.clients.entries()) {
    if (client.programme === null) continue;
    const ended =
      client.endedDaysAgo === null ? '\\N' : ago(plan, Math.min(client.endedDaysAgo, client.startedDaysAgo));
    const started = ago(plan, client.startedDaysAgo);
    const ids = `${plan.tenantId}\t${rowId(plan, 'enrollment', index)}\t${rowId(plan, 'client', index)}`;
    yield `${ids}\t${client.programme}\t${started}\t${ended}`;
  }
}

function* encounterLines(plan: FacilityPlan): Generator<string> {
  let row = 0;
  for (const [index, client] of plan.clients.entries()) {
    for (const { daysAgo, appointmentInDays } of client.visits) {
      const next = appointmentInDays === null ? '\\N' : addDays(plan.today, appointmentInDays - daysAgo);
      const ids = `${plan.tenantId}\t${rowId(plan, 'encounter', row++)}\t${rowId(plan, 'client', index)}`;
      yield `${ids}\t${visitTime(plan, daysAgo, index)}\t${next}`;
    }
  }
}

function* dispenseLines(plan: FacilityPlan): Generator<string> {
  let row = 0;
  for (const [index, client] of plan.clients.entries()) {
    if (client.programme === null) continue;
    const kind = client.programme === 'ART' ? 'ARV' : 'PREP';
    const regimen = rowId(plan, 'regimen', client.regimen + (kind === 'ARV' ? 0 : 2));
    for (const { daysAgo, supplied } of client.visits) {
      if (supplied === null) continue;
      const ids = `${plan.tenantId}\t${rowId(plan, 'dispense', row++)}\t${rowId(plan, 'client', index)}`;
      const next = addDays(plan.today, supplied - daysAgo);
      yield `${ids}\t${kind}\t${regimen}\t${visitTime(plan, daysAgo, index)}\t${supplied}\t${next}`;
    }
  }
}

function* labLines(plan: FacilityPlan): Generator<string> {
  const random: Random = createRandom(`${plan.seed}:${plan.facility.slug}:limits`);
  let row = 0;
  for (const [index, client] of plan.clients.entries()) {
    for (const { test, drawnDaysAgo, result } of client.labs) {
      const limit = test === 'VL' && result !== null && random.chance(0.7) ? ASSAY_LIMIT : '\\N';
      yield [
        plan.tenantId,
        rowId(plan, 'lab', row++),
        rowId(plan, 'client', index),
        test,
        ago(plan, drawnDaysAgo),
        result === null ? '\\N' : ago(plan, result.daysAgo),
        result === null ? '\\N' : result.comparator,
        result?.value ?? '\\N',
        limit,
      ].join('\t');
    }
  }
}
