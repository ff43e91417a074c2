import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { inSnapshot } from '@nightshift/db';
import { seedDemo } from '@nightshift/db/demo';
import { type TestStore, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DamagedBackupError, NotEmptyError } from './errors.ts';
import { listBackups } from './find-backups.ts';
import type { Manifest } from './manifest.ts';
import { verifyBackup } from './read-backup.ts';
import { restoreBackup } from './restore.ts';
import { backupSettings } from './settings.ts';
import { quoted, readTables } from './tables.ts';
import { type BackupRequest, writeBackup } from './write-backup.ts';

const root = mkdtempSync(join(tmpdir(), 'nightshift-backup-'));
const env = {
  BACKUP_ROOT: root,
  ENCRYPTION_KEYS: `k2:${randomBytes(32).toString('base64')},k1:${randomBytes(32).toString('base64')}`,
};
const settings = backupSettings(env);
const stores: TestStore[] = [];

async function newStore(): Promise<TestStore> {
  const store = await testStore();
  stores.push(store);
  return store;
}

/** Everything that makes a table awkward; in schema `odd`, owned and guarded like the others. */
const ODD = `
  CREATE SCHEMA odd AUTHORIZATION ns_owner;
  SET ROLE ns_owner;
  GRANT USAGE ON SCHEMA odd TO ns_backup;
  CREATE TYPE odd.mood AS ENUM ('good', 'bad');
  CREATE TABLE odd.left_side (tenant_id uuid, id int, right_id int, PRIMARY KEY (tenant_id, id));
  CREATE TABLE odd.right_side (tenant_id uuid, id int, left_id int, PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, left_id) REFERENCES odd.left_side (tenant_id, id));
  ALTER TABLE odd.left_side ADD CONSTRAINT circle FOREIGN KEY (tenant_id, right_id) REFERENCES odd.right_side (tenant_id, id);
  CREATE TABLE odd.values (
    tenant_id uuid NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, note text, doubled text GENERATED ALWAYS AS (note || note) STORED,
    raw bytea, j jsonb, mood odd.mood, list text[], big numeric, f float8, at timestamptz, d date, span interval, "Odd ""name" text,
    parent bigint, PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, parent) REFERENCES odd.values (tenant_id, id));
  CREATE TABLE odd.keyless (tenant_id uuid, n int);
  CREATE TABLE odd.log (what text);
  CREATE FUNCTION odd.write_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO odd.log VALUES (TG_OP); RETURN NEW; END $$;
  CREATE TRIGGER logged AFTER INSERT OR UPDATE ON odd.values FOR EACH ROW EXECUTE FUNCTION odd.write_log();
  ALTER TABLE odd.values ENABLE ROW LEVEL SECURITY;
  ALTER TABLE odd.values FORCE ROW LEVEL SECURITY;
  CREATE POLICY backup ON odd.values FOR SELECT TO ns_backup USING (true);
  GRANT SELECT ON ALL TABLES IN SCHEMA odd TO ns_backup;
  CREATE MATERIALIZED VIEW odd.counts AS SELECT count(*) AS n FROM odd.log;
  RESET ROLE;`;

async function addOdd(store: TestStore): Promise<void> {
  await store.admin.query(ODD);
}

const TENANT = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';
const BUNDLE = '01900000-0000-7000-8000-000000000000';

async function fillOdd({ admin }: TestStore): Promise<void> {
  await admin.query(`
    BEGIN; SET LOCAL session_replication_role = replica;
    INSERT INTO odd.left_side VALUES ('${TENANT}', 1, 2), ('${TENANT}', 2, NULL);
    INSERT INTO odd.right_side VALUES ('${TENANT}', 2, 1);
    COMMIT;
    INSERT INTO odd.keyless VALUES ('${TENANT}', 1), ('${TENANT}', 1), (NULL, NULL);`);
  await admin.query(
    `INSERT INTO odd.values (tenant_id, note, raw, j, mood, list, big, f, at, d, span, "Odd ""name")
     VALUES ($1, $2, $3, '{"a": [1, "\\u00e9"]}', 'bad', ARRAY['x', NULL, 'y,"z"'], 1e40, 0.1::float8 + 0.2::float8, 'infinity', '0044-03-15 BC', '1 mon -2 days', E'tab\\there'),
            ($1, NULL, NULL, 'null', NULL, '{}', 'NaN', '-Infinity', '2024-02-29 12:34:56.789012+05:30', NULL, NULL, '\\N')`,
    [TENANT, 'line\nbreak \\. \\N \t ü 😀', Buffer.from([0, 10, 92, 255])],
  );
  await admin.query(
    `INSERT INTO odd.values (tenant_id, note) SELECT '${OTHER}', repeat('x', n) FROM generate_series(1, 300) n`,
  );
}

/** A bundle of two gyms, which share the id of its payloads: a run of each that answered nothing, and one that answered. */
async function addPayloads({ admin }: TestStore): Promise<void> {
  await admin.query(
    `WITH given AS (
       SELECT ('01900000-0000-7000-8000-' || substr(md5(t.id || n::text), 1, 12))::uuid AS id, t.id AS tenant_id, n FROM (SELECT id FROM ops.tenants WHERE system = 'gym') AS t, generate_series(1, 2) AS n
     ), history AS (
       INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, actor, options, payload_id)
       SELECT id, tenant_id, 'gym.x', 1, 'gym', 2, 'completed', 1, now(), now(), 'test', '{}', '${BUNDLE}' FROM given
     )
     INSERT INTO ops.payloads (id, tenant_id, runs, inputs, results)
     SELECT '${BUNDLE}', tenant_id, array_agg(id), array_agg(jsonb_build_object('n', n, 'text', E'{"a", \\\\N}\\n')), array_agg(CASE WHEN n = 2 THEN '"done"'::jsonb END)
     FROM given GROUP BY tenant_id`,
  );
}

async function backUp(store: TestStore, over: Partial<BackupRequest> & { path?: string } = {}): Promise<Manifest> {
  const storage = await settings.storage('local', over.path ?? '');
  const signal = over.signal ?? new AbortController().signal;
  return inSnapshot(
    { url: store.databaseUrl, name: 'test-snapshot', timeoutMs: 60_000, signal },
    (snapshot) =>
    writeBackup({
      type: 'full', tenant: null, baseId: null, snapshot, storage, signal,
      keyring: settings.keyring(),
      attempt: randomBytes(6).toString('hex'),
      ...over,
    }), // biome-ignore format: names alone
  );
}

/** Count and hash of every row of every table, whatever way the product hashes them. */
async function contents({ admin }: TestStore): Promise<Record<string, string>> {
  const client = await admin.connect();
  try {
    const each = (await readTables(client)).map(({ name, sql, columns }) => {
      const row = `ROW(${columns.map((column) => quoted(column.name)).join(', ')})::text`;
      return `SELECT '${name}' AS name, count(*) || ' ' || md5(coalesce(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), '')) AS rows FROM (SELECT ${row} AS line FROM ${sql}) AS lines`;
    });
    const { rows } = await client.query<{ name: string; rows: string }>(each.join('\nUNION ALL '));
    return Object.fromEntries(rows.map((table) => [table.name, table.rows]));
  } finally {
    client.release();
  }
}

/** That a restore which failed left nothing. */
async function expectEmpty({ admin }: TestStore): Promise<void> {
  const { rows } = await admin.query(
    'SELECT (SELECT count(*)::int FROM odd.values) AS odd, (SELECT count(*)::int FROM gym.members) AS members',
  );
  expect(rows).toEqual([{ odd: 0, members: 0 }]);
}

/** Rows of every materialized view that has been filled. */
async function viewsOf({ admin }: TestStore): Promise<Record<string, string[]>> {
  const { rows } = await admin.query<{ name: string; filled: boolean }>(
    `SELECT format('%I.%I', schemaname, matviewname) AS name, ispopulated AS filled FROM pg_matviews ORDER BY 1`,
  );
  const found: Record<string, string[]> = {};
  for (const { name, filled } of rows) {
    const lines = filled ? (await admin.query<{ line: string }>(`SELECT v::text AS line FROM ${name} v`)).rows : [];
    found[name] = lines.map((row) => row.line).sort();
  }
  return found;
}

async function restoreInto(store: TestStore, id: string, path = '') {
  const database = new URL(store.adminUrl).pathname.slice(1);
  const storage = await settings.storage('local', path);
  return restoreBackup({ storage, keyring: settings.keyring(), id, adminUrl: store.adminUrl, database });
}

let source: TestStore;
/** A backup of the source as it is, for all who only read it. */
let whole: Manifest;
const WHOLE = 'whole';
/** For what must fail and leave nothing. */
let empty: TestStore;

beforeAll(async () => {
  source = await newStore();
  await addOdd(source);
  await seedDemo({
    adminUrl: source.adminUrl, encryptionKeys: env.ENCRYPTION_KEYS,
    gyms: 2, members: 40, days: 20, facilities: 1, clients: 30, zakatUsers: 20, firms: 1, organisations: 1, organisationUsers: 20,
  }); // biome-ignore format: sizes
  await fillOdd(source);
  await source.admin.query(
    `INSERT INTO ops.audit_log (at, actor, action, details) SELECT now() - make_interval(days => n), 'test', 'a', '{"n": 1}' FROM generate_series(0, 99) n`,
  );
  await addPayloads(source);
  whole = await backUp(source, { path: WHOLE });
  empty = await newStore();
  await addOdd(empty);
});
afterAll(async () => {
  await Promise.all(stores.map((store) => store.close()));
  rmSync(root, { recursive: true, force: true });
});

test('a full backup, restored into an empty database, has identical rows in every table, and leaves its guards in place', async () => {
  const before = await contents(source);
  const systems = Object.entries(before).flatMap(([name, rows]) => (rows.startsWith('0 ') ? [] : [name.split('.')[0]]));
  expect(systems).toEqual(expect.arrayContaining(['clinic', 'gym', 'litigation', 'medication', 'odd', 'ops', 'zakat']));
  const target = await newStore();
  await addOdd(target);
  const restored = await restoreInto(target, whole.id, WHOLE);
  expect(await contents(target)).toEqual(before);
  expect(restored.rows).toBe(Object.values(before).reduce((sum, one) => sum + Number(one.split(' ')[0]), 0));
  // The trigger did not fire for restored rows, is on again, and so are keys and row-level security.
  const guards = `SELECT (SELECT tgenabled FROM pg_trigger WHERE tgname = 'logged') AS fires, (SELECT count(*)::int FROM pg_constraint WHERE contype = 'f') AS keys,
    (SELECT count(*)::int FROM pg_class WHERE relforcerowsecurity) AS forced, (SELECT n::int FROM odd.counts) AS seen`;
  const views = await viewsOf(source);
  for (const name of Object.keys(views)) await source.admin.query(`REFRESH MATERIALIZED VIEW ${name}`);
  expect(await viewsOf(target)).toEqual(await viewsOf(source));
  expect((await target.admin.query(guards)).rows).toEqual((await source.admin.query(guards)).rows);
  // The next values do not collide.
  await target.admin.query(`INSERT INTO odd.values (tenant_id, note) VALUES ('${TENANT}', 'next')`);
  const seq = `SELECT last_value AS n FROM ops.audit_log_seq_seq`;
  expect((await target.admin.query(seq)).rows).toEqual((await source.admin.query(seq)).rows);
});

test('a changed row, a changed hash, a row too many: a restore that would not be the backup commits nothing', async () => {
  // A table that does not take what it is given: a trigger that fires whatever happens would.
  await empty.admin.query(`ALTER TABLE odd.values ALTER COLUMN f TYPE float4`);
  await expect(restoreInto(empty, whole.id, WHOLE)).rejects.toThrow(/odd\.values has other rows/);
  await expectEmpty(empty);
  await empty.admin.query(`ALTER TABLE odd.values ALTER COLUMN f TYPE float8`);
});

test('a database that holds rows is refused, and what is there is named', async () => {
  const tenant = await empty.addTenant('gym', 'somebody');
  const before = await contents(empty);
  const refusal = await restoreInto(empty, whole.id, WHOLE).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(NotEmptyError);
  expect(String(refusal)).toMatch(/ops\.tenants \(1 rows\)/);
  expect(await contents(empty)).toEqual(before);
  await empty.admin.query('DELETE FROM ops.tenants WHERE id = $1', [tenant]);
});

test('a database of somebody else is refused before anything is made in it', async () => {
  const target = await newStore();
  await target.admin.query(
    `DELETE FROM ops.migrations; CREATE TABLE public.mine (n int); INSERT INTO public.mine VALUES (1)`,
  );
  await expect(restoreInto(target, whole.id, WHOLE)).rejects.toThrow(/public\.mine \(1 rows\)/);
  expect((await target.admin.query('SELECT count(*)::int AS n FROM ops.migrations')).rows).toEqual([{ n: 0 }]);
});

describe('incremental', () => {
  test('a chain of three restores to the rows of its last link: changed, deleted, moved, truncated, untouched', async () => {
    const store = await newStore();
    await addOdd(store);
    await fillOdd(store);
    const { admin } = store;
    const path = 'chain';
    const full = await backUp(store, { path });

    await admin.query(
      `DELETE FROM odd.values WHERE id % 7 = 0; UPDATE odd.values SET note = 'changed' WHERE id % 5 = 0`,
    );
    await admin.query(`INSERT INTO odd.values (tenant_id, note) VALUES ('${TENANT}', 'new')`);
    await admin.query(
      `UPDATE odd.values SET tenant_id = '${OTHER}' WHERE note = 'new'; DELETE FROM odd.keyless WHERE n IS NULL`,
    );
    await store.addTenant('gym', 'late');
    const first = await backUp(store, { path, type: 'incremental', baseId: full.id });
    const afterFirst = await contents(store);

    await admin.query(`ALTER TABLE odd.values DISABLE TRIGGER USER; TRUNCATE odd.values; TRUNCATE odd.keyless`);
    await admin.query(`INSERT INTO odd.values (tenant_id, note) VALUES ('${OTHER}', 'after all')`);
    await admin.query('VACUUM FREEZE odd.values');
    const second = await backUp(store, { path, type: 'incremental', baseId: first.id });
    const afterSecond = await contents(store);

    for (const [id, expected] of [
      [first.id, afterFirst],
      [second.id, afterSecond],
    ] as const) {
      const target = await newStore();
      await addOdd(target);
      const restored = await restoreInto(target, id, path);
      expect(restored.chain).toEqual(id === first.id ? [full.id, first.id] : [full.id, first.id, second.id]);
      expect(await contents(target)).toEqual(expected);
    }
  });

  test('rows of transactions that were open during the full backup are neither lost nor doubled', async () => {
    const store = await newStore();
    await addOdd(store);
    await fillOdd(store);
    const path = 'open';
    const open = await store.admin.connect();
    await open.query(`BEGIN; INSERT INTO odd.values (tenant_id, note) VALUES ('${TENANT}', 'still open')`);
    // Committed while the other is open: seen by the snapshot, and above its horizon.
    await store.admin.query(
      `INSERT INTO odd.values (tenant_id, note) VALUES ('${TENANT}', 'seen'), ('${TENANT}', 'seen, then deleted')`,
    );
    const full = await backUp(store, { path });
    const values = full.tables.find((table) => table.name === 'odd.values');
    const [settled, fresh] = ['settled', 'fresh'].map((kind) =>
      (values?.sections ?? []).reduce((sum, one) => sum + (one.kind === kind ? one.rows : 0), 0),
    );
    // Transactions of other tests' databases hold the horizon back too, so that more than these two may be above it.
    expect(fresh).toBeGreaterThanOrEqual(2);
    expect((settled ?? 0) + (fresh ?? 0)).toBe(304);
    const afterFull = await contents(store);
    await open.query('COMMIT');
    open.release();
    await store.admin.query(`DELETE FROM odd.values WHERE note = 'seen, then deleted'`);
    const next = await backUp(store, { path, type: 'incremental', baseId: full.id });
    const afterNext = await contents(store);
    for (const [id, expected] of [
      [full.id, afterFull],
      [next.id, afterNext],
    ] as const) {
      const target = await newStore();
      await addOdd(target);
      await restoreInto(target, id, path);
      expect(await contents(target)).toEqual(expected);
    }
  });

  test('what did not change is not sent again, nor are its keys', async () => {
    const next = await backUp(source, { path: WHOLE, type: 'incremental', baseId: whole.id });
    expect(next.tables.flatMap((table) => (table.key === null ? [] : table.sections))).toEqual([]);
    expect(next.tables.map(({ name, hash }) => [name, hash])).toEqual(
      whole.tables.map(({ name, hash }) => [name, hash]),
    );
  });

  test('without its base, of another database or another schema, none is made', async () => {
    const other = await newStore();
    await addOdd(other);
    await expect(backUp(other, { path: WHOLE, type: 'incremental', baseId: whole.id })).rejects.toThrow(
      /another database/,
    );
    await expect(backUp(source, { path: 'elsewhere', type: 'incremental', baseId: whole.id })).rejects.toThrow(
      /Make a full one/,
    );
  });
});

test('a tenant’s backup holds its rows and nobody else’s, and restores by itself', async () => {
  const { rows } = await source.admin.query<{ id: string; slug: string }>(
    `SELECT id, slug FROM ops.tenants WHERE system = 'gym' ORDER BY slug LIMIT 1`,
  );
  const tenant = { id: rows[0]?.id ?? '', system: 'gym', slug: rows[0]?.slug ?? '' };
  const manifest = await backUp(source, { path: 'one', type: 'tenant', tenant });
  expect(manifest.tables.map((table) => table.name)).not.toContain('ops.schedules');
  const target = await newStore();
  await addOdd(target);
  await restoreInto(target, manifest.id, 'one');
  const own = `SELECT (SELECT count(*)::int FROM gym.visits WHERE tenant_id = $1) AS visits, (SELECT count(*)::int FROM gym.members WHERE tenant_id = $1) AS members`;
  expect((await target.admin.query(own, [tenant.id])).rows).toEqual((await source.admin.query(own, [tenant.id])).rows);
  const payloads = `SELECT tenant_id, input, result FROM ops.run_payloads WHERE $1::uuid IS NULL OR tenant_id = $1 ORDER BY input ->> 'n'`;
  const kept = (await target.admin.query(payloads, [null])).rows;
  expect(kept).toMatchObject([{ tenant_id: tenant.id, result: null }, { result: 'done' }]);
  expect(kept).toEqual((await source.admin.query(payloads, [tenant.id])).rows);
  const others = await target.admin.query(`SELECT slug FROM ops.tenants WHERE kind = 'tenant'`);
  expect(others.rows).toEqual([{ slug: tenant.slug }]);
  expect((await target.admin.query('SELECT count(DISTINCT tenant_id)::int AS n FROM gym.visits')).rows).toEqual([
    { n: 1 },
  ]);
});

describe('what is stored', () => {
  let manifest: Manifest;
  const path = 'stored';
  const file = (suffix: string) => join(root, path, `${manifest.id}${suffix}`);
  const verify = async () => verifyBackup(await settings.storage('local', path), settings.keyring(), manifest.id);

  beforeAll(async () => {
    manifest = await backUp(source, { path });
  });

  test('is a data file and a manifest, and verifies', async () => {
    expect(readdirSync(join(root, path)).sort()).toEqual([`${manifest.id}.manifest.json`, `${manifest.id}.nsbackup`]);
    expect(await verify()).toEqual([
      {
        id: manifest.id,
        tables: manifest.tables.length,
        rows: manifest.tables.reduce((sum, table) => sum + table.rows, 0),
        bytes: manifest.data.bytes,
      },
    ]);
  });

  test('shows no row and no key', async () => {
    const data = readFileSync(file('.nsbackup'));
    expect(data.includes('xxxxxxxxxx')).toBe(false);
    expect(data.includes('iron-works')).toBe(false);
    const text = readFileSync(file('.manifest.json'), 'utf8');
    for (const key of env.ENCRYPTION_KEYS.split(',')) expect(text).not.toContain(key.split(':')[1]);
    expect(manifest.tables.map((table) => table.name)).not.toContain('ops.tenant_keys');
  });

  test('opens with the key it was made under, wherever that stands among the keys, and with no other', async () => {
    const [k2 = '', k1 = ''] = env.ENCRYPTION_KEYS.split(',');
    const opens = async (keys: string) => {
      const other = backupSettings({ ...env, ENCRYPTION_KEYS: keys });
      return verifyBackup(await other.storage('local', path), other.keyring(), manifest.id);
    };
    expect(await opens(`${k1},${k2}`)).toHaveLength(1);
    await expect(opens(k1)).rejects.toThrow(/under key 'k2', which ENCRYPTION_KEYS does not hold/);
    await expect(opens(`k2:${randomBytes(32).toString('base64')}`)).rejects.toThrow(/another key under that id/);
  });

  test.each<[string, (data: Buffer) => Buffer]>([
    [
      'one bit',
      (data) => {
        data[data.length >> 1] = (data[data.length >> 1] ?? 0) ^ 1;
        return data;
      },
    ],
    ['the end cut off', (data) => data.subarray(0, data.length - 100)],
    ['nothing left', () => Buffer.alloc(0)],
    ['something added', (data) => Buffer.concat([data, Buffer.from('x')])],
  ])('is refused when its data was changed: %s', async (_name, change) => {
    const good = readFileSync(file('.nsbackup'));
    writeFileSync(file('.nsbackup'), change(Buffer.from(good)));
    await expect(verify()).rejects.toThrow(DamagedBackupError);
    await expect(restoreInto(empty, manifest.id, path)).rejects.toThrow(DamagedBackupError);
    await expectEmpty(empty);
    writeFileSync(file('.nsbackup'), good);
  });

  test('is refused when its manifest was changed, or is that of another', async () => {
    const good = readFileSync(file('.manifest.json'), 'utf8');
    writeFileSync(
      file('.manifest.json'),
      good.replace(/"rows": (\d+)/, (_all, rows: string) => `"rows": ${Number(rows) + 1}`),
    );
    await expect(verify()).rejects.toThrow(/manifest was changed/);
    const other = await backUp(source, { path });
    writeFileSync(file('.manifest.json'), readFileSync(join(root, path, `${other.id}.manifest.json`)));
    await expect(verify()).rejects.toThrow(/another backup/);
    writeFileSync(file('.manifest.json'), good);
    copyFileSync(join(root, path, `${other.id}.nsbackup`), file('.nsbackup'));
    await expect(verify()).rejects.toThrow(DamagedBackupError);
  });
});

test('a table that the backup role does not see whole is named, not saved empty', async () => {
  const store = await newStore();
  await store.admin.query(`SET ROLE ns_owner; CREATE TABLE gym.hidden (tenant_id uuid PRIMARY KEY); ALTER TABLE gym.hidden ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON gym.hidden TO ns_backup; CREATE TABLE gym.ungranted (n int); RESET ROLE`);
  await expect(backUp(store, { path: 'hidden' })).rejects.toThrow(/gym\.hidden, gym\.ungranted/);
});

test('a backup that is stopped leaves nothing, and the next one of the run removes what a killed one left', async () => {
  const path = 'stopped';
  const stop = new AbortController();
  const run = randomBytes(6).toString('hex');
  const stopped = backUp(source, {
    path,
    signal: stop.signal,
    attempt: run,
    onTable: (table) => table.name === 'gym.members' && stop.abort(),
  });
  await expect(stopped).rejects.toThrow();
  expect(readdirSync(join(root, path))).toEqual([]);
  // What SIGKILL leaves: a partial file.
  writeFileSync(join(root, path, `.partial-${run}-x.nsbackup`), 'half');
  const { id } = await backUp(source, { path, attempt: run });
  expect((await listBackups(settings, 'local')).filter((one) => one.path === path).map((one) => one.id)).toEqual([id]);
  expect(readdirSync(join(root, path)).filter((name) => name.startsWith('.'))).toEqual([]);
});

test('a link that leads out of the root is refused, and nothing is made behind it', async () => {
  const outside = mkdtempSync(join(tmpdir(), 'nightshift-outside-'));
  symlinkSync(outside, join(root, 'link'));
  await expect(settings.storage('local', 'link')).rejects.toThrow(/leads out of BACKUP_ROOT/);
  await expect(settings.storage('local', 'link/deeper')).rejects.toThrow(/leads out of BACKUP_ROOT/);
  expect(readdirSync(outside)).toEqual([]);
  rmSync(join(root, 'link'));
  rmSync(outside, { recursive: true });
});

test('no more is read than the storage takes: memory does not grow with the size', async () => {
  let produced = 0;
  let furthest = 0;
  const block = randomBytes(64 * 1024);
  function* endless() {
    for (;;) {
      produced += block.length;
      yield block;
    }
  }
  const inner = await settings.storage('local', 'endless');
  const enough = new Error('enough');
  const storage = {
    ...inner,
    async write(_name: string, content: AsyncIterable<Buffer>) {
      let taken = 0;
      for await (const chunk of content) {
        taken += chunk.length;
        furthest = Math.max(furthest, produced - taken);
        if (taken > 24 * 1024 * 1024) throw enough;
      }
    },
  };
  const signal = new AbortController().signal;
  const request = {
    type: 'full',
    tenant: null,
    baseId: null,
    keyring: settings.keyring(),
    attempt: 'endless1',
    signal,
  } as const;
  const backup = inSnapshot({ url: source.databaseUrl, name: 'test-snapshot', timeoutMs: 60_000 }, (snapshot) => {
    const copy = (select: string) =>
      select.includes('"gym"."members"') ? Readable.from(endless()) : snapshot.copy(select);
    return writeBackup({ ...request, storage, snapshot: { client: snapshot.client, copy } });
  });
  await expect(backup).rejects.toBe(enough);
  // A frame or two in each step on the way, however long the table.
  expect(furthest).toBeLessThan(6 * 1024 * 1024);
});
