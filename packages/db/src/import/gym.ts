import { ACTION_KINDS, ACTION_STATUSES, MEMBER_STATUSES } from '../schema/gym.ts';
import { boolean, date, instant, integer, oneOf, text, uuid } from './column-types.ts';
import type { ImportColumn, ImportReference, TableImport } from './table-import.ts';

const LONGEST_NUMBER = 40;
const id: ImportColumn = { name: 'id', type: uuid, required: false, fallback: 'gen_random_uuid()' };
const number: ImportColumn = { name: 'number', type: text(LONGEST_NUMBER), required: true };
const parent = 'gym.gyms';

const member: ImportReference = {
  column: 'member_id',
  table: 'gym.members',
  noun: 'member',
  by: [
    { column: 'member_number', key: 'number', type: text(LONGEST_NUMBER) },
    { column: 'member_id', key: 'id', type: uuid },
  ],
};
const coach: ImportReference = {
  column: 'coach_id',
  table: 'gym.coaches',
  noun: 'coach',
  by: [
    { column: 'coach_number', key: 'number', type: text(LONGEST_NUMBER) },
    { column: 'coach_id', key: 'id', type: uuid },
  ],
};
const sameId = { columns: ['id'], words: 'id' };
const sameNumber = { columns: ['number'], words: 'number' };

export const gymImports: readonly TableImport[] = [
  {
    table: 'gym.gyms',
    columns: [{ name: 'opened_on', type: date, required: true }],
    references: [],
    unique: [{ columns: ['tenant_id'], words: 'gym' }],
    checks: [],
  },
  {
    table: 'gym.members',
    columns: [
      id,
      number,
      { name: 'status', type: oneOf(...MEMBER_STATUSES), required: false, fallback: `'active'` },
      { name: 'joined_on', type: date, required: true },
    ],
    references: [],
    unique: [sameId, sameNumber],
    checks: [{ column: 'joined_on', wrong: 'joined_on > current_date + 365', reason: 'lies more than a year ahead' }],
    parent,
  },
  {
    table: 'gym.visits',
    columns: [
      id,
      { name: 'visited_at', type: instant, required: true },
      { name: 'attended', type: boolean, required: false, fallback: 'true' },
    ],
    references: [member],
    unique: [sameId, { columns: ['member_id', 'visited_at'], words: 'member and time' }],
    checks: [{ column: 'visited_at', wrong: 'visited_at > clock_timestamp()', reason: 'lies in the future' }],
    parent,
  },
  {
    table: 'gym.coaches',
    columns: [id, number, { name: 'active', type: boolean, required: false, fallback: 'true' }],
    references: [],
    unique: [sameId, sameNumber],
    checks: [],
    parent,
  },
  {
    table: 'gym.coach_members',
    columns: [{ name: 'assigned_on', type: date, required: false, fallback: 'current_date' }],
    references: [coach, member],
    unique: [{ columns: ['coach_id', 'member_id'], words: 'coach and member' }],
    checks: [],
    parent,
  },
  {
    table: 'gym.coach_actions',
    columns: [
      id,
      { name: 'action_date', type: date, required: true },
      { name: 'kind', type: oneOf(...ACTION_KINDS), required: true },
      { name: 'churn_risk', type: integer(0, 100), required: true },
      { name: 'risk_level', type: oneOf('HIGH', 'CRITICAL'), required: true },
      { name: 'status', type: oneOf(...ACTION_STATUSES), required: false, fallback: `'open'` },
    ],
    references: [coach, member],
    unique: [sameId, { columns: ['coach_id', 'member_id', 'action_date'], words: 'coach, member and day' }],
    checks: [],
    parent,
  },
];
