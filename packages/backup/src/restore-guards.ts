import type pg from 'pg';
import { quoted, type Table } from './tables.ts';

/** What stands between a table and rows that are put into it as they are; each with the statement that brings it back. */
export interface Guards {
  /** Run in this order once the rows are in: foreign keys first, while their checks may see every row. */
  readonly back: readonly string[];
}

interface TriggerRow {
  name: string;
  enabled: 'O' | 'A' | 'R';
}

const ENABLE = { O: 'ENABLE', A: 'ENABLE ALWAYS', R: 'ENABLE REPLICA' } as const;

/**
 * Takes triggers, foreign keys and forced row-level security off, as the owner: rows that were valid when they were saved must neither be
 * audited, changed nor refused because of the order in which tables come. Foreign keys are made again afterwards, which checks them all.
 */
export async function guardsOff(client: pg.Client, tables: readonly Table[]): Promise<Guards> {
  const keys: string[] = [];
  const others: string[] = [];
  for (const table of tables) {
    for (const { name, definition } of await foreignKeys(client, table)) {
      await client.query(`ALTER TABLE ${table.sql} DROP CONSTRAINT ${quoted(name)}`);
      keys.push(`ALTER TABLE ${table.sql} ADD CONSTRAINT ${quoted(name)} ${definition}`);
    }
    for (const { name, enabled } of await triggers(client, table)) {
      await client.query(`ALTER TABLE ${table.sql} DISABLE TRIGGER ${quoted(name)}`);
      others.push(`ALTER TABLE ${table.sql} ${ENABLE[enabled]} TRIGGER ${quoted(name)}`);
    }
    if (await isForced(client, table)) {
      await client.query(`ALTER TABLE ${table.sql} NO FORCE ROW LEVEL SECURITY`);
      others.push(`ALTER TABLE ${table.sql} FORCE ROW LEVEL SECURITY`);
    }
  }
  return { back: [...keys, ...others] };
}

export async function guardsOn(client: pg.Client, guards: Guards): Promise<void> {
  for (const statement of guards.back) await client.query(statement);
}

async function foreignKeys(client: pg.Client, table: Table): Promise<{ name: string; definition: string }[]> {
  const { rows } = await client.query<{ name: string; definition: string }>(
    `SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE conrelid = $1 AND contype = 'f' AND conparentid = 0`,
    [table.oid],
  );
  return rows;
}

async function triggers(client: pg.Client, table: Table): Promise<TriggerRow[]> {
  const { rows } = await client.query<TriggerRow>(
    `SELECT tgname AS name, tgenabled AS enabled FROM pg_trigger
     WHERE tgrelid = $1 AND NOT tgisinternal AND tgparentid = 0 AND tgenabled <> 'D'`,
    [table.oid],
  );
  return rows;
}

async function isForced(client: pg.Client, table: Table): Promise<boolean> {
  const { rows } = await client.query<{ forced: boolean }>(
    'SELECT relforcerowsecurity AS forced FROM pg_class WHERE oid = $1',
    [table.oid],
  );
  return rows[0]?.forced === true;
}
