import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Pool, PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { FieldCrypto } from '../crypto/index.ts';
import type { FileColumn, ImportProblem } from './check-header.ts';
import { clinicImports } from './clinic.ts';
import { gymImports } from './gym.ts';
import { ImportConflictError, UnknownImportTableError, UnknownTenantError } from './import-errors.ts';
import { createStage, insertRows, resolveRows, rowChecks, STAGE } from './import-statements.ts';
import { litigationImports } from './litigation.ts';
import { medicationImports } from './medication.ts';
import { type CsvReader, readCsv } from './read-lines.ts';
import type { TableImport } from './table-import.ts';
import { inUnhurriedTransaction, NO_LIMIT_MS, unhurried } from './unhurried-transaction.ts';
import { zakatImports } from './zakat.ts';

const IMPORTS: readonly TableImport[] = [
  ...gymImports,
  ...clinicImports,
  ...medicationImports,
  ...zakatImports,
  ...litigationImports,
];
const UNIQUE_OR_FOREIGN_KEY = ['23505', '23503'];

export interface ImportCsvOptions {
  /** Connections act as ns_app. */
  readonly pool: Pool;
  /** Such as `gym.visits`. */
  readonly table: string;
  readonly tenantId: string;
  /** The file, UTF-8, with a header line. Destroyed at the end. */
  readonly stream: Readable;
  /** Who imports, for audit rows that the tables' triggers write. Default the database login. */
  readonly actor?: string;
  /** Encrypts the personal columns of tables that have some; without it a file with such a column is refused. */
  readonly crypto?: Pick<FieldCrypto, 'encryptAll'>;
  /** Problems listed at most, default 100; reading stops there. */
  readonly maxErrors?: number;
}

export interface ImportCsvResult {
  /** Rows added: all of the file's, or 0 if there is any problem. */
  readonly imported: number;
  /** In order of line. */
  readonly errors: readonly ImportProblem[];
}

/** Tables that can be imported, with the columns a file may have. */
export function importableTables(): { readonly table: string; readonly columns: readonly string[] }[] {
  return IMPORTS.map(({ table, columns, references }) => ({
    table,
    columns: [
      ...references.flatMap(({ by }) => by.map(({ column }) => column)),
      ...columns.map(({ name, header }) => header ?? name),
    ],
  }));
}

/**
 * Imports a CSV file into one tenant's table, all of it or nothing, in one transaction and with flat memory at any size.
 * Errors: `UnknownImportTableError`, `UnknownTenantError`, `ImportConflictError`, and what the stream fails with. A wrong file is no
 * error: its problems are in the result.
 */
export async function importCsv(options: ImportCsvOptions): Promise<ImportCsvResult> {
  const spec = IMPORTS.find(({ table }) => table === options.table);
  if (spec === undefined) {
    options.stream.destroy();
    throw new UnknownImportTableError(
      options.table,
      IMPORTS.map(({ table }) => table),
    );
  }
  const maxErrors = options.maxErrors ?? 100;
  const reader = readCsv(spec, options.stream, maxErrors, {
    tenantId: options.tenantId,
    crypto: options.crypto ?? null,
  });
  try {
    const columns = await reader.header();
    if (columns === null) return refused(reader.problems);
    return await inUnhurriedTransaction(options.pool, options.tenantId, async (client) => {
      await useLocalTime(client, options.tenantId);
      if (options.actor !== undefined) await client.query(`SELECT set_config('app.actor', $1, true)`, [options.actor]);
      const orphan = await missingParent(client, spec);
      if (orphan !== null) return refused([orphan]);
      await copyToStage(client, columns, reader);
      const problems = [...reader.problems];
      if (problems.length < maxErrors) problems.push(...(await wrongRows(client, spec, columns, maxErrors)));
      if (problems.length > 0) return refused(problems.sort((a, b) => a.line - b.line).slice(0, maxErrors));
      return { imported: await insert(client, spec), errors: [] };
    });
  } finally {
    reader.close();
  }
}

const refused = (errors: readonly ImportProblem[]): ImportCsvResult => ({ imported: 0, errors });

/** Times without an offset are the tenant's. */
async function useLocalTime(client: PoolClient, tenantId: string): Promise<void> {
  const { rows } = await client.query(`SELECT set_config('TimeZone', zone, true) FROM ops.tenants WHERE id = $1`, [
    tenantId,
  ]);
  if (rows.length === 0) throw new UnknownTenantError(tenantId);
}

async function missingParent(client: PoolClient, spec: TableImport): Promise<ImportProblem | null> {
  if (spec.parent === undefined) return null;
  const { rows } = await client.query(`SELECT FROM ${spec.parent} LIMIT 1`);
  return rows.length > 0
    ? null
    : { line: 1, reason: `the tenant has no row in ${spec.parent}: import that table first` };
}

async function copyToStage(client: PoolClient, columns: readonly FileColumn[], reader: CsvReader): Promise<void> {
  await client.query(createStage(columns));
  const names = ['line', ...columns.map(({ name }) => name)].join(', ');
  const copy = Object.assign(copyFrom(`COPY ${STAGE} (${names}) FROM STDIN`), { query_timeout: NO_LIMIT_MS });
  await pipeline(Readable.from(reader.copyText(), { objectMode: true, highWaterMark: 2 }), client.query(copy));
}

async function wrongRows(
  client: PoolClient,
  spec: TableImport,
  columns: readonly FileColumn[],
  limit: number,
): Promise<ImportProblem[]> {
  await unhurried(client, `ANALYZE ${STAGE}`);
  await unhurried(client, resolveRows(spec, columns));
  await unhurried(client, 'ANALYZE pg_temp.import_rows');
  const problems: ImportProblem[] = [];
  for (const check of rowChecks(spec, columns)) {
    const { rows } = await unhurried<{ line: number; column: string | null; reason: string }>(client, check, [limit]);
    problems.push(
      ...rows.map(({ line, column, reason }) => ({ line, ...(column === null ? {} : { column }), reason })),
    );
  }
  return problems;
}

async function insert(client: PoolClient, spec: TableImport): Promise<number> {
  try {
    const { rowCount } = await unhurried(client, insertRows(spec));
    return rowCount ?? 0;
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code !== undefined && UNIQUE_OR_FOREIGN_KEY.includes(code)) throw new ImportConflictError(spec.table, error);
    throw error;
  }
}
