import { randomUUID } from 'node:crypto';
import type { FieldCrypto } from '../crypto/index.ts';
import type { FileColumn } from './check-header.ts';
import { ImportKeysError } from './import-errors.ts';
import { type TableImport, targetOf } from './table-import.ts';

/** A sound row of a file: values by column, those of empty cells absent. */
export interface FileRow {
  readonly line: number;
  readonly values: Map<string, string>;
}

/** Encrypts columns of a file on their way into Postgres. */
export interface Seal {
  /** The file's columns, with an `id` where it has none: an envelope is bound to its row. */
  columns(inFile: readonly FileColumn[]): readonly FileColumn[];
  /** Gives each row its id and turns its values into envelopes, in place. */
  rows(rows: readonly FileRow[]): Promise<void>;
}

/** Null where nothing of the table is encrypted. Errors: `ImportKeysError` where something is and there are no keys. */
export function createSeal(spec: TableImport, tenantId: string, crypto: FieldCrypto | undefined): Seal | null {
  const sealed = spec.columns.filter((column) => column.sealedAs !== undefined);
  if (sealed.length === 0) return null;
  if (crypto === undefined) throw new ImportKeysError(spec.table);
  const id = spec.columns.find(({ name }) => name === 'id');
  if (id === undefined) throw new TypeError(`${spec.table} has encrypted columns and no id that they are bound to`);
  return {
    columns(inFile) {
      if (inFile.some(({ name }) => name === 'id')) return inFile;
      return [...inFile, { name: id.name, type: id.type, required: false, made: true }];
    },
    async rows(rows) {
      const fields = rows.flatMap(({ values }) => {
        const row = (values.get('id') ?? randomUUID()).toLowerCase();
        values.set('id', row);
        return sealed.flatMap((column) => {
          const plain = values.get(column.name);
          const ref = { tenantId, place: `${spec.table}.${targetOf(column)}`, row };
          return plain === undefined ? [] : [{ ref, plain, put: (text: string) => values.set(column.name, text) }];
        });
      });
      const envelopes = await crypto.encryptAll(fields);
      for (const [at, envelope] of envelopes.entries()) fields[at]?.put(envelope);
    },
  };
}
