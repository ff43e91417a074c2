import {
  CLIENT_STATUSES,
  COMPARATORS,
  KEY_POPULATIONS,
  LAB_TESTS,
  PROGRAMMES,
  SUPPLY_KINDS,
} from '../schema/clinic.ts';
import { date, instant, integer, oneOf, text, uuid } from './column-types.ts';
import type { ImportColumn, ImportReference, TableImport } from './table-import.ts';

const LONGEST_NUMBER = 40;
const LARGEST_RESULT = 999_999_999;
const id: ImportColumn = { name: 'id', type: uuid, required: false, fallback: 'gen_random_uuid()' };
const parent = 'clinic.facilities';
const sameId = { columns: ['id'], words: 'id' };

const client: ImportReference = {
  column: 'client_id',
  table: 'clinic.clients',
  noun: 'client',
  by: [
    { column: 'client_number', key: 'number', type: text(LONGEST_NUMBER) },
    { column: 'client_id', key: 'id', type: uuid },
  ],
};
const regimen: ImportReference = {
  column: 'regimen_id',
  table: 'clinic.regimens',
  noun: 'regimen',
  by: [
    { column: 'regimen_code', key: 'code', type: text(LONGEST_NUMBER) },
    { column: 'regimen_id', key: 'id', type: uuid },
  ],
  optional: true,
};
const inFuture = (column: string, now: string) => ({
  column,
  wrong: `${column} > ${now}`,
  reason: 'lies in the future',
});
// The session's time zone is the facility's while a file is imported.
const TODAY = 'clock_timestamp()::date';

export const clinicImports: readonly TableImport[] = [
  {
    table: 'clinic.facilities',
    columns: [
      { name: 'opened_on', type: date, required: true },
      { name: 'ltfu_days', type: integer(1, 3_650), required: false, fallback: '90' },
      { name: 'interruption_days', type: integer(0, 3_650), required: false, fallback: '28' },
      { name: 'baseline_before_days', type: integer(0, 3_650), required: false, fallback: '180' },
      { name: 'baseline_after_days', type: integer(0, 3_650), required: false, fallback: '90' },
      { name: 'sample_wait_days', type: integer(0, 3_650), required: false, fallback: '30' },
    ],
    references: [],
    unique: [{ columns: ['tenant_id'], words: 'facility' }],
    checks: [],
  },
  {
    table: 'clinic.regimens',
    columns: [
      id,
      { name: 'code', type: text(LONGEST_NUMBER), required: true },
      { name: 'name', type: text(200), required: true },
      { name: 'kind', type: oneOf(...SUPPLY_KINDS), required: true },
    ],
    references: [],
    unique: [sameId, { columns: ['code'], words: 'code' }],
    checks: [],
    parent,
  },
  {
    table: 'clinic.clients',
    columns: [
      id,
      { name: 'number', type: text(LONGEST_NUMBER), required: true },
      { name: 'name_enc', header: 'name', type: text(200), required: false, encrypted: true },
      { name: 'phone_enc', header: 'phone', type: text(40), required: false, encrypted: true },
      { name: 'status', type: oneOf(...CLIENT_STATUSES), required: false, fallback: `'active'` },
      { name: 'key_population', type: oneOf(...KEY_POPULATIONS), required: false, fallback: `'none'` },
      { name: 'registered_on', type: date, required: true },
      { name: 'vl_interval_months', type: integer(6, 12), required: false, fallback: '12' },
    ],
    references: [],
    unique: [sameId, { columns: ['number'], words: 'number' }],
    checks: [
      inFuture('registered_on', TODAY),
      { column: 'vl_interval_months', wrong: 'vl_interval_months NOT IN (6, 12)', reason: 'must be 6 or 12' },
    ],
    parent,
  },
  {
    table: 'clinic.enrollments',
    columns: [
      id,
      { name: 'programme', type: oneOf(...PROGRAMMES), required: true },
      { name: 'started_on', type: date, required: true },
      { name: 'ended_on', type: date, required: false },
    ],
    references: [client],
    unique: [sameId, { columns: ['client_id', 'programme', 'started_on'], words: 'client, programme and start' }],
    checks: [
      { column: 'started_on', wrong: `started_on > ${TODAY} + 365`, reason: 'lies more than a year ahead' },
      { column: 'ended_on', wrong: 'ended_on < started_on', reason: 'lies before started_on' },
    ],
    parent,
  },
  {
    table: 'clinic.encounters',
    columns: [
      id,
      { name: 'occurred_at', type: instant, required: true },
      { name: 'next_appointment_on', type: date, required: false },
    ],
    references: [client],
    unique: [sameId],
    checks: [inFuture('occurred_at', 'clock_timestamp()')],
    parent,
  },
  {
    table: 'clinic.dispenses',
    columns: [
      id,
      { name: 'kind', type: oneOf(...SUPPLY_KINDS), required: true },
      { name: 'dispensed_at', type: instant, required: true },
      { name: 'days_supplied', type: integer(1, 400), required: true },
      { name: 'next_refill_on', type: date, required: false },
    ],
    references: [client, regimen],
    unique: [sameId],
    checks: [inFuture('dispensed_at', 'clock_timestamp()')],
    parent,
  },
  {
    table: 'clinic.lab_results',
    columns: [
      id,
      { name: 'test', type: oneOf(...LAB_TESTS), required: true },
      { name: 'drawn_on', type: date, required: true },
      { name: 'resulted_on', type: date, required: false },
      { name: 'comparator', type: oneOf(...COMPARATORS), required: false },
      { name: 'value', type: integer(0, LARGEST_RESULT), required: false },
      { name: 'assay_limit', type: integer(1, LARGEST_RESULT), required: false },
    ],
    references: [client],
    unique: [sameId],
    checks: [
      inFuture('drawn_on', TODAY),
      inFuture('resulted_on', TODAY),
      { column: 'resulted_on', wrong: 'resulted_on < drawn_on', reason: 'lies before drawn_on' },
      {
        column: 'comparator',
        wrong: '(comparator IS NULL) <> (resulted_on IS NULL)',
        reason: 'a result has resulted_on and comparator, a sample without one neither',
      },
      {
        column: 'value',
        wrong: "(value IS NULL) <> (comparator IS NULL OR comparator = 'TND')",
        reason: 'a result has a value, except TND',
      },
      { column: 'comparator', wrong: "comparator = 'TND' AND test <> 'VL'", reason: 'TND is for VL alone' },
    ],
    parent,
  },
];
