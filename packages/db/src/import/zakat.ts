import { boolean, currency, date, integer, minorUnits, text, uuid } from './column-types.ts';
import type { ImportColumn, TableImport } from './table-import.ts';

const LONGEST_REFERENCE = 40;
const id: ImportColumn = { name: 'id', type: uuid, required: false, fallback: 'gen_random_uuid()' };
const reference: ImportColumn = { name: 'reference', type: text(LONGEST_REFERENCE), required: true };
const amount = (name: string): ImportColumn => ({
  name: `${name}_enc`,
  header: name,
  encrypted: true,
  type: minorUnits,
  required: true,
});
const parent = 'zakat.users';
const sameId = { columns: ['id'], words: 'id' };
const sameReference = { columns: ['reference'], words: 'reference' };

export const zakatImports: readonly TableImport[] = [
  {
    table: 'zakat.users',
    columns: [{ name: 'day_offset', type: integer(-2, 2), required: true }],
    references: [],
    unique: [{ columns: ['tenant_id'], words: 'user' }],
    checks: [],
  },
  {
    table: 'zakat.snapshots',
    columns: [
      id,
      reference,
      { name: 'snapshot_date', type: date, required: true },
      { name: 'finalised', type: boolean, required: false, fallback: 'false' },
      { name: 'currency', type: currency, required: true },
      { name: 'reaches_nisab', type: boolean, required: false },
      amount('wealth'),
      amount('nisab'),
      amount('zakat_due'),
    ],
    references: [],
    unique: [sameId, sameReference],
    checks: [
      {
        column: 'reaches_nisab',
        wrong: 'finalised AND reaches_nisab IS NULL',
        reason: 'a finalised snapshot needs it: true or false',
      },
      { column: 'snapshot_date', wrong: 'snapshot_date > current_date', reason: 'lies in the future' },
    ],
    parent,
  },
  {
    table: 'zakat.payments',
    columns: [id, reference, { name: 'paid_on', type: date, required: true }, amount('amount')],
    references: [
      {
        column: 'snapshot_id',
        table: 'zakat.snapshots',
        noun: 'snapshot',
        by: [
          { column: 'snapshot_reference', key: 'reference', type: text(LONGEST_REFERENCE) },
          { column: 'snapshot_id', key: 'id', type: uuid },
        ],
      },
    ],
    unique: [sameId, sameReference],
    checks: [{ column: 'paid_on', wrong: 'paid_on > current_date', reason: 'lies in the future' }],
    parent,
  },
];
