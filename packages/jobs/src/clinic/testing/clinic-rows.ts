import type { TestStore } from '@nightshift/engine/testing';

/** Days count back from today in the facility's zone. */
export interface NewClient {
  readonly status?: string;
  readonly programme?: 'ART' | 'PREP';
  readonly startedAgo?: number;
  readonly endedAgo?: number;
  readonly registeredAgo?: number;
  /** `appointment` counts forward; `kind` makes a dispense, otherwise it is an encounter. */
  readonly visits?: readonly {
    readonly ago: number;
    readonly appointment?: number;
    readonly kind?: 'ARV' | 'PREP';
    readonly supplied?: number;
    readonly regimen?: string;
  }[];
  /** `value` null: drawn, no result yet. */
  readonly labs?: readonly {
    readonly test: 'CD4' | 'VL';
    readonly drawnAgo: number;
    readonly value: number | null;
    readonly comparator?: '<' | '=' | '>' | 'TND';
  }[];
}

export async function addFacility(
  store: TestStore,
  slug: string,
  zone: string,
  numbers: Readonly<Record<string, number>> = {},
): Promise<string> {
  const id = await store.addTenant('clinic', slug, zone);
  await store.admin.query(`INSERT INTO clinic.facilities (tenant_id, opened_on) VALUES ($1, '2000-01-01')`, [id]);
  for (const [name, value] of Object.entries(numbers))
    await store.admin.query(`UPDATE clinic.facilities SET ${name} = $2 WHERE tenant_id = $1`, [id, value]);
  return id;
}

/** A client with what was done for them, through the triggers as anybody else would. Resolves to the id. */
export async function addClient(store: TestStore, tenantId: string, number: string, more: NewClient): Promise<string> {
  const { rows } = await store.admin.query<{ id: string; today: string }>(
    `INSERT INTO clinic.clients (tenant_id, number, status, registered_on)
     SELECT $1, $2, $3, (now() AT TIME ZONE t.zone)::date - $4::int FROM ops.tenants t WHERE t.id = $1
     RETURNING id, (registered_on + $4::int)::text AS today`,
    [tenantId, number, more.status ?? 'active', more.registeredAgo ?? 0],
  );
  const made = rows[0] ?? { id: '', today: '' };
  const query = (text: string, values: unknown[]) =>
    store.admin.query(text, [tenantId, made.id, made.today, ...values]);
  if (more.programme !== undefined)
    await query(
      `INSERT INTO clinic.enrollments (tenant_id, client_id, programme, started_on, ended_on) VALUES ($1, $2, $4, $3::date - $5::int, $3::date - $6::int)`,
      [more.programme, more.startedAgo ?? 0, more.endedAgo ?? null],
    );
  for (const { ago, appointment = null, kind, supplied = 30, regimen } of more.visits ?? []) {
    // Shortly after the local midnight: never in the future, whatever the hour of the test.
    const at = `($3::date - $4::int + time '00:00:00') AT TIME ZONE (SELECT zone FROM ops.tenants WHERE id = $1)`;
    if (kind === undefined)
      await query(
        `INSERT INTO clinic.encounters (tenant_id, client_id, occurred_at, next_appointment_on) VALUES ($1, $2, ${at}, $3::date + $5::int)`,
        [ago, appointment],
      );
    else
      await query(
        `WITH named AS (
           INSERT INTO clinic.regimens (tenant_id, code, name, kind) SELECT $1, $7, $7, $5 WHERE $7::text IS NOT NULL
           ON CONFLICT (tenant_id, code) DO UPDATE SET name = excluded.name RETURNING id)
         INSERT INTO clinic.dispenses (tenant_id, client_id, kind, dispensed_at, days_supplied, regimen_id)
         VALUES ($1, $2, $5, ${at}, $6, (SELECT id FROM named))`,
        [ago, kind, supplied, regimen ?? null],
      );
  }
  for (const { test, drawnAgo, value, comparator = '=' } of more.labs ?? [])
    await query(
      `INSERT INTO clinic.lab_results (tenant_id, client_id, test, drawn_on, resulted_on, comparator, value)
       VALUES ($1, $2, $4, $3::date - $5::int, CASE WHEN $7::text IS NOT NULL THEN $3::date - $5::int END, $7, $6)`,
      [test, drawnAgo, value, value === null ? null : comparator],
    );
  return made.id;
}
