import { randomUUID } from 'node:crypto';
import type { FieldCrypto } from '../crypto/index.ts';
import type { FileColumn } from './check-header.ts';
import { uuid } from './column-types.ts';

/** A row of the file, a value for each column in order. */
export interface ParsedRow {
  readonly line: number;
  readonly values: readonly (string | null)[];
}

/** Stands in for the file's own where it has none and envelopes need one. */
export const idColumn: FileColumn = { name: 'id', header: 'id', encryptedAt: null, type: uuid, required: true };

/** The rows with an envelope in place of each personal value, and an id each; as they are where no column is encrypted. */
export async function sealRows(
  columns: readonly FileColumn[],
  rows: readonly ParsedRow[],
  tenantId: string,
  crypto: Pick<FieldCrypto, 'encryptAll'>,
): Promise<readonly ParsedRow[]> {
  const places = columns.flatMap(({ encryptedAt }, at) => (encryptedAt === null ? [] : [{ place: encryptedAt, at }]));
  if (places.length === 0) return rows;
  const idAt = columns.findIndex(({ name }) => name === 'id');
  const sealed = rows.map(({ line, values }) => {
    const copy = [...values];
    // As Postgres writes it: what opens the envelope will name the row so.
    copy[idAt] = (copy[idAt] ?? randomUUID()).toLowerCase();
    return { line, values: copy };
  });
  const cells = sealed.flatMap(({ values }) => places.map(({ place, at }) => ({ values, place, at })));
  const filled = cells.filter(({ values, at }) => (values[at] ?? null) !== null);
  const envelopes = await crypto.encryptAll(
    filled.map(({ values, place, at }) => ({
      ref: { tenantId, place, row: values[idAt] ?? '' },
      plain: values[at] ?? '',
    })),
  );
  for (const [index, { values, at }] of filled.entries()) values[at] = envelopes[index] ?? null;
  return sealed;
}
