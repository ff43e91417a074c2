import pg from 'pg';
import { type ClinicDemoCounts, seedClinics } from './clinic.ts';
import { type GymDemoCounts, seedGyms } from './gym.ts';
import { type LitigationDemoCounts, seedFirms } from './litigation.ts';
import { type MedicationDemoCounts, seedOrganisations } from './medication.ts';
import { seedZakat, type ZakatDemoCounts } from './zakat.ts';

export { demoClinicTenantId } from './clinic.ts';
export { demoGymTenantId } from './gym.ts';
export { demoFirmTenantId } from './litigation.ts';
export { demoOrganisationTenantId, insertMedicationTable } from './medication.ts';
export { DEMO_TABLE_VERSION } from './medication-table.ts';
export { demoZakatTenantId } from './zakat.ts';

export interface SeedDemoOptions {
  /** A superuser, in the database to fill: COPY into tables with row-level security is refused to others. */
  readonly adminUrl: string;
  /** Default 3. */
  readonly gyms?: number;
  /** For each gym, default 2,000. */
  readonly members?: number;
  /** Days of history, default 180. */
  readonly days?: number;
  /** Default 1. Same arguments, same rows. */
  readonly seed?: number;
  /** Now, as far as the data is concerned: history ends on the day before it. Default the clock. */
  readonly endDate?: Date;
  /** Mean visits a member over all days. Default: what the members' habits give, about 32 in 180 days. */
  readonly visitsPerMember?: number;
  /** As in `ENCRYPTION_KEYS`. Without it fields that are stored encrypted stay empty. */
  readonly encryptionKeys?: string | undefined;
  /** Clinics of the HIV programme, default none. */
  readonly facilities?: number;
  /** For each facility, default 1,000. */
  readonly clients?: number;
  /** Users of the zakat system, default 500; needs `encryptionKeys`. */
  readonly zakatUsers?: number;
  /** Firms of the litigation system, default 2, 3 at most; none without `encryptionKeys`. */
  readonly firms?: number;
  /** Organisations of the medication system, default none, 4 at most; needs `encryptionKeys`. */
  readonly organisations?: number;
  /** For each organisation, default 200. */
  readonly organisationUsers?: number;
  /** Hears a short line for each tenant made. */
  readonly onProgress?: (message: string) => void;
}

/** Rows added. `seeded` is false, and nothing was added, when the database had every demo tenant already. */
export interface SeedDemoResult extends GymDemoCounts {
  readonly seeded: boolean;
  readonly clinic: ClinicDemoCounts;
  readonly medication: MedicationDemoCounts;
  readonly zakat: ZakatDemoCounts;
  readonly litigation: LitigationDemoCounts;
}

/** Tables to vacuum afterwards: index-only scans and good plans need it, and autovacuum would come a minute late. */
const FILLED = [
  'gym.members', 'gym.visits', 'gym.coaches', 'gym.coach_members', 'clinic.clients', 'clinic.enrollments', 'clinic.encounters',
  'clinic.dispenses', 'clinic.lab_results', 'litigation.users', 'litigation.cases', 'litigation.tasks', 'litigation.hearings',
  'litigation.documents', 'litigation.automation_logs', 'ops.tenants',
]; // biome-ignore format: a list of names
const FILLED_ZAKAT = ['zakat.users', 'zakat.snapshots', 'zakat.payments', 'zakat.analytics_metrics', 'ops.tenants'];
const FILLED_MEDICATION = [
  'users', 'medications', 'user_medications', 'dose_schedules', 'reminders', 'interactions',
].map((table) => `medication.${table}`); // biome-ignore format: a list of names

/**
 * Fills the database with demo tenants, in one transaction: all or nothing. Deterministic; a second call adds nothing.
 * @throws RangeError naming the argument that is not a positive whole number.
 */
export async function seedDemo(options: SeedDemoOptions): Promise<SeedDemoResult> {
  const sizes = { gyms: options.gyms ?? 3, members: options.members ?? 2_000, days: options.days ?? 180 };
  const clinics = { facilities: options.facilities ?? 0, clients: options.clients ?? 1_000 };
  for (const [name, value] of Object.entries({ ...sizes, ...clinics })) {
    const least = name === 'facilities' ? 0 : 1;
    if (!Number.isInteger(value) || value < least)
      throw new RangeError(`${name} must be a whole number of at least ${least}, got ${value}`);
  }
  const shared = { seed: options.seed ?? 1, endDate: options.endDate ?? new Date() };
  const onProgress = options.onProgress ?? (() => undefined);
  const { visitsPerMember } = options;
  const client = new pg.Client({ connectionString: options.adminUrl, application_name: 'nightshift-seed' });
  await client.connect();
  try {
    await client.query('BEGIN');
    // Two seeds at once take turns. The rows are made to satisfy the foreign keys: checking 2 million of them one by one doubles the time.
    await client.query(
      `SELECT pg_advisory_xact_lock(hashtext('nightshift.demo')), set_config('session_replication_role', 'replica', true)`,
    );
    const counts = await seedGyms(
      client,
      {
        ...sizes,
        ...shared,
        ...(visitsPerMember === undefined ? {} : { visitsPerMember }),
      },
      onProgress,
    );
    const clinic = await seedClinics(
      client,
      { ...clinics, ...shared, encryptionKeys: options.encryptionKeys },
      onProgress,
    );
    const medication = await seedMedication(client, options);
    const zakat = await seedZakatIfKeys(client, options);
    const litigation = await seedLitigation(client, options);
    await client.query('COMMIT');
    const filled = [
      ...(counts.gyms > 0 || clinic.facilities > 0 || litigation.firms > 0 ? FILLED : []),
      ...(medication.organisations > 0 ? FILLED_MEDICATION : []),
      ...(zakat.users > 0 ? FILLED_ZAKAT : []),
    ];
    if (filled.length > 0) await client.query(`VACUUM (ANALYZE) ${[...new Set(filled)].join(', ')}`);
    return { seeded: filled.length > 0, ...counts, clinic, medication, zakat, litigation };
  } finally {
    // Ending the connection rolls back what was not committed.
    await client.end();
  }
}

function seedZakatIfKeys(client: pg.Client, options: SeedDemoOptions): Promise<ZakatDemoCounts> | ZakatDemoCounts {
  const { encryptionKeys, zakatUsers = 500 } = options;
  if (!encryptionKeys) return { users: 0, snapshots: 0, payments: 0, cacheEntries: 0 };
  return seedZakat(
    client,
    { users: zakatUsers, seed: options.seed ?? 1, endDate: options.endDate ?? new Date(), encryptionKeys },
    options.onProgress ?? (() => undefined),
  );
}

async function seedLitigation(client: pg.Client, options: SeedDemoOptions): Promise<LitigationDemoCounts> {
  const { encryptionKeys, firms = 2 } = options;
  if (!encryptionKeys) return { firms: 0, cases: 0, tasks: 0, hearings: 0 };
  const { seed = 1, endDate = new Date(), onProgress = () => undefined } = options;
  const sizes = { cases: 120, tasks: 600, hearings: 100 };
  return seedFirms(client, { firms, ...sizes, seed, endDate, encryptionKeys }, onProgress);
}

async function seedMedication(client: pg.Client, options: SeedDemoOptions): Promise<MedicationDemoCounts> {
  const { encryptionKeys, organisations = 0, organisationUsers = 200 } = options;
  if (!encryptionKeys) return { organisations: 0, users: 0, medications: 0, reminders: 0 };
  const { seed = 1, endDate = new Date(), onProgress = () => undefined } = options;
  return seedOrganisations(
    client,
    { organisations, users: organisationUsers, seed, endDate, encryptionKeys },
    onProgress,
  );
}
