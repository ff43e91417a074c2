import { createHash, randomUUID } from 'node:crypto';
import { is } from 'drizzle-orm';
import { getTableConfig, PgTable } from 'drizzle-orm/pg-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cloneTestDatabase, type TestDatabase } from './import/test-database.ts';
import { createPool, inTransaction, type Pool } from './index.ts';
import * as clinic from './schema/clinic.ts';
import * as gym from './schema/gym.ts';
import * as litigation from './schema/litigation.ts';
import * as medication from './schema/medication.ts';
import * as backups from './schema/medication-backups.ts';
import * as notifications from './schema/notifications.ts';
import * as ops from './schema/ops.ts';
import * as zakat from './schema/zakat.ts';

/** The migrator's own table: no query of ours touches it but the version check. */
const NOT_OURS = ['ops.migrations'];
/** Names tenants, and is the platform's own: handlers never see a key. */
const KEYS = 'ops.tenant_keys';

const exported: unknown[] = [ops, notifications, clinic, gym, medication, backups, zakat, litigation].flatMap(
  (schema) => Object.values<unknown>(schema),
);
const declared = exported
  .filter((value) => is(value, PgTable))
  .map((table) => {
    const config = getTableConfig(table);
    const composite = config.primaryKeys.flatMap((key) => key.columns.map((column) => column.name));
    return {
      name: `${config.schema}.${config.name}`,
      columns: config.columns
        .map((column) => ({
          name: column.name,
          type: column.getSQLType(),
          notNull: column.notNull,
          filled: column.hasDefault || column.generated !== undefined || column.generatedIdentity !== undefined,
        }))
        .sort(byName),
      primaryKey: composite.length > 0 ? composite : config.columns.filter((c) => c.primary).map((c) => c.name),
    };
  });

interface FoundTable {
  readonly name: string;
  readonly columns: { name: string; type: string; notNull: boolean; filled: boolean }[];
  readonly primaryKey: string[];
  readonly secured: boolean;
  readonly forced: boolean;
  readonly policies: { name: string; role: string; using: string; check: string }[];
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}

let db: TestDatabase;
let found: FoundTable[];

beforeAll(async () => {
  db = await cloneTestDatabase();
  const { rows } = await db.admin.query<FoundTable>(
    `SELECT n.nspname || '.' || c.relname AS name, c.relrowsecurity AS secured, c.relforcerowsecurity AS forced,
       (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', replace(replace(format_type(a.atttypid, NULL), 'ops.', ''), 'time without time zone', 'time'), 'notNull', a.attnotnull,
          'filled', a.atthasdef OR a.attidentity <> '')) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       coalesce((SELECT jsonb_agg(a.attname ORDER BY k.n) FROM pg_constraint p, unnest(p.conkey) WITH ORDINALITY AS k(num, n)
          JOIN pg_attribute a ON a.attnum = k.num WHERE p.conrelid = c.oid AND a.attrelid = c.oid AND p.contype = 'p'), '[]') AS "primaryKey",
       coalesce((SELECT jsonb_agg(jsonb_build_object('name', o.policyname, 'role', o.roles[1], 'using', o.qual, 'check', coalesce(o.with_check, '')))
          FROM pg_policies o WHERE o.schemaname = n.nspname AND o.tablename = c.relname), '[]') AS policies
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('ops', 'clinic', 'gym', 'litigation', 'medication', 'zakat') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`,
  );
  found = rows.filter((table) => !NOT_OURS.includes(table.name));
});

afterAll(() => db.drop());

interface AuditRow {
  readonly seq: number;
  /** Since 2000, as text: more than a number can hold exactly. */
  readonly micros: string;
  readonly tx: string;
  readonly tenant_id: string | null;
  readonly run_id: string | null;
  readonly actor: string;
  readonly action: string;
  readonly details: string | null;
  readonly row_hash: Buffer;
}

/** What migration 0005 says that a row's hash is of, computed here and not by Postgres. */
function auditHash(row: AuditRow): string {
  const int8 = (value: string | number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(BigInt(value));
    return bytes;
  };
  const int4 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(value);
    return bytes;
  };
  const uuid = (value: string | null) => Buffer.from((value ?? '0'.repeat(32)).replaceAll('-', ''), 'hex');
  // jsonb on the wire: a version, then its text.
  const details = row.details === null ? [] : [Buffer.from([1]), Buffer.from(row.details)];
  return createHash('sha256')
    .update(
      Buffer.concat([
        int8(row.seq),
        int8(row.micros),
        int8(row.tx),
        uuid(row.tenant_id),
        uuid(row.run_id),
        int4([...row.actor].length),
        int4([...row.action].length),
        Buffer.from(row.actor + row.action),
        ...details,
      ]),
    )
    .digest('hex');
}

describe('drizzle schema and database', () => {
  it('name the same tables', () => {
    expect(declared.map((table) => table.name).sort()).toEqual(found.map((table) => table.name).sort());
  });

  it.each(declared)('agree on $name', (table) => {
    const real = found.find((other) => other.name === table.name);
    expect(real?.columns.sort(byName)).toEqual(table.columns);
    expect(real?.primaryKey).toEqual(table.primaryKey);
  });
});

describe('row-level security', () => {
  it('is on and forced, with a tenant policy for reading and writing, on every table that has tenants', () => {
    const ofTenants = found.filter(
      (table) =>
        table.name !== KEYS &&
        (table.name === 'ops.tenants' || table.columns.some((column) => column.name === 'tenant_id')),
    );
    expect(ofTenants.length).toBeGreaterThanOrEqual(16);
    for (const table of ofTenants) {
      expect(table, table.name).toMatchObject({ secured: true, forced: true });
      const policy = table.policies.find((p) => p.name === 'tenant');
      expect(policy, table.name).toMatchObject({ role: 'ns_app' });
      const key = table.name === 'ops.tenants' ? 'id' : 'tenant_id';
      expect(policy?.using, table.name).toContain(`${key} = ANY (( SELECT ops.current_tenants()`);
      expect(policy?.check, table.name).toBe(policy?.using);
      // Any other policy of ns_app would be OR-ed with this one.
      expect(
        table.policies.filter((p) => ['ns_app', 'public'].includes(p.role)),
        table.name,
      ).toHaveLength(1);
    }
  });

  it("keeps tenants' keys from handlers and from backups", async () => {
    expect(found.find((table) => table.name === KEYS)).toMatchObject({
      secured: true,
      forced: true,
      policies: [{ name: 'platform', role: 'ns_ops' }],
    });
    const { rows } = await db.admin.query(
      `SELECT r FROM unnest(ARRAY['ns_app', 'ns_backup', 'ns_rollup', 'nightshift']) AS r WHERE has_any_column_privilege(r, 'ops.tenant_keys', 'SELECT')`,
    );
    expect(rows).toEqual([]);
  });

  it('covers every partition: nobody may read one past its parent', async () => {
    const { rows } = await db.admin.query(
      `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname IN ('ops', 'zakat') AND c.relispartition AND (has_table_privilege('ns_app', c.oid, 'SELECT') OR has_table_privilege('ns_ops', c.oid, 'SELECT'))`,
    );
    expect(rows).toEqual([]);
  });

  it('keeps the business tables from the platform role, and platform tables from the tenant role', async () => {
    const { rows } = await db.admin.query<{ role: string; name: string }>(
      `SELECT r AS role, n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(ARRAY['ns_app', 'ns_ops']) r
       WHERE n.nspname IN ('ops', 'clinic', 'gym', 'litigation', 'medication', 'zakat') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         AND has_table_privilege(r, c.oid, 'SELECT') AND ((r = 'ns_ops' AND n.nspname <> 'ops')
           OR (r = 'ns_app' AND n.nspname = 'ops' AND NOT c.relrowsecurity AND c.relname <> 'migrations'))`,
    );
    expect(rows).toEqual([]);
  });
});

describe('what the serving roles may do', () => {
  let opsPool: Pool;
  const [ours, theirs] = [randomUUID(), randomUUID()];

  beforeAll(async () => {
    opsPool = createPool({ url: db.adminUrl, role: 'ns_ops', max: 2, name: 'test' });
    for (const id of [ours, theirs]) await fill(id);
  });
  afterAll(() => opsPool.end());

  /** One row of the tenant in each table of `ops` that has tenants. */
  async function fill(tenantId: string): Promise<void> {
    const run = randomUUID();
    await db.admin.query(`INSERT INTO ops.tenants (id, system, slug, name) VALUES ($1::uuid, 'tiny', $1::text, 'x')`, [
      tenantId,
    ]);
    await db.admin.query(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input)
       VALUES ($1, $2, 'tiny.x', 1, 'tiny', 1, 'queued', 'test', '{}', '{}')`,
      [randomUUID(), tenantId],
    );
    await db.admin.query(
      `INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, actor, options, payload_id)
       VALUES ($1, $2, 'tiny.x', 1, 'tiny', 1, 'failed', 1, now(), now(), 'test', '{}', $1)`,
      [run, tenantId],
    );
    const others = [
      `INSERT INTO ops.payloads (id, tenant_id, runs, inputs) VALUES ($1, $2, ARRAY[$1::uuid], ARRAY['{"n": 1}'::jsonb])`,
      `INSERT INTO ops.attempts (run_id, attempt, tenant_id, outcome) VALUES ($1, 1, $2, 'failed')`,
      `INSERT INTO ops.item_failures (run_id, item_key, tenant_id, error_class, error_message, attempt) VALUES ($1, 'k', $2, 'E', 'm', 1)`,
      `INSERT INTO ops.idempotency_keys (principal, tenant_id, key, body_sha256, run_id) VALUES ('p', $2, 'k', 'x', $1)`,
      `INSERT INTO ops.audit_log (tenant_id, actor, action, run_id) VALUES ($2, 'test', 'x', $1)`,
      `INSERT INTO ops.alerts (id, tenant_id, key, severity, message) VALUES ($1::uuid, $2, $1::text, 'INFO', 'm')`,
      `INSERT INTO ops.notifications (id, tenant_id, dedupe_key, channel, template, priority, to_enc, data_enc)
       VALUES ($1::uuid, $2, $1::text, 'email', 'tiny.x', 1, 'to', 'data')`,
      `INSERT INTO ops.notification_preferences (tenant_id, user_key, channel) VALUES ($2, $1::text, 'email')`,
    ];
    for (const text of others) await db.admin.query(text, [run, tenantId]);
    await db.admin.query(`INSERT INTO ops.job_settings (job, tenant_id, updated_by) VALUES ('tiny.x', $1, 'test')`, [
      tenantId,
    ]);
  }

  const readable = [
    'open_runs', 'runs', 'payloads', 'run_payloads', 'attempts', 'item_failures', 'idempotency_keys', 'audit_log', 'job_settings', 'alerts',
    'notifications', 'notification_preferences',
  ]; // biome-ignore format: a list of names

  it.each(readable)('shows of ops.%s the rows of the tenants in hand, and no row without any', async (table) => {
    const owners = (ids: string[]) =>
      inTransaction(db.app, ids, async (client) => {
        const { rows } = await client.query<{ tenant_id: string }>(`SELECT tenant_id FROM ops.${table}`);
        return rows.map((row) => row.tenant_id).sort();
      });
    expect(await owners([ours])).toEqual([ours]);
    expect(await owners([ours, theirs])).toEqual([ours, theirs].sort());
    expect(await owners([])).toEqual([]);
    expect((await db.app.query(`SELECT FROM ops.${table}`)).rowCount).toBe(0);
  });

  it('shows the view of runs to their tenant alone', async () => {
    const rows = await inTransaction(
      db.app,
      [ours],
      async (client) => (await client.query('SELECT DISTINCT tenant_id FROM ops.run_view')).rows,
    );
    expect(rows).toEqual([{ tenant_id: ours }]);
    expect((await db.app.query('SELECT FROM ops.run_view')).rowCount).toBe(0);
  });

  it('refuses a row written for another tenant', async () => {
    const write = inTransaction(db.app, [ours], (client) =>
      client.query(`INSERT INTO ops.audit_log (tenant_id, actor, action) VALUES ($1, 'test', 'x')`, [theirs]),
    );
    await expect(write).rejects.toMatchObject({ code: '42501' });
    const taken = inTransaction(db.app, [ours], (client) =>
      client.query('UPDATE ops.open_runs SET tenant_id = $1 WHERE tenant_id = $2', [theirs, ours]),
    );
    await expect(taken).rejects.toMatchObject({ code: '42501' });
    const changed = await inTransaction(db.app, [ours], (client) =>
      client.query(`UPDATE ops.open_runs SET actor = 'thief' WHERE tenant_id = $1`, [theirs]),
    );
    expect(changed.rowCount).toBe(0);
  });

  const changes = ['audit_log', 'runs'].flatMap((table) => [
    `UPDATE ops.${table} SET actor = 'somebody else'`,
    `DELETE FROM ops.${table}`,
    `TRUNCATE ops.${table}`,
  ]);

  it.each(changes)('refuses both serving roles: %s', async (text) => {
    await expect(inTransaction(db.app, [ours], (client) => client.query(text))).rejects.toMatchObject({
      code: '42501',
    });
    await expect(opsPool.query(text)).rejects.toMatchObject({ code: '42501' });
  });

  it('refuses even the superuser to change audit rows and ended runs', async () => {
    for (const text of changes) {
      await expect(db.admin.query(text), text).rejects.toThrow('append-only');
    }
  });

  it('hashes each audit row, so that a changed one no longer fits', async () => {
    await db.admin.query(
      `INSERT INTO ops.audit_log (actor, action, details) VALUES ('back\\slash é', 'test.hash', '{"a": "\\u00e9"}')`,
    );
    const { rows } = await db.admin.query<AuditRow>(
      `SELECT seq, (extract(epoch FROM at - timestamptz '2000-01-01 00:00:00Z') * 1000000)::bigint::text AS micros, tx::text, tenant_id, run_id, actor, action,
         details::text, row_hash FROM ops.audit_log`,
    );
    expect(rows.length).toBeGreaterThan(1);
    for (const row of rows) {
      expect(auditHash(row)).toEqual(row.row_hash.toString('hex'));
      expect(auditHash({ ...row, actor: 'other' })).not.toEqual(row.row_hash.toString('hex'));
    }
  });
});
