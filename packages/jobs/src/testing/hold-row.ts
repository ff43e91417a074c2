import type { TestStore } from '@nightshift/engine/testing';
import { until } from '@nightshift/engine/testing';

/** A row that nobody can write until it is let go. */
export interface HeldRow {
  /** Resolves to the backend that waits for it. */
  waiting(): Promise<number>;
  letGo(): Promise<void>;
}

// Any number that the engine's own advisory locks don't use.
const KEY = 918_273;

/** Holds the row of `table` that an INSERT, UPDATE or DELETE (`event`) meets with `when`, an expression over NEW or OLD. One a database at a time. */
export async function holdRow(
  store: TestStore,
  { table, event, when }: { readonly table: string; readonly event: string; readonly when: string },
): Promise<HeldRow> {
  const holder = await store.admin.connect();
  await holder.query('SELECT pg_advisory_lock($1)', [KEY]);
  const [schema] = table.split('.');
  await store.admin.query(
    `CREATE OR REPLACE FUNCTION ${schema}.hold() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN PERFORM pg_advisory_xact_lock_shared(${KEY}); RETURN coalesce(NEW, OLD); END $$;
     CREATE OR REPLACE TRIGGER hold BEFORE ${event} ON ${table} FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION ${schema}.hold()`,
  );
  return {
    waiting: () =>
      until('the batch to wait', async () => {
        const { rows } = await store.admin.query<{ pid: number }>(
          `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`,
        );
        return rows[0]?.pid;
      }),
    async letGo() {
      await holder.query('SELECT pg_advisory_unlock_all()');
      // The trigger stays, and waits for nobody: dropping it would lock the table against the very batch that was let go.
      holder.release();
    },
  };
}
