import type { Readable } from 'node:stream';
import { type CsvError, type Info, parse } from 'csv-parse';
import type { FieldCrypto } from '../crypto/index.ts';
import { checkHeader, type FileColumn, type ImportProblem } from './check-header.ts';
import { idColumn, type ParsedRow, sealRows } from './seal-rows.ts';
import type { TableImport } from './table-import.ts';

/** A record longer than this is an unclosed quote that would otherwise take the rest of the file into memory. */
const LONGEST_RECORD = 64 * 1024;
const CHUNK_CHARACTERS = 64 * 1024;

/** A CSV file on its way into Postgres. */
export interface CsvReader {
  /** Reads the header. Null when it has problems, or the file none at all: `problems` then says why. */
  header(): Promise<readonly FileColumn[] | null>;
  /** The sound rows as COPY text, line number first, in chunks; ends early after `maxErrors` problems. */
  copyText(): AsyncGenerator<string>;
  readonly problems: readonly ImportProblem[];
  close(): void;
}

interface CsvRecord {
  readonly record: readonly string[];
  readonly info: Info;
}

/** Whose rows they are, and what encrypts their personal fields. */
export interface RowOwner {
  readonly tenantId: string;
  readonly crypto: Pick<FieldCrypto, 'encryptAll'> | null;
}

/** Errors: what the stream itself fails with. Malformed CSV is a problem of its line. */
export function readCsv(spec: TableImport, stream: Readable, maxErrors: number, owner: RowOwner): CsvReader {
  const parser = parse({
    bom: true,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: LONGEST_RECORD,
  });
  // pipe() does not hand errors on.
  stream.on('error', (error) => parser.destroy(error));
  const records: AsyncIterator<CsvRecord> = stream.pipe(parser)[Symbol.asyncIterator]();
  const problems: ImportProblem[] = [];
  let columns: readonly FileColumn[] = [];

  async function next(): Promise<CsvRecord | null> {
    try {
      const { value, done } = await records.next();
      return done ? null : value;
    } catch (error) {
      if (!isCsvError(error)) throw error;
      problems.push({ line: error.lines, reason: `not CSV: ${error.message}` });
      return null;
    }
  }

  async function header(): Promise<readonly FileColumn[] | null> {
    const first = await next();
    if (first === null) {
      if (problems.length === 0) problems.push({ line: 1, reason: 'the file is empty: expected a header line' });
      return null;
    }
    const checked = checkHeader(spec, first.record);
    if ('problems' in checked) {
      problems.push(...checked.problems.slice(0, maxErrors));
      return null;
    }
    columns = checked.columns;
    const sealed = columns.find(({ encryptedAt }) => encryptedAt !== null);
    if (sealed === undefined) return columns;
    if (owner.crypto === null) {
      problems.push({
        line: 1,
        column: sealed.header,
        reason: 'is stored encrypted, and there is no key: set ENCRYPTION_KEYS',
      });
      return null;
    }
    // An envelope is bound to its row's id, which is therefore made here.
    if (!columns.some(({ name }) => name === 'id')) columns = [...columns, idColumn];
    return columns;
  }

  async function* copyText(): AsyncGenerator<string> {
    let rows: ParsedRow[] = [];
    let characters = 0;
    for (let row = await next(); row !== null && problems.length < maxErrors; row = await next()) {
      const parsed = parseRow(columns, row.record, row.info.lines, problems);
      if (parsed === null) continue;
      rows.push(parsed);
      characters += row.record.reduce((sum, cell) => sum + cell.length + 1, 0);
      if (characters >= CHUNK_CHARACTERS) {
        yield await copyLines(columns, rows, owner);
        rows = [];
        characters = 0;
      }
    }
    if (rows.length > 0) yield await copyLines(columns, rows, owner);
  }

  function close(): void {
    stream.unpipe(parser);
    parser.destroy();
    stream.destroy();
  }

  return { header, copyText, problems, close };
}

/** The row's values, or null after noting what is wrong with it. */
function parseRow(
  columns: readonly FileColumn[],
  cells: readonly string[],
  line: number,
  problems: ImportProblem[],
): ParsedRow | null {
  const inFile = columns.filter((column) => column !== idColumn);
  if (cells.length !== inFile.length) {
    problems.push({ line, reason: `expected ${inFile.length} fields, got ${cells.length}` });
    return null;
  }
  const values: (string | null)[] = [];
  let sound = true;
  for (const [at, column] of inFile.entries()) {
    const cell = (cells[at] as string).trim();
    if (cell === '' && !column.required) {
      values.push(null);
      continue;
    }
    const parsed = cell === '' ? { problem: 'expected a value, got none' } : column.type.parse(cell);
    if ('problem' in parsed) {
      problems.push({ line, column: column.header, reason: parsed.problem });
      sound = false;
    } else values.push(parsed.value);
  }
  return sound ? { line, values } : null;
}

async function copyLines(
  columns: readonly FileColumn[],
  rows: readonly ParsedRow[],
  { tenantId, crypto }: RowOwner,
): Promise<string> {
  const sealed = crypto === null ? rows : await sealRows(columns, rows, tenantId, crypto);
  let text = '';
  for (const { line, values } of sealed) {
    text += line;
    // Tabs and line breaks got no further than the column's type; a backslash would begin an escape.
    for (const value of values) text += value === null ? '\t\\N' : `\t${value.replaceAll('\\', '\\\\')}`;
    text += '\n';
  }
  return text;
}

function isCsvError(error: unknown): error is CsvError & { lines: number } {
  return error instanceof Error && 'lines' in error && 'code' in error;
}
