import { escapeLiteral } from '@nightshift/db';
import type { SqlClient } from '../define-job.ts';

/** First key of the advisory locks of passes, as SQL; the second is the hash of the queue's name. Whoever holds it keeps passes away. */
export const PASS_LOCK = `hashtext('nightshift.pass')`;

/** For whoever waits until a pass has ended. Passes ask for `PASS_LOCK` without waiting: who held that only to wait would send the next one away. */
const PASS_ENDS_LOCK = `hashtext('nightshift.pass-ends')`;

/** Statement with which a transaction begins a pass over the queue, answering `ours`: false when another process is at it. A dead process frees its locks. */
export function beginPass(queue: string): string {
  const name = escapeLiteral(queue);
  return `SELECT CASE WHEN pg_try_advisory_xact_lock(${PASS_LOCK}, hashtext(${name}))
    THEN pg_advisory_xact_lock(${PASS_ENDS_LOCK}, hashtext(${name})) IS NOT NULL ELSE false END AS ours`;
}

/** A dispatch, and the queue whose pass made it. */
export interface HandedOut {
  readonly id: string;
  readonly queue: string;
}

/**
 * Looks for what a pass handed out. Redis may have a dispatch before Postgres has committed it (`createPass`): who finds nothing waits for the pass that
 * is under way, if one is, and looks again. In the claim's own transaction, where the savepoint lets go of the lock at once.
 */
export async function lookForHandedOut<Row>(
  client: SqlClient,
  queue: string,
  look: () => Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  const found = await look();
  if (found.length > 0) return found;
  await client.query(
    `SAVEPOINT look; SELECT pg_advisory_xact_lock_shared(${PASS_ENDS_LOCK}, hashtext(${escapeLiteral(queue)})); ROLLBACK TO SAVEPOINT look`,
  );
  return look();
}
