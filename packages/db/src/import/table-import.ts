import type { ColumnType } from './column-types.ts';

export interface ImportColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly required: boolean;
  /** SQL for an empty or absent optional value; null where that is not given. */
  readonly fallback?: string;
  /**
   * Column of the target that gets the value encrypted, on its way in: the plain text does not reach Postgres. Its type must be a text, and
   * the table have an `id` column, which the envelope is bound to.
   */
  readonly sealedAs?: string;
}

/** A row of another table that a line points to, by whichever of these columns the file has: exactly one. */
export interface ImportReference {
  /** Column of the target that gets the id. */
  readonly column: string;
  readonly table: string;
  /** For messages: "no such member in this gym". */
  readonly noun: string;
  readonly by: readonly { readonly column: string; readonly key: string; readonly type: ColumnType }[];
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

/** The target's column of a column of the file. */
export function targetOf({ name, sealedAs }: ImportColumn): string {
  return sealedAs ?? name;
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
