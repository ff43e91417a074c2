import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { knownMigrations, type Snapshot } from '@nightshift/db';
import type { Keyring } from '@nightshift/db/crypto';
import { createCounter } from './counter.ts';
import { BackupKeyError, DamagedBackupError, NoBaseError, SchemaMismatchError, UnknownBackupError } from './errors.ts';
import { newFileKey } from './file-key.ts';
import { createSealer } from './frames.ts';
import {
  type BackupType,
  DATA_SUFFIX,
  MANIFEST_SUFFIX,
  type Manifest,
  type ManifestTable,
  signedManifest,
} from './manifest.ts';
import { openChain } from './read-backup.ts';
import { endOfSections, type SectionKind, writeSection } from './sections.ts';
import { textStream } from './storage/local.ts';
import { MissingFileError, type Storage } from './storage/storage.ts';
import { measure, quoted, type Reader, readTables, settledBefore, type Table, TEXT_SETTINGS, whose } from './tables.ts';

export interface BackupRequest {
  readonly type: BackupType;
  /** Type `tenant`: whose rows. */
  readonly tenant: { readonly id: string; readonly system: string; readonly slug: string } | null;
  /** Type `incremental`: id of the backup in the same storage that it continues. */
  readonly baseId: string | null;
  readonly snapshot: Snapshot;
  readonly storage: Storage;
  readonly keyring: Keyring;
  /** Names what is unfinished; the same for each attempt of a run. */
  readonly attempt: string;
  readonly signal: AbortSignal;
  /** Called after each table. */
  readonly onTable?: (table: ManifestTable) => void;
}

/** Speed before size: level 3 takes a third of the time of level 6, for files a tenth larger. */
const GZIP_LEVEL = 3;
/** Past half of the range in which 32-bit transaction ids can be compared, a full backup is due. */
const LONGEST_CHAIN_XIDS = 2n ** 30n;

/**
 * Writes one backup: its data, then its manifest, without which it does not count. Memory is flat: rows stream from Postgres through
 * compression and encryption into the storage.
 * Errors: `UnreadableTablesError`, `NoBaseError`, `SchemaMismatchError`, and those of Postgres and the storage.
 */
export async function writeBackup(request: BackupRequest): Promise<Manifest> {
  const { snapshot, storage, keyring, signal } = request;
  const { client } = snapshot;
  await client.query(TEXT_SETTINGS);
  const at = await describeSnapshot(client);
  const base = request.baseId === null ? null : await readBase(request, at);
  const tables = tablesOf(request, await readTables(client));
  const id = `${at.takenAt.replaceAll(/[-:]|\.\d+/g, '')}-${request.type}-${request.attempt.replaceAll('-', '').slice(-8)}`;
  const { keys, stored } = newFileKey(keyring, id);
  const name = `${id}${DATA_SUFFIX}`;

  const done: ManifestTable[] = [];
  const plain = Readable.from(records(request, { tables, base, horizon: at.snapshot.horizon, done }), {
    objectMode: false,
  });
  const counted = createCounter();
  const file = new PassThrough();
  // The pipeline destroys the file when a step fails, and the storage then leaves nothing.
  const flow = pipeline(
    plain,
    createGzip({ level: GZIP_LEVEL }),
    createSealer(keys.frames, Buffer.from(id)),
    counted.through,
    file,
    {
      signal,
    },
  );
  const written = storage.write(name, file, { attempt: request.attempt, signal, expectedBytes: at.databaseBytes });
  const failed = written.catch((error: Error) => {
    file.destroy(error);
    throw error;
  });
  await bothSides(flow, failed);

  const manifest: Manifest = {
    format: 1,
    id,
    type: request.type,
    tenant: request.tenant,
    takenAt: at.takenAt,
    finishedAt: await clock(client),
    schema: at.schema,
    snapshot: at.snapshot,
    base: base?.id ?? null,
    key: { ...stored },
    compression: 'gzip',
    data: { file: name, ...counted.end() },
    tables: done,
    sequences: request.type === 'tenant' ? [] : await readSequences(client),
    partitions: await readPartitions(client),
  };
  await storage.write(`${id}${MANIFEST_SUFFIX}`, textStream(signedManifest(manifest, keys)), {
    attempt: request.attempt,
    signal,
    expectedBytes: 0,
  });
  return manifest;
}

/**
 * Both sides of a stream fail together. The storage's reason is the true one: a failure before it reaches it through the stream, while one of
 * its own (a full disk) leaves the flow with nothing but "aborted", and sooner.
 */
async function bothSides(flow: Promise<void>, written: Promise<void>): Promise<void> {
  for (const side of await Promise.allSettled([written, flow])) if (side.status === 'rejected') throw side.reason;
}

/** A tenant's backup: its rows in every table that says whose they are, and the rows of nobody in its own system. */
function tablesOf(request: BackupRequest, tables: readonly Table[]): readonly Table[] {
  const { tenant } = request;
  if (tenant === null) return tables;
  return tables.filter((table) => table.tenantColumn !== null || table.name.startsWith(`${tenant.system}.`));
}

interface Plan {
  readonly tables: readonly Table[];
  readonly base: Manifest | null;
  readonly horizon: string;
  /** Filled as tables are done. */
  readonly done: ManifestTable[];
}

async function* records(request: BackupRequest, plan: Plan): AsyncGenerator<Buffer> {
  for (const table of plan.tables) {
    const tenantId = request.tenant?.id ?? null;
    const { rows, settled, hash } = await measure(request.snapshot.client, table, { horizon: plan.horizon, tenantId });
    const sections: ManifestTable['sections'] = [];
    for (const { kind, columns, where } of await sectionsOf(request, plan, table, rows, settled)) {
      const select = `SELECT ${columns.map((column) => `t.${quoted(column)}`).join(', ')} FROM ${table.sql} t ${where}`;
      const copied = request.snapshot.copy(select);
      yield* writeSection({ table: table.name, kind, columns }, copied, (end) => sections.push({ kind, ...end }));
    }
    const { name, key, tenantColumn } = table;
    const made: ManifestTable = {
      name, tenantColumn, rows, hash, settled, sections,
      columns: stored(table),
      key: key === null ? null : [...key],
    }; // biome-ignore format: names alone
    plan.done.push(made);
    request.onTable?.(made);
  }
  yield endOfSections();
}

const stored = (table: Table) => table.columns.filter((column) => !column.generated).map((column) => column.name);

interface SectionPlan {
  readonly kind: SectionKind;
  readonly columns: string[];
  readonly where: string;
}

/** See `SECTION_KINDS`. Empty sections are left out, but for `kept` and `whole`, which say that nothing is left. */
async function sectionsOf(
  { snapshot, tenant }: BackupRequest,
  { base, horizon }: Plan,
  table: Table,
  rows: number,
  settled: number,
): Promise<SectionPlan[]> {
  const columns = stored(table);
  const tenantId = tenant?.id ?? null;
  if (table.key === null)
    return base === null && rows === 0 ? [] : [{ kind: 'whole', columns, where: whose(table, tenantId) }];
  if (tenantId !== null) return rows === 0 ? [] : [{ kind: 'settled', columns, where: whose(table, tenantId) }];
  const fresh: SectionPlan[] =
    settled === rows ? [] : [{ kind: 'fresh', columns, where: `WHERE NOT (${settledBefore(horizon)})` }];
  if (base === null) {
    return [
      ...(settled === 0 ? [] : [{ kind: 'settled' as const, columns, where: `WHERE ${settledBefore(horizon)}` }]),
      ...fresh,
    ];
  }
  const unchanged = await countUnchanged(snapshot.client, table, base.snapshot.horizon);
  const kept: SectionPlan[] =
    unchanged === baseTable(base, table).settled
      ? []
      : [{ kind: 'kept', columns: [...table.key], where: `WHERE ${settledBefore(base.snapshot.horizon)}` }];
  const changed: SectionPlan[] =
    unchanged === settled
      ? []
      : [
          {
            kind: 'settled',
            columns,
            where: `WHERE NOT (${settledBefore(base.snapshot.horizon)}) AND ${settledBefore(horizon)}`,
          },
        ];
  return [...kept, ...changed, ...fresh];
}

/** Rows that stand as they stood, certain, in the base. */
async function countUnchanged(client: Reader, table: Table, horizon: string): Promise<number> {
  const { rows } = await client.query<{ n: string }>(
    `SELECT count(*)::text AS n FROM ${table.sql} t WHERE ${settledBefore(horizon)}`,
  );
  return Number(rows[0]?.n);
}

function baseTable(base: Manifest, table: Table): ManifestTable {
  const found = base.tables.find((one) => one.name === table.name);
  if (found === undefined) throw new NoBaseError(`'${base.id}' does not have table ${table.name}`);
  return found;
}

interface Described {
  readonly takenAt: string;
  readonly schema: string;
  readonly snapshot: Manifest['snapshot'];
  readonly databaseBytes: number;
}

async function describeSnapshot(client: Reader): Promise<Described> {
  const { rows } = await client.query<Described['snapshot'] & { at: Date; bytes: string; migrated: string }>(
    `SELECT now() AS at, (SELECT system_identifier FROM pg_control_system())::text || '/' || d.oid::text AS database,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text AS lsn,
       pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, pg_snapshot_xmax(pg_current_snapshot())::text AS next,
       pg_database_size(d.oid)::text AS bytes, (SELECT max(created_at)::text FROM ops.migrations) AS migrated
     FROM pg_database d WHERE d.datname = current_database()`,
  );
  const [row] = rows;
  const schema = knownMigrations().find((migration) => String(migration.when) === row?.migrated);
  if (row === undefined || schema === undefined)
    throw new SchemaMismatchError(
      'The database has a schema that this build does not know: run the build that migrated it.',
    );
  const { database, lsn, horizon, next } = row;
  return {
    takenAt: row.at.toISOString(),
    schema: schema.tag,
    snapshot: { database, lsn, horizon, next },
    databaseBytes: Number(row.bytes),
  };
}

/** The manifest that this one continues. Errors: `NoBaseError`. */
async function readBase(request: BackupRequest, at: Described): Promise<Manifest> {
  const id = request.baseId ?? '';
  const base = await wholeChain(request, id);
  if (base.type === 'tenant') throw new NoBaseError(`'${id}' is of one tenant`);
  if (base.schema !== at.schema) throw new NoBaseError(`the schema was ${base.schema} then and is ${at.schema} now`);
  if (base.snapshot.database !== at.snapshot.database)
    throw new NoBaseError(`'${id}' was made of another database, whose transaction ids mean nothing here`);
  if (BigInt(at.snapshot.next) - BigInt(base.snapshot.horizon) > LONGEST_CHAIN_XIDS)
    throw new NoBaseError(`more than ${LONGEST_CHAIN_XIDS} transactions have passed since '${id}'`);
  return base;
}

/**
 * The last backup of a chain of which every file is still there and as long as it was: one that continues a broken chain restores nothing.
 * Whether their bytes are right `nightshift backup verify` tells. Errors: `NoBaseError`, which no retry mends.
 */
async function wholeChain({ storage, keyring }: BackupRequest, id: string): Promise<Manifest> {
  const chain = await openChain(storage, keyring, id).catch((error: Error) => {
    if (error instanceof UnknownBackupError) throw new NoBaseError(goneFrom(error.backupId, id, storage));
    if (error instanceof DamagedBackupError || error instanceof BackupKeyError)
      throw new NoBaseError(error.message.replace(/\.$/, ''), { cause: error });
    throw error;
  });
  for (const link of chain) {
    const bytes = await storage.sizeOf(link.data.file).catch((error: Error) => {
      if (error instanceof MissingFileError) throw new NoBaseError(goneFrom(link.id, id, storage));
      throw error;
    });
    if (bytes !== link.data.bytes)
      throw new NoBaseError(`'${link.id}' in ${storage.where} has ${bytes} bytes instead of ${link.data.bytes}`);
  }
  const base = chain.at(-1);
  if (base === undefined) throw new NoBaseError(`'${id}' has no manifest`);
  return base;
}

function goneFrom(missing: string, last: string, { where }: Storage): string {
  const which = missing === last ? 'the last one' : `which '${last}', the last one, continues`;
  return `'${missing}', ${which}, is no longer whole in ${where}`;
}

async function clock(client: Reader): Promise<string> {
  const { rows } = await client.query<{ at: Date }>('SELECT clock_timestamp() AS at');
  return (rows[0]?.at ?? new Date()).toISOString();
}

/** Read last: a sequence is not part of a snapshot, and may only be ahead of the rows. */
async function readSequences(client: Reader): Promise<Manifest['sequences']> {
  const { rows: found } = await client.query<{ schema: string; name: string }>(
    `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'S' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND c.relname <> 'migrations_id_seq'
     ORDER BY 1, 2`,
  );
  const sequences: Manifest['sequences'] = [];
  for (const { schema, name } of found) {
    const { rows } = await client.query<{ value: string; called: boolean }>(
      `SELECT last_value::text AS value, is_called AS called FROM ${quoted(schema)}.${quoted(name)}`,
    );
    for (const { value, called } of rows) sequences.push({ name: `${schema}.${name}`, value, called });
  }
  return sequences;
}

async function readPartitions(client: Reader): Promise<Manifest['partitions']> {
  const { rows } = await client.query<Manifest['partitions'][number]>(
    `SELECT n.nspname || '.' || c.relname AS name, pn.nspname || '.' || p.relname AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
     WHERE c.relispartition AND c.relkind = 'r' AND p.relkind = 'p' ORDER BY 1`,
  );
  return rows;
}
