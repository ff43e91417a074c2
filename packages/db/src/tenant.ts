import pg, { type Pool, type PoolClient, type QueryResult } from 'pg';
import { isSilence } from './connect.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Text as an SQL literal, for statements that take no parameters. */
export const { escapeLiteral } = pg;

export function isUuid(value: string): boolean {
  return UUID.test(value);
}

/** Errors: `TypeError` for an id that is no UUID, before anything is sent. */
function beginStatement(tenantIds: readonly string[]): string {
  for (const id of tenantIds) {
    // The ids are put into the statement's text: anything but a UUID would be an injection.
    if (!isUuid(id)) throw new TypeError(`tenant id must be a UUID, got '${id}'`);
  }
  return tenantIds.length === 0 ? 'BEGIN' : `BEGIN; SET LOCAL app.tenants = '${tenantIds.join(',')}'`;
}

/** Of several statements in one message there are as many results, which the types of `pg` do not know. */
function lastOf(answer: QueryResult): QueryResult {
  return (Array.isArray(answer) ? answer.at(-1) : answer) as QueryResult;
}

/** Hands over a statement that was sent and whose answer only the commit needs: the commit follows it at once, and fails if it did. */
export type BeforeCommit = (statement: Promise<unknown>) => void;

export interface TransactionOptions {
  /** Statements without parameters that go out with the BEGIN in one message, for one answer: each answer is a wake-up of both sides. */
  readonly first?: (client: PoolClient) => string;
  /** Sends the COMMIT. */
  readonly commit?: (client: PoolClient) => Promise<QueryResult>;
}

/**
 * Runs `work` in one transaction, as these tenants (none: a role that needs none, such as ns_ops); commits when it resolves, rolls
 * back when it rejects. A connection whose rollback fails is closed and not used again. `begun`: what the last statement of the first message answered.
 */
export async function inTransaction<T>(
  pool: Pool,
  tenantIds: readonly string[],
  work: (client: PoolClient, beforeCommit: BeforeCommit, begun: Promise<QueryResult>) => Promise<T>,
  { first, commit = (client) => client.query('COMMIT') }: TransactionOptions = {},
): Promise<T> {
  const begin = beginStatement(tenantIds);
  const client = await pool.connect();
  let broken: Error | undefined;
  // Between checkout and release the pool does not listen: an 'error' without a listener would end the process.
  const onError = (error: Error) => {
    // The first says why the connection ended, the next only that it did.
    broken ??= error;
  };
  client.on('error', onError);
  const sent: Promise<unknown>[] = [];
  const beforeCommit: BeforeCommit = (statement) => {
    statement.catch(() => undefined);
    sent.push(statement);
  };
  try {
    // On a pipelined connection it goes out with the first statement, in one round trip.
    const more = first?.(client) ?? '';
    const begun = client.query(more === '' ? begin : `${begin}; ${more}`).then(lastOf);
    beforeCommit(begun);
    const result = await work(client, beforeCommit, begun).catch(async (error) => {
      // What failed first says why.
      await Promise.all(sent);
      throw error;
    });
    const committed = commit(client);
    beforeCommit(committed);
    await Promise.all(sent);
    // A statement failed and its error was caught: the transaction was lost, and Postgres says so only here.
    if ((await committed).command === 'ROLLBACK')
      throw new Error('the transaction was rolled back at its commit: a statement in it had failed');
    return result;
  } catch (error) {
    // What came after the server had closed the connection does not say why.
    if (broken !== undefined && error instanceof Error && error !== broken) error.cause ??= broken;
    // Behind a query that nobody answers, ROLLBACK would wait as long again.
    if (isSilence(error)) broken = error as Error;
    else
      await client.query('ROLLBACK').catch((rollbackError: Error) => {
        broken = rollbackError;
      });
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}
