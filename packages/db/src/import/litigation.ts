import { CASE_STATUSES, HEARING_STATUSES, TASK_PRIORITIES, TASK_STATUSES } from '../schema/litigation.ts';
import { boolean, instant, oneOf, text, uuid } from './column-types.ts';
import type { ImportColumn, ImportReference, TableImport } from './table-import.ts';

const id: ImportColumn = { name: 'id', type: uuid, required: false, fallback: 'gen_random_uuid()' };
const createdAt: ImportColumn = { name: 'created_at', type: instant, required: false, fallback: 'clock_timestamp()' };
const title: ImportColumn = { name: 'title', type: text(300), required: true };
const parent = 'litigation.firms';
const sameId = { columns: ['id'], words: 'id' };

const user = (column: string, name: string, optional = true): ImportReference => ({
  optional,
  column,
  table: 'litigation.users',
  noun: 'user',
  by: [
    { column: `${name}_code`, key: 'code', type: text(40) },
    { column: `${name}_id`, key: 'id', type: uuid },
  ],
});
const caseOf: ImportReference = {
  column: 'case_id',
  table: 'litigation.cases',
  noun: 'case',
  by: [
    { column: 'case_number', key: 'case_number', type: text(60) },
    { column: 'case_id', key: 'id', type: uuid },
  ],
};
const court: ImportReference = {
  column: 'court_id',
  table: 'litigation.courts',
  noun: 'court',
  by: [
    { column: 'court_code', key: 'code', type: text(40) },
    { column: 'court_id', key: 'id', type: uuid },
  ],
};

export const litigationImports: readonly TableImport[] = [
  {
    table: 'litigation.courts',
    columns: [
      id,
      { name: 'code', type: text(40), required: true },
      { name: 'name', type: text(200), required: true },
      { name: 'city', type: text(100), required: true },
      { name: 'address', type: text(300), required: false },
      { name: 'forum', type: text(60), required: true },
    ],
    references: [],
    unique: [sameId, { columns: ['code'], words: 'code' }],
    checks: [],
    parent,
  },
  {
    table: 'litigation.cases',
    columns: [
      id,
      { name: 'case_number', type: text(60), required: true },
      title,
      { name: 'status', type: oneOf(...CASE_STATUSES), required: false, fallback: `'Open'` },
      createdAt,
    ],
    references: [user('owner_id', 'owner', false), user('assigned_to', 'advocate')],
    unique: [sameId, { columns: ['case_number'], words: 'case number' }],
    checks: [],
    parent,
  },
  {
    table: 'litigation.tasks',
    columns: [
      id,
      title,
      { name: 'status', type: oneOf(...TASK_STATUSES), required: false, fallback: `'Pending'` },
      { name: 'priority', type: oneOf(...TASK_PRIORITIES), required: false, fallback: `'medium'` },
      { name: 'due_date', type: instant, required: false },
      { name: 'statutory', type: boolean, required: false, fallback: 'false' },
      createdAt,
      { name: 'closed_at', type: instant, required: false },
    ],
    references: [{ ...caseOf, optional: true }, user('assigned_to', 'assignee')],
    unique: [sameId],
    checks: [
      { column: 'created_at', wrong: 'created_at > clock_timestamp()', reason: 'lies in the future' },
      { column: 'closed_at', wrong: 'closed_at < created_at', reason: 'lies before created_at' },
    ],
    parent,
  },
  {
    table: 'litigation.hearings',
    columns: [
      id,
      { name: 'hearing_date', type: instant, required: true },
      { name: 'status', type: oneOf(...HEARING_STATUSES), required: false, fallback: `'Scheduled'` },
      { name: 'attended', type: boolean, required: false },
      createdAt,
    ],
    references: [caseOf, court],
    unique: [sameId, { columns: ['case_id', 'court_id', 'hearing_date'], words: 'case, court and time' }],
    checks: [],
    parent,
  },
];
