import pg from 'pg';

/** As long as a real one: the two jobs that are timed over these rows read none. */
const ENVELOPE = `ns1.${'k'.repeat(16)}.${'i'.repeat(16)}.${'c'.repeat(32)}`;

/**
 * Adds users until there are so many, each with a finalised snapshot whose anniversary falls within the next 28 days, the most that a
 * night can have to remind of.
 */
export async function addUsers(adminUrl: string, users: number): Promise<void> {
  await withAdmin(adminUrl, async (client) => {
    await client.query(
      `INSERT INTO ops.tenants (id, system, slug, name, zone)
       SELECT gen_random_uuid(), 'zakat', 'bench-' || n, 'User ' || n, (ARRAY['UTC', 'Asia/Riyadh', 'Asia/Karachi', 'America/New_York'])[1 + n % 4]
       FROM generate_series(1, $1::int - (SELECT count(*) FROM ops.tenants WHERE system = 'zakat' AND kind = 'tenant')) AS n`,
      [users],
    );
    await client.query(
      `INSERT INTO zakat.users (tenant_id) SELECT id FROM ops.tenants WHERE system = 'zakat' AND kind = 'tenant' ON CONFLICT DO NOTHING`,
    );
    await client.query(
      `INSERT INTO zakat.snapshots (tenant_id, reference, snapshot_date, finalised, currency, reaches_nisab, wealth_enc, nisab_enc, zakat_due_enc)
       SELECT tenant_id, 'bench', current_date - 327 - (row_number() OVER () % 26)::int, true, 'EUR', true, $1, $1, $1 FROM zakat.users`,
      [ENVELOPE],
    );
  });
}

/** Cache entries of all users in turn, the first `expired` of them two days old. */
export async function addEntries(adminUrl: string, entries: number, expired: number): Promise<void> {
  await withAdmin(adminUrl, async (client) => {
    await client.query('TRUNCATE zakat.analytics_metrics');
    await client.query(
      `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
       SELECT users.ids[1 + n % cardinality(users.ids)], 'wealth-trend', '2025-01-01', '2025-12-31', $1,
         now() - (CASE WHEN n < $3 THEN interval '2 days' ELSE interval '2 hours' END) - make_interval(secs => n % 3600)
       FROM (SELECT array_agg(tenant_id) AS ids FROM zakat.users) AS users, generate_series(0, $2::int - 1) AS n`,
      [ENVELOPE, entries, expired],
    );
  });
}

export async function vacuum(adminUrl: string): Promise<void> {
  await withAdmin(adminUrl, async (client) => {
    await client.query(
      'VACUUM (ANALYZE) ops.tenants, zakat.users, zakat.snapshots, zakat.analytics_metrics, zakat.reminder_events',
    );
    await client.query('CHECKPOINT');
  });
}

export async function withAdmin<T>(adminUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
