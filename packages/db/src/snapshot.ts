import type { Readable } from 'node:stream';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';

export interface SnapshotOptions {
  /** Login role that is a member of ns_backup. */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  /** Longest transaction, ms. */
  readonly timeoutMs: number;
  /** Aborted: the connection is closed, whatever it is doing. */
  readonly signal?: AbortSignal;
}

/** One view of all rows of all tenants, however long it is looked at. Read only. */
export interface Snapshot {
  readonly client: Pick<pg.Client, 'query'>;
  /** Rows of a SELECT as COPY text, as they come: nothing is read ahead. */
  copy(select: string): Readable;
}

/** Longest wait for a lock that somebody holds to alter a table, ms: the backup then fails and is tried again. */
const LOCK_MS = 60_000;
const CONNECT_MS = 5_000;

/** Runs `work` as ns_backup in one read-only REPEATABLE READ transaction on a connection of its own. */
export async function inSnapshot<T>(options: SnapshotOptions, work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  options.signal?.throwIfAborted();
  const settings = {
    role: 'ns_backup',
    statement_timeout: options.timeoutMs,
    transaction_timeout: options.timeoutMs,
    // No shorter: what has been read may take minutes to reach a slow disk or bucket, and the limit above ends a worker that hangs.
    idle_in_transaction_session_timeout: options.timeoutMs,
    lock_timeout: LOCK_MS,
    timezone: 'UTC',
  };
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.name,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  });
  // Without a listener a lost connection would end the process; the query in hand rejects all the same.
  client.on('error', () => undefined);
  const close = () =>
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  options.signal?.addEventListener('abort', close, { once: true });
  try {
    await client.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const result = await work({ client, copy: (select) => client.query(copyTo(`COPY (${select}) TO STDOUT`)) });
    await client.query('COMMIT');
    return result;
  } finally {
    options.signal?.removeEventListener('abort', close);
    await client.end().catch(() => undefined);
  }
}
