import { pipeline } from 'node:stream/promises';
import { databaseUrl, knownMigrations, migrate } from '@nightshift/db';
import type { Keyring } from '@nightshift/db/crypto';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { DamagedBackupError, NotEmptyError, ProofError, SchemaMismatchError } from './errors.ts';
import { type Manifest, type ManifestTable, rowsOf } from './manifest.ts';
import { openChain, readBackup } from './read-backup.ts';
import { guardsOff, guardsOn } from './restore-guards.ts';
import type { Section } from './sections.ts';
import type { Storage } from './storage/storage.ts';
import { measure, quoted, quotedName, readTables, type Table, TEXT_SETTINGS } from './tables.ts';
import { type SavedTenantKey, writeTenantKeys } from './tenant-keys.ts';

export interface RestoreRequest {
  readonly storage: Storage;
  readonly keyring: Keyring;
  readonly id: string;
  /** A role that may make databases, as for `migrate`. */
  readonly adminUrl: string;
  /** Made if missing; must be empty. */
  readonly database: string;
  readonly loginPassword?: string;
  /** Of `nightshift backup keys`; without them the encrypted columns cannot be read. */
  readonly tenantKeys?: readonly SavedTenantKey[];
  readonly signal?: AbortSignal;
  readonly onStep?: (step: string) => void;
}

export interface Restored {
  readonly id: string;
  readonly type: Manifest['type'];
  readonly database: string;
  /** From the full backup to this one. */
  readonly chain: readonly string[];
  readonly takenAt: string;
  /** Each with the count and hash that the database and the manifest agree on. */
  readonly tables: readonly { readonly name: string; readonly rows: number; readonly hash: string }[];
  readonly rows: number;
  /** Tenants' data keys that were put back. */
  readonly keys: number;
}

/**
 * Restores a backup, and what it stands on, into an empty database, in one transaction that commits only when every table's count and hash
 * are those of the manifest.
 * Errors: `NotEmptyError`, `ProofError`, `SchemaMismatchError`, `UnknownBackupError`, `DamagedBackupError`, `BackupKeyError`.
 */
export async function restoreBackup(request: RestoreRequest): Promise<Restored> {
  const { storage, keyring, id, adminUrl, database, onStep } = request;
  const chain = await openChain(storage, keyring, id);
  const last = chain.at(-1);
  if (last === undefined) throw new DamagedBackupError(id, 'it has no manifest');
  demandSchema(chain);
  await demandUntouched(adminUrl, database);
  const { loginPassword } = request;
  await migrate({ adminUrl, database, ...(loginPassword === undefined ? {} : { loginPassword }) });
  return asAdmin(databaseUrl(adminUrl, database), async (client) => {
    // Without COMMIT the end of the connection rolls everything back.
    await client.query(`BEGIN; SET LOCAL ROLE ns_owner; ${TEXT_SETTINGS}`);
    const present = await readTables(client);
    const tables = matchTables(last, present);
    const guards = await guardsOff(client, present);
    await demandEmpty(client, database, present);
    await makePartitions(client, last);
    await removeSeeded(client, tables, last);
    for (const manifest of chain) {
      onStep?.(`${manifest.id}: ${manifest.type}`);
      await readBackup({ storage, keyring, manifest }, async (section) => {
        request.signal?.throwIfAborted();
        await load(client, section, tableNamed(tables, section.head.table), manifest === last);
      });
    }
    for (const { name, value, called } of last.sequences)
      await client.query('SELECT setval($1::regclass, $2::int8, $3)', [quotedName(name), value, called]);
    onStep?.('proof');
    await prove(client, tables, last);
    await guardsOn(client, guards);
    const keys = await writeTenantKeys(client, request.tenantKeys ?? [], last.tenant?.id ?? null);
    await client.query('COMMIT');
    await refreshViews(client, last);
    return {
      id,
      type: last.type,
      database,
      chain: chain.map((manifest) => manifest.id),
      takenAt: last.takenAt,
      tables: last.tables.map(({ name, rows, hash }) => ({ name, rows, hash })),
      rows: rowsOf(last),
      keys,
    };
  });
}

function demandSchema(chain: readonly Manifest[]): void {
  const build = knownMigrations().at(-1)?.tag ?? 'none';
  for (const { id, schema } of chain) {
    if (schema !== build)
      throw new SchemaMismatchError(
        `Backup '${id}' has schema ${schema} and this build makes ${build}: restore with the build whose newest migration is ${schema}, then let this one migrate.`,
      );
  }
}

/** A database that another build made, or that is not ours at all, must not be migrated on the way to being refused. */
async function demandUntouched(adminUrl: string, database: string): Promise<void> {
  const exists = await asAdmin(adminUrl, async (client) => {
    const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
    return rowCount === 1;
  });
  if (!exists) return;
  await asAdmin(databaseUrl(adminUrl, database), async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1`,
    );
    if (rows.length === 0) return;
    const ours = rows.some(({ name }) => name === 'ops.migrations');
    const newest = ours
      ? (await client.query<{ at: string }>('SELECT max(created_at)::text AS at FROM ops.migrations')).rows[0]
      : undefined;
    if (newest?.at === String(knownMigrations().at(-1)?.when)) return;
    const counted: { name: string; rows: number }[] = [];
    for (const { name } of rows.slice(0, 100)) {
      const found = await client.query<{ n: string }>(`SELECT count(*)::text AS n FROM ${quotedName(name)}`);
      counted.push({ name, rows: Number(found.rows[0]?.n) });
    }
    throw new NotEmptyError(
      database,
      counted.sort((a, b) => b.rows - a.rows),
    );
  });
}

async function asAdmin<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'nightshift-restore' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

interface Target {
  readonly saved: ManifestTable;
  readonly table: Table;
}

/** Errors: `SchemaMismatchError` for a table or column that the database does not have. */
function matchTables(manifest: Manifest, tables: readonly Table[]): Target[] {
  return manifest.tables.map((saved) => {
    const table = tables.find((one) => one.name === saved.name);
    if (table === undefined)
      throw new SchemaMismatchError(`The database has no table ${saved.name}, which the backup has.`);
    const columns = new Set(table.columns.filter((column) => !column.generated).map((column) => column.name));
    const missing = saved.columns.filter((column) => !columns.has(column));
    if (missing.length > 0 || columns.size !== saved.columns.length)
      throw new SchemaMismatchError(
        `Table ${saved.name} has other columns than in the backup: ${[...columns].join(', ')}.`,
      );
    return { saved, table };
  });
}

function tableNamed(tables: readonly Target[], name: string): Table {
  const found = tables.find((one) => one.saved.name === name);
  if (found === undefined) throw new SchemaMismatchError(`The database has no table ${name}, which the backup has.`);
  return found.table;
}

/** What a migration put there, and nobody changed since, does not count: such a row was written by a transaction that recorded a migration. */
async function demandEmpty(client: pg.Client, database: string, tables: readonly Table[]): Promise<void> {
  const counts = tables.map(
    (table, i) =>
      `SELECT ${i} AS at, count(*) AS rows FROM ${table.sql} t WHERE t.xmin::text NOT IN (SELECT m.xmin::text FROM ops.migrations m)`,
  );
  if (counts.length === 0) return;
  const { rows } = await client.query<{ at: number; rows: string }>(`${counts.join(' UNION ALL ')} ORDER BY at`);
  const found = rows.flatMap(({ at, rows: count }) =>
    Number(count) > 0 ? [{ name: tables[at]?.name ?? '', rows: Number(count) }] : [],
  );
  if (found.length > 0) throw new NotEmptyError(database, found);
}

async function removeSeeded(client: pg.Client, tables: readonly Target[], manifest: Manifest): Promise<void> {
  // A tenant's backup brings its own row alone; the platform's tenants stay.
  const emptied = tables.filter(({ table }) => table.name !== 'ops.tenants' || manifest.type !== 'tenant');
  await client.query(emptied.map(({ table }) => `DELETE FROM ${table.sql}`).join(';\n'));
}

/** Past weeks and months, so that their rows do not end in the default partition and are dropped when their time has come. */
async function makePartitions(client: pg.Client, manifest: Manifest): Promise<void> {
  for (const { name, parent, bound } of manifest.partitions) {
    const { rows } = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [
      quotedName(name),
    ]);
    if (rows[0]?.there) continue;
    await client.query(`CREATE TABLE ${quotedName(name)} PARTITION OF ${quotedName(parent)} ${bound}`);
  }
}

async function load(client: pg.Client, section: Section, table: Table, isLast: boolean): Promise<void> {
  const { kind, columns } = section.head;
  const list = columns.map(quoted).join(', ');
  switch (kind) {
    case 'settled':
      return copyInto(client, `${table.sql} (${list})`, section);
    case 'whole':
      await client.query(`DELETE FROM ${table.sql}`);
      return copyInto(client, `${table.sql} (${list})`, section);
    case 'fresh':
      // The next backup of the chain has them again, as they were then.
      if (isLast) return copyInto(client, `${table.sql} (${list})`, section);
      for await (const _ of section.rows);
      return;
    case 'kept':
      return keepOnly(client, section, table);
    default:
      return kind satisfies never;
  }
}

async function copyInto(client: pg.Client, target: string, section: Section): Promise<void> {
  await pipeline(section.rows, client.query(copyFrom(`COPY ${target} FROM STDIN`)));
}

/** Deletes what is not in the list: rows that were deleted since, and old versions of rows that follow anew. */
async function keepOnly(client: pg.Client, section: Section, table: Table): Promise<void> {
  const { columns } = section.head;
  const typed = columns.map((name) => {
    const type = table.columns.find((column) => column.name === name)?.type;
    if (type === undefined)
      throw new SchemaMismatchError(`Table ${table.name} has no column ${name}, a key in the backup.`);
    return `${quoted(name)} ${type}`;
  });
  await client.query(`CREATE TEMP TABLE restore_kept (${typed.join(', ')}) ON COMMIT DROP`);
  await copyInto(client, 'restore_kept', section);
  await client.query('ANALYZE restore_kept');
  const same = columns.map((name) => `k.${quoted(name)} = t.${quoted(name)}`).join(' AND ');
  await client.query(`DELETE FROM ${table.sql} t WHERE NOT EXISTS (SELECT 1 FROM restore_kept k WHERE ${same})`);
  await client.query('DROP TABLE restore_kept');
}

async function prove(client: pg.Client, tables: readonly Target[], manifest: Manifest): Promise<void> {
  const problems: string[] = [];
  for (const { table, saved } of tables) {
    const found = await measure(client, table, { horizon: null, tenantId: manifest.tenant?.id ?? null });
    if (found.rows !== saved.rows) problems.push(`${saved.name} has ${found.rows} rows instead of ${saved.rows}`);
    else if (found.hash !== saved.hash)
      problems.push(`${saved.name} has other rows (hash ${found.hash} instead of ${saved.hash})`);
  }
  if (problems.length > 0) throw new ProofError(problems);
}

/** Views hold what they were made from, so they are made again; and the planner learns the new sizes. */
async function refreshViews(client: pg.Client, manifest: Manifest): Promise<void> {
  const { rows } = await client.query<{ name: string; owner: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name, quote_ident(pg_get_userbyid(c.relowner)) AS owner
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'm' AND n.nspname !~ '^pg_' ORDER BY c.oid`,
  );
  // As its owner, which row-level security lets see every tenant.
  for (const { name, owner } of rows)
    await client.query(`BEGIN; SET LOCAL ROLE ${owner}; REFRESH MATERIALIZED VIEW ${name}; COMMIT`);
  const filled = manifest.tables.filter((table) => table.rows > 0).map((table) => quotedName(table.name));
  if (filled.length > 0) await client.query(`ANALYZE ${filled.join(', ')}`);
}
