import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFieldCrypto, parseKeyring } from '../crypto/index.ts';
import { cloneTestDatabase, type TestDatabase } from '../import/test-database.ts';
import { demoZakatTenantId, type SeedDemoResult, seedDemo } from './index.ts';

const KEYS = `k1:${Buffer.from('a key of tests, of no other use!').toString('base64')}`;
const SIZES = {
  gyms: 1,
  members: 1,
  days: 1,
  zakatUsers: 450,
  seed: 7,
  endDate: new Date('2026-11-21T00:30:00Z'),
  encryptionKeys: KEYS,
};
/** All but the envelopes. */
const FINGERPRINT = `
  SELECT (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM (SELECT id, slug, name, zone FROM ops.tenants WHERE system = 'zakat') AS t) AS users,
         (SELECT md5(string_agg(s::text, ',' ORDER BY tenant_id, id)) FROM (SELECT tenant_id, id, reference, snapshot_date, finalised, currency, reaches_nisab, changed_at FROM zakat.snapshots) AS s) AS snapshots,
         (SELECT md5(string_agg(p::text, ',' ORDER BY tenant_id, id)) FROM (SELECT tenant_id, id, snapshot_id, reference, paid_on FROM zakat.payments) AS p) AS payments,
         (SELECT md5(string_agg(c::text, ',' ORDER BY tenant_id, id)) FROM (SELECT tenant_id, id, metric, computed_at FROM zakat.analytics_metrics) AS c) AS cache`;

let one: TestDatabase;
let two: TestDatabase;
let result: SeedDemoResult;

beforeAll(async () => {
  [one, two] = await Promise.all([cloneTestDatabase(), cloneTestDatabase()]);
  result = await seedDemo({ adminUrl: one.adminUrl, ...SIZES });
});
afterAll(() => Promise.all([one.drop(), two.drop()]));

const number = async (sql: string) => Number((await one.admin.query(sql)).rows[0].n);

describe('demo data of the zakat system', () => {
  test('counts are those of the tables; every user has their own data key', async () => {
    expect(result.zakat.users).toBe(450);
    expect(await number('SELECT count(*) AS n FROM zakat.snapshots')).toBe(result.zakat.snapshots);
    expect(await number('SELECT count(*) AS n FROM zakat.payments')).toBe(result.zakat.payments);
    expect(await number('SELECT count(*) AS n FROM zakat.analytics_metrics')).toBe(result.zakat.cacheEntries);
    expect(
      await number(
        'SELECT count(DISTINCT k.tenant_id) AS n FROM ops.tenant_keys k JOIN zakat.users u ON u.tenant_id = k.tenant_id',
      ),
    ).toBe(450);
  });

  test('the same arguments give the same rows, their envelopes apart; without keys there are none, a second call adds nothing', async () => {
    const { encryptionKeys, ...keyless } = SIZES;
    expect((await seedDemo({ adminUrl: two.adminUrl, ...keyless })).zakat.users).toBe(0);
    await seedDemo({ adminUrl: two.adminUrl, ...SIZES });
    const [first, second] = await Promise.all([one.admin.query(FINGERPRINT), two.admin.query(FINGERPRINT)]);
    expect(second.rows).toEqual(first.rows);
    expect(await seedDemo({ adminUrl: two.adminUrl, ...SIZES, seed: 8 })).toMatchObject({ seeded: false });
    expect(demoZakatTenantId(8, 'user-00001')).not.toBe(demoZakatTenantId(7, 'user-00001'));
  });

  test('envelopes open at their place: zakat due is a fortieth of wealth at nisab or above, else nothing', async () => {
    const crypto = createFieldCrypto({ keyring: parseKeyring(KEYS), pool: one.admin });
    const { rows } = await one.admin.query<Record<string, string> & { reaches_nisab: boolean }>(
      'SELECT tenant_id, id, reaches_nisab, wealth_enc, nisab_enc, zakat_due_enc FROM zakat.snapshots ORDER BY random() LIMIT 50',
    );
    for (const snapshot of rows) {
      const open = async (column: string) => {
        const ref = { tenantId: snapshot.tenant_id ?? '', place: `zakat.snapshots.${column}`, row: snapshot.id ?? '' };
        return Number(await crypto.decrypt(ref, snapshot[column] ?? ''));
      };
      const [wealth, nisab, due] = [await open('wealth_enc'), await open('nisab_enc'), await open('zakat_due_enc')];
      expect(snapshot.reaches_nisab).toBe(wealth >= nisab);
      expect(due).toBe(snapshot.reaches_nisab ? Math.round(wealth / 40) : 0);
    }
  });

  test('every foreign key holds, though COPY did not ask', async () => {
    const { rows } = await one.admin.query<{ name: string; table: string; definition: string }>(
      `SELECT conname AS name, conrelid::regclass AS table, pg_get_constraintdef(oid) AS definition
       FROM pg_constraint WHERE connamespace = 'zakat'::regnamespace AND contype = 'f' AND conparentid = 0`,
    );
    expect(rows.length).toBeGreaterThanOrEqual(6);
    for (const { name, table, definition } of rows) {
      await one.admin.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
      await one.admin.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`);
    }
  });

  test('it has what the jobs look for', async () => {
    for (const [what, sql] of Object.entries({
      drafts: 'SELECT count(*) AS n FROM zakat.snapshots WHERE NOT finalised',
      'below nisab': 'SELECT count(*) AS n FROM zakat.snapshots WHERE finalised AND NOT reaches_nisab',
      'an anniversary in 30 days': `SELECT count(*) AS n FROM (SELECT max(snapshot_date) AS last FROM zakat.snapshots WHERE finalised GROUP BY tenant_id) AS latest WHERE last BETWEEN date '2026-11-21' - 354 AND date '2026-11-21' - 325`,
      'old entries': `SELECT count(*) AS n FROM zakat.analytics_metrics WHERE computed_at < '2026-11-20T00:30Z'`,
      'fresh entries': `SELECT count(*) AS n FROM zakat.analytics_metrics WHERE computed_at >= '2026-11-20T00:30Z'`,
      offsets: 'SELECT count(*) AS n FROM zakat.users WHERE day_offset <> 0',
      unpaid:
        'SELECT count(*) AS n FROM zakat.snapshots s WHERE reaches_nisab AND NOT EXISTS (SELECT FROM zakat.payments p WHERE p.snapshot_id = s.id)',
    })) {
      expect(await number(sql), what).toBeGreaterThan(5);
    }
    expect(await number(`SELECT count(*) AS n FROM zakat.payments WHERE paid_on > '2026-11-21'`)).toBe(0);
  });
});
