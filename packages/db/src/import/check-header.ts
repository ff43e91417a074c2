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
  readonly type: ColumnType;
  /** False: an empty cell stands for the fallback. */
  readonly required: boolean;
  /** True: the file doesn't have it; its values are made while reading. */
  readonly made?: boolean;
}

/** The file's columns, or every problem of its header. */
export function checkHeader(
  spec: TableImport,
  header: readonly string[],
): { readonly columns: readonly FileColumn[] } | { readonly problems: readonly ImportProblem[] } {
  const known = new Map<string, FileColumn>();
  for (const { name, type, required } of spec.columns) known.set(name, { name, type, required });
  for (const { by } of spec.references) {
    for (const { column, type } of by) known.set(column, { name: column, type, required: true });
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
  const missing = spec.columns.filter(({ name, required }) => required && !names.includes(name));
  return missing.map(({ name }) => ({ column: name, reason: 'the column is missing' }));
}

function referenceColumns(reference: ImportReference, names: readonly string[]): HeaderProblem[] {
  const possible = reference.by.map(({ column }) => column);
  const given = possible.filter((column) => names.includes(column));
  if (given.length === 0)
    return [
      { column: possible[0] ?? reference.column, reason: `the column is missing: expected ${possible.join(' or ')}` },
    ];
  if (given.length > 1)
    return [{ column: given[1] ?? reference.column, reason: `expected ${possible.join(' or ')}, not both` }];
  return [];
}
