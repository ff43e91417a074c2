import type { ColumnType } from './column-types.ts';
import type { ImportReference, TableImport } from './table-import.ts';

export interface ImportProblem {
  /** Of the file, 1 for the header; a record over several lines has its last one. */
  readonly line: number;
  readonly column?: string;
  readonly reason: string;
}

/** One column of the file, in the file's order. */
export interface FileColumn {
  readonly name: string;
  /** What the file calls it. */
  readonly header: string;
  /** Null: sent as it is. */
  readonly encryptedAt: string | null;
  readonly type: ColumnType;
  /** False: an empty cell stands for the fallback. */
  readonly required: boolean;
}

/** The file's columns, or every problem of its header. */
export function checkHeader(
  spec: TableImport,
  header: readonly string[],
): { readonly columns: readonly FileColumn[] } | { readonly problems: readonly ImportProblem[] } {
  const known = new Map<string, FileColumn>();
  for (const { name, header = name, type, required, encrypted } of spec.columns)
    known.set(header, { name, header, type, required, encryptedAt: encrypted ? `${spec.table}.${name}` : null });
  for (const { by, optional } of spec.references) {
    for (const { column, type } of by)
      known.set(column, { name: column, header: column, type, required: optional !== true, encryptedAt: null });
  }
  const names = header.map((name) => name.trim());
  const problems = [
    ...unknownColumns(names, known),
    ...repeatedColumns(names),
    ...missingColumns(spec, names),
    ...spec.references.flatMap((reference) => referenceColumns(reference, names)),
  ].map((problem) => ({ line: 1, ...problem }));
  if (problems.length > 0) return { problems };
  return { columns: names.flatMap((name) => known.get(name) ?? []) };
}

type HeaderProblem = Omit<ImportProblem, 'line'>;

function unknownColumns(names: readonly string[], known: ReadonlyMap<string, FileColumn>): HeaderProblem[] {
  const unknown = names.filter((name) => !known.has(name));
  return unknown.map((column) => ({
    column,
    reason: `unknown column: expected some of ${[...known.keys()].join(', ')}`,
  }));
}

function repeatedColumns(names: readonly string[]): HeaderProblem[] {
  const repeated = new Set(names.filter((name, at) => names.indexOf(name) !== at));
  return [...repeated].map((column) => ({ column, reason: 'the column is there twice' }));
}

function missingColumns(spec: TableImport, names: readonly string[]): HeaderProblem[] {
  const missing = spec.columns.filter(({ name, header = name, required }) => required && !names.includes(header));
  return missing.map(({ name, header = name }) => ({ column: header, reason: 'the column is missing' }));
}

function referenceColumns(reference: ImportReference, names: readonly string[]): HeaderProblem[] {
  const possible = reference.by.map(({ column }) => column);
  const given = possible.filter((column) => names.includes(column));
  if (given.length === 0 && reference.optional !== true)
    return [
      { column: possible[0] ?? reference.column, reason: `the column is missing: expected ${possible.join(' or ')}` },
    ];
  if (given.length > 1)
    return [{ column: given[1] ?? reference.column, reason: `expected ${possible.join(' or ')}, not both` }];
  return [];
}
