import type { Pool, PoolClient, QueryResult } from 'pg';
import { inTransaction } from '../tenant.ts';

/** pg's client-side limit for one statement, ms; the largest that a timer takes. */
export const NO_LIMIT_MS = 2 ** 31 - 1;

/** A statement without the pool's time limit: a file of millions outlasts what is right for a request. */
export function unhurried<Row extends object>(
  client: PoolClient,
  statement: string,
  values: unknown[] = [],
): Promise<QueryResult<Row & Record<string, unknown>>> {
  // pg reads query_timeout from whatever is submitted; its types don't say so.
  const query = { text: statement, values, query_timeout: NO_LIMIT_MS };
  return client.query<Row & Record<string, unknown>>(query);
}

/**
 * Runs `work` in one transaction as this tenant, without time limits; its COMMIT too, which must not look failed when it was only slow.
 * Commits when `work` resolves, rolls back when it rejects; a connection that can't roll back is closed.
 */
export function inUnhurriedTransaction<T>(
  pool: Pool,
  tenantId: string,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  return inTransaction(
    pool,
    [tenantId],
    async (client) => {
      await client.query(
        `SET LOCAL statement_timeout = 0; SET LOCAL transaction_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = '60s'`,
      );
      return work(client);
    },
    { commit: (client) => unhurried(client, 'COMMIT') },
  );
}
