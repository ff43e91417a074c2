import type { ColumnType } from './column-types.ts';

export interface ImportColumn {
  readonly name: string;
  /** What the file calls it, where that differs. */
  readonly header?: string;
  /** True: the table's column holds envelopes; the cell is encrypted before anything is sent. The table needs a column `id`. */
  readonly encrypted?: boolean;
  readonly type: ColumnType;
  readonly required: boolean;
  /** SQL for an empty or absent optional value; null where that is not given. */
  readonly fallback?: string;
}

/** A row of another table that a line points to, by whichever of these columns the file has: exactly one, or none where it is optional. */
export interface ImportReference {
  /** Column of the target that gets the id. */
  readonly column: string;
  readonly table: string;
  /** For messages: "no such member in this gym". */
  readonly noun: string;
  readonly by: readonly { readonly column: string; readonly key: string; readonly type: ColumnType }[];
  /** True: a file without such a column, or a line with it empty, points to none. */
  readonly optional?: boolean;
}

/** Rows that must not be there twice, in the file or beside what the table has. */
export interface ImportUnique {
  /** Columns of the target, resolved references among them. */
  readonly columns: readonly string[];
  /** "member and time" */
  readonly words: string;
}

interface ImportCheck {
  readonly column: string;
  /** SQL over the row; true where it is wrong. */
  readonly wrong: string;
  readonly reason: string;
}

/** Everything that one table's CSV is judged by. */
export interface TableImport {
  readonly table: string;
  readonly columns: readonly ImportColumn[];
  readonly references: readonly ImportReference[];
  readonly unique: readonly ImportUnique[];
  readonly checks: readonly ImportCheck[];
  /** A table that must have the tenant's row first. */
  readonly parent?: string;
}
