import type { Client } from 'pg';
import { v5 as uuidV5 } from 'uuid';
import { createFieldCrypto, type FieldCrypto, parseKeyring } from '../crypto/index.ts';
import { copyRows } from './copy-rows.ts';
import { type DemoAmount, type DemoZakatUser, planZakatUser } from './zakat-users.ts';

export interface ZakatDemoOptions {
  readonly users: number;
  readonly seed: number;
  /** Now, as far as the data is concerned. */
  readonly endDate: Date;
  /** As in `ENCRYPTION_KEYS`: amounts exist as envelopes alone. */
  readonly encryptionKeys: string;
}

export interface ZakatDemoCounts {
  users: number;
  snapshots: number;
  payments: number;
  cacheEntries: number;
}

/** Users whose rows and envelopes are in memory at once. */
const USERS_A_CHUNK = 200;
const NAMESPACE = '6f0d3a5e-2b57-5d0c-9a54-6e3f0b8a7c11';

export function demoZakatTenantId(seed: number, slug: string): string {
  return uuidV5(`${seed}:zakat:${slug}`, NAMESPACE);
}

/**
 * Adds the demo users that the database doesn't have yet, by slug; the client is a superuser's, in a transaction. The same numbers give the
 * same users, dates and amounts; envelopes differ each time, as they must. Counts are of the rows added.
 */
export async function seedZakat(
  client: Client,
  options: ZakatDemoOptions,
  onProgress: (message: string) => void,
): Promise<ZakatDemoCounts> {
  const counts: ZakatDemoCounts = { users: 0, snapshots: 0, payments: 0, cacheEntries: 0 };
  const { rows } = await client.query<{ slug: string }>(`SELECT slug FROM ops.tenants WHERE system = 'zakat'`);
  const present = new Set(rows.map((row) => row.slug));
  const crypto = createFieldCrypto({ keyring: parseKeyring(options.encryptionKeys), pool: client });
  for (let first = 1; first <= options.users; first += USERS_A_CHUNK) {
    const users: DemoZakatUser[] = [];
    for (let number = first; number < first + USERS_A_CHUNK && number <= options.users; number++) {
      const slug = `user-${String(number).padStart(5, '0')}`;
      if (present.has(slug)) continue;
      users.push(planZakatUser({ ...options, slug, tenantId: demoZakatTenantId(options.seed, slug) }));
    }
    if (users.length > 0) await insertUsers(client, crypto, users, counts);
  }
  if (counts.users > 0) onProgress(`zakat: ${counts.users} users, ${counts.snapshots} snapshots`);
  return counts;
}

async function insertUsers(
  client: Client,
  crypto: FieldCrypto,
  users: readonly DemoZakatUser[],
  counts: ZakatDemoCounts,
): Promise<void> {
  const amounts = users.flatMap(amountsOf);
  const envelopes = await crypto.encryptAll(amounts.map(({ ref, minor }) => ({ ref, plain: String(minor) })));
  const sealed = new Map(amounts.map((amount, index) => [amount, envelopes[index] ?? '']));
  const seal = (amount: DemoAmount) => sealed.get(amount) ?? '';
  await client.query(
    `INSERT INTO ops.tenants (id, system, slug, name, zone)
     SELECT u.id, 'zakat', u.slug, u.name, u.zone FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS u(id, slug, name, zone)`,
    [
      users.map(({ tenantId }) => tenantId),
      users.map(({ slug }) => slug),
      users.map(({ name }) => name),
      users.map(({ zone }) => zone),
    ],
  );
  counts.users += await copyRows(
    client,
    'zakat.users',
    'tenant_id, day_offset',
    users.map((user) => `${user.tenantId}\t${user.dayOffset}`),
  );
  counts.snapshots += await copyRows(
    client,
    'zakat.snapshots',
    'tenant_id, id, reference, snapshot_date, finalised, currency, reaches_nisab, wealth_enc, nisab_enc, zakat_due_enc, changed_at',
    users.flatMap((user) =>
      user.snapshots.map(
        (s) =>
        [user.tenantId, s.id, s.reference, s.date, s.finalised ? 't' : 'f', user.currency, s.reachesNisab ? 't' : 'f', seal(s.wealth), seal(s.nisab), seal(s.zakatDue), s.changedAt].join('\t'), // biome-ignore format: in the order of the columns
      ),
    ),
  );
  counts.payments += await copyRows(
    client,
    'zakat.payments',
    'tenant_id, id, snapshot_id, reference, paid_on, amount_enc',
    users.flatMap((user) =>
      user.payments.map((p) => [user.tenantId, p.id, p.snapshotId, p.reference, p.paidOn, seal(p.amount)].join('\t')),
    ),
  );
  counts.cacheEntries += await copyRows(
    client,
    'zakat.analytics_metrics',
    'tenant_id, id, metric, starts_on, ends_on, value_enc, computed_at',
    users.flatMap((user) =>
      user.cache.map((c) =>
        [user.tenantId, c.id, c.metric, c.startsOn, c.endsOn, seal(c.value), c.computedAt].join('\t'),
      ),
    ),
  );
}

function amountsOf(user: DemoZakatUser): DemoAmount[] {
  return [
    ...user.snapshots.flatMap((snapshot) => [snapshot.wealth, snapshot.nisab, snapshot.zakatDue]),
    ...user.payments.map((payment) => payment.amount),
    ...user.cache.map((entry) => entry.value),
  ];
}
