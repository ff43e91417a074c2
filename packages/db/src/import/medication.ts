import { CHANNELS, SEVERITIES, SIDE_KINDS } from '../schema/medication.ts';
import { boolean, decimal, instant, integer, lowerText, oneOf, text, uuid, wordList } from './column-types.ts';
import type { ImportColumn, ImportReference, TableImport } from './table-import.ts';

const id: ImportColumn = { name: 'id', type: uuid, required: false, fallback: 'gen_random_uuid()' };
const sameId = { columns: ['id'], words: 'id' };
const parent = 'medication.organisations';
const words = (name: string, required = false): ImportColumn => ({
  name,
  type: wordList(1_000),
  required,
  ...(required ? {} : { fallback: `'{}'::text[]` }),
});
const flag = (name: string, fallback: boolean): ImportColumn => ({
  name,
  type: boolean,
  required: false,
  fallback: String(fallback),
});

const user: ImportReference = {
  column: 'user_id',
  table: 'medication.users',
  noun: 'user',
  by: [
    { column: 'user_number', key: 'number', type: text(100) },
    { column: 'user_id', key: 'id', type: uuid },
  ],
};
const medication: ImportReference = {
  column: 'medication_id',
  table: 'medication.medications',
  noun: 'medication',
  by: [
    { column: 'medication', key: 'name', type: text(200) },
    { column: 'medication_id', key: 'id', type: uuid },
  ],
};

export const medicationImports: readonly TableImport[] = [
  {
    table: 'medication.organisations',
    columns: [
      { name: 'lead_days', type: integer(0, 365), required: false, fallback: '7' },
      { name: 'alert_days', type: integer(0, 365), required: false, fallback: '3' },
    ],
    references: [],
    unique: [{ columns: ['tenant_id'], words: 'organisation' }],
    checks: [],
  },
  {
    table: 'medication.users',
    columns: [
      id,
      { name: 'number', type: text(100), required: true },
      { name: 'zone', type: text(60), required: true },
      { name: 'name_enc', header: 'name', type: text(200), required: false, encrypted: true },
      { name: 'email_enc', header: 'email', type: text(320), required: false, encrypted: true },
      { name: 'phone_enc', header: 'phone', type: text(40), required: false, encrypted: true },
      { name: 'channel', type: oneOf(...CHANNELS), required: false, fallback: `'email'` },
      flag('active', true),
      flag('reminders_opt_in', true),
      flag('names_in_texts', false),
    ],
    references: [],
    unique: [sameId, { columns: ['number'], words: 'number' }],
    checks: [
      {
        column: 'zone',
        wrong: 'NOT EXISTS (SELECT FROM pg_timezone_names AS known WHERE known.name = zone)',
        reason: 'is no IANA time zone such as Europe/Berlin',
      },
    ],
    parent,
  },
  {
    table: 'medication.medications',
    columns: [
      id,
      { name: 'name', type: text(200), required: true },
      words('ingredients', true),
      words('brands'),
      words('classes'),
      words('properties'),
    ],
    references: [],
    unique: [sameId, { columns: ['name'], words: 'name' }],
    checks: [],
    parent,
  },
  {
    table: 'medication.user_medications',
    columns: [
      id,
      { name: 'dose', type: text(200), required: false, fallback: 'NULL' },
      { name: 'units_a_day', type: decimal(3), required: false, fallback: '0' },
      { name: 'lead_days', type: integer(0, 365), required: false, fallback: 'NULL' },
      { name: 'supply_units', type: decimal(3), required: false, fallback: 'NULL' },
      { name: 'supply_recorded_at', type: instant, required: false, fallback: 'NULL' },
    ],
    references: [user, medication],
    unique: [sameId, { columns: ['user_id', 'medication_id'], words: 'user and medication' }],
    checks: [
      {
        column: 'supply_units',
        wrong: '(supply_units IS NULL) <> (supply_recorded_at IS NULL)',
        reason: 'and supply_recorded_at go together',
      },
      { column: 'supply_recorded_at', wrong: 'supply_recorded_at > clock_timestamp()', reason: 'lies in the future' },
    ],
    parent,
  },
  {
    // The version that was imported last is in force, as a whole: a file holds a whole table.
    table: 'medication.interactions',
    columns: [
      { name: 'table_version', type: text(100), required: true },
      { name: 'a_kind', type: oneOf(...SIDE_KINDS), required: true },
      { name: 'a_name', type: lowerText(200), required: true },
      { name: 'b_kind', type: oneOf(...SIDE_KINDS), required: true },
      { name: 'b_name', type: lowerText(200), required: true },
      { name: 'severity', type: oneOf(...SEVERITIES), required: true },
      { name: 'effect', type: text(1_000), required: true },
      { name: 'source', type: text(1_000), required: true },
    ],
    references: [],
    unique: [{ columns: ['table_version', 'a_kind', 'a_name', 'b_kind', 'b_name'], words: 'version and pair' }],
    checks: [],
    parent,
  },
];
