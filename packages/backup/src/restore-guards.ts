import type pg from 'pg';
import { quoted, type Table } from './tables.ts';

/** What stands between a table and rows that are put into it as they are; each with the statement that brings it back. */
export interface Guards {
  /** Run in this order once the rows are in: foreign keys first, while their checks may see every row. */
  readonly back: readonly string[];
}

interface TriggerRow {
  table: number;
  name: string;
  enabled: 'O' | 'A' | 'R';
}

interface KeyRow {
  table: number;
  name: string;
  definition: string;
}

const ENABLE = { O: 'ENABLE', A: 'ENABLE ALWAYS', R: 'ENABLE REPLICA' } as const;

/**
 * Takes triggers, foreign keys and forced row-level security off, as the owner: rows that were valid when they were saved must neither be
 * audited, changed nor refused because of the order in which tables come. Foreign keys are made again afterwards, which checks them all.
 */
export async function guardsOff(client: pg.Client, tables: readonly Table[]): Promise<Guards> {
  const byOid = new Map(tables.map((table) => [table.oid, table.sql]));
  const oids = [[...byOid.keys()]];
  const keys = await client.query<KeyRow>(
    `SELECT conrelid::int8 AS table, conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE conrelid = ANY ($1::oid[]) AND contype = 'f' AND conparentid = 0`,
    oids,
  );
  const triggers = await client.query<TriggerRow>(
    `SELECT tgrelid::int8 AS table, tgname AS name, tgenabled AS enabled FROM pg_trigger
     WHERE tgrelid = ANY ($1::oid[]) AND NOT tgisinternal AND tgparentid = 0 AND tgenabled <> 'D'`,
    oids,
  );
  const forced = await client.query<{ table: number }>(
    'SELECT oid::int8 AS table FROM pg_class WHERE oid = ANY ($1::oid[]) AND relforcerowsecurity',
    oids,
  );
  const alter = (table: number) => `ALTER TABLE ${byOid.get(table)}`;
  const off = [
    ...keys.rows.map(({ table, name }) => `${alter(table)} DROP CONSTRAINT ${quoted(name)}`),
    ...triggers.rows.map(({ table, name }) => `${alter(table)} DISABLE TRIGGER ${quoted(name)}`),
    ...forced.rows.map(({ table }) => `${alter(table)} NO FORCE ROW LEVEL SECURITY`),
  ];
  if (off.length > 0) await client.query(off.join(';\n'));
  return {
    back: [
      ...keys.rows.map(({ table, name, definition }) => `${alter(table)} ADD CONSTRAINT ${quoted(name)} ${definition}`),
      ...triggers.rows.map(({ table, name, enabled }) => `${alter(table)} ${ENABLE[enabled]} TRIGGER ${quoted(name)}`),
      ...forced.rows.map(({ table }) => `${alter(table)} FORCE ROW LEVEL SECURITY`),
    ],
  };
}

export async function guardsOn(client: pg.Client, guards: Guards): Promise<void> {
  await client.query(guards.back.join(';\n'));
}
