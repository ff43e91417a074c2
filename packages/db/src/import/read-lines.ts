import type { Readable } from 'node:stream';
import { type CsvError, type Info, parse } from 'csv-parse';
import { checkHeader, type FileColumn, type ImportProblem } from './check-header.ts';
import type { FileRow, Seal } from './seal-rows.ts';
import type { TableImport } from './table-import.ts';

/** A record longer than this is an unclosed quote that would otherwise take the rest of the file into memory. */
const LONGEST_RECORD = 64 * 1024;
/** Rows that become COPY text together. */
const ROWS_A_CHUNK = 500;

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

/** `seal` encrypts what must not reach Postgres in the clear. Errors: what the stream itself fails with. Malformed CSV is a problem of its line. */
export function readCsv(spec: TableImport, stream: Readable, maxErrors: number, seal: Seal | null): CsvReader {
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
    columns = seal === null ? checked.columns : seal.columns(checked.columns);
    return columns;
  }

  async function* copyText(): AsyncGenerator<string> {
    const inFile = columns.filter((column) => column.made !== true);
    let rows: FileRow[] = [];
    for (let row = await next(); row !== null && problems.length < maxErrors; row = await next()) {
      const parsed = parseRow(inFile, row.record, row.info.lines, problems);
      if (parsed !== null) rows.push(parsed);
      if (rows.length >= ROWS_A_CHUNK) {
        yield await textOf(rows);
        rows = [];
      }
    }
    if (rows.length > 0) yield await textOf(rows);
  }

  async function textOf(rows: readonly FileRow[]): Promise<string> {
    await seal?.rows(rows);
    return rows.map((row) => copyLine(columns, row)).join('');
  }

  function close(): void {
    stream.unpipe(parser);
    parser.destroy();
    stream.destroy();
  }

  return { header, copyText, problems, close };
}

/** The row's cells as Postgres reads them, or null after noting what is wrong with it. */
function parseRow(
  columns: readonly FileColumn[],
  cells: readonly string[],
  line: number,
  problems: ImportProblem[],
): FileRow | null {
  if (cells.length !== columns.length) {
    problems.push({ line, reason: `expected ${columns.length} fields, got ${cells.length}` });
    return null;
  }
  const values = new Map<string, string>();
  let sound = true;
  for (const [at, column] of columns.entries()) {
    const cell = (cells[at] as string).trim();
    if (cell === '' && !column.required) continue;
    const parsed = cell === '' ? { problem: 'expected a value, got none' } : column.type.parse(cell);
    if ('problem' in parsed) {
      problems.push({ line, column: column.name, reason: parsed.problem });
      sound = false;
    } else {
      values.set(column.name, parsed.value);
    }
  }
  return sound ? { line, values } : null;
}

function copyLine(columns: readonly FileColumn[], { line, values }: FileRow): string {
  const cells = columns.map(({ name }) => {
    const value = values.get(name);
    // Tabs and line breaks got no further than the column's type; a backslash would begin an escape.
    return value === undefined ? '\\N' : value.replaceAll('\\', '\\\\');
  });
  return `${line}\t${cells.join('\t')}\n`;
}

function isCsvError(error: unknown): error is CsvError & { lines: number } {
  return error instanceof Error && 'lines' in error && 'code' in error;
}
