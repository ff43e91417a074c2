import pg from 'pg';

// int8 and numeric arrive as strings by default; counts here stay far below 2^53.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** Database roles a serving process may act as (DESIGN 5). The login role is a member of both and inherits neither. */
export type ServingRole = 'ns_app' | 'ns_ops';

export interface PoolOptions {
  readonly url: string;
  readonly role: ServingRole;
  /** Connections at most. */
  readonly max: number;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  /** Longest statement, ms; the server ends it with SQLSTATE 57014. Default 30,000. */
  readonly statementTimeoutMs?: number;
  /** Longest transaction, ms. A process stopped in the middle of one loses it after this time. Default 30,000. */
  readonly transactionTimeoutMs?: number;
  /** How long a client that waits for a silent server waits, ms. Default: the statement timeout and 5 s. */
  readonly queryTimeoutMs?: number;
  /** True: COPY is possible; each statement then waits for the answer to the one before. Default false: they are sent one behind the other. */
  readonly copies?: boolean;
  /** Called for errors on idle connections. Without a listener Node would end the process. */
  readonly onIdleError?: (error: Error) => void;
}

/** True when pg gave up waiting: the server, or the way to it, has been silent for `queryTimeoutMs`. The query still occupies its connection. */
export function isSilence(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}

/**
 * Where one connection is half-open, those that lie idle are too, and each would cost its next user the whole timeout: all of them are
 * closed.
 */
function closeIdleOnSilence(pool: pg.Pool): void {
  const idle = new Set<pg.PoolClient>();
  pool.on('acquire', (client) => idle.delete(client));
  pool.on('remove', (client) => idle.delete(client));
  pool.on('release', (error, client) => {
    if (!error) idle.add(client);
    else if (isSilence(error)) for (const other of idle) (other as unknown as pg.Client).connection.stream.destroy();
  });
}

/**
 * A connection always has a listener. The pool takes its own away when it hands a connection out, and who gets it adds his a microtask later: a server
 * that ends it in the very packet that said it is ready would end the process.
 */
function neverUnheard(pool: pg.Pool): void {
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
  });
}

/** What is sent to a connection in one turn of the event loop leaves in one packet: a write costs more than the statement in it. */
function sendTogether(pool: pg.Pool): void {
  pool.on('connect', (client) => {
    const { stream } = (client as unknown as pg.Client).connection;
    const query = client.query as (...args: unknown[]) => unknown;
    let corked = false;
    const together = (...args: unknown[]) => {
      if (!corked) {
        corked = true;
        stream.cork();
        process.nextTick(() => {
          corked = false;
          stream.uncork();
        });
      }
      return query.apply(client, args);
    };
    Object.assign(client, { query: together });
  });
}

/**
 * A pool whose every connection acts as one role, with every time limit set (a default of 0 means "wait for ever").
 * Errors: connecting takes at most 2 s, then rejects.
 */
export function createPool(options: PoolOptions): pg.Pool {
  const statementTimeoutMs = options.statementTimeoutMs ?? 30_000;
  const transactionTimeoutMs = options.transactionTimeoutMs ?? 30_000;
  const settings = {
    role: options.role,
    transaction_timeout: transactionTimeoutMs,
    idle_in_transaction_session_timeout: Math.min(10_000, transactionTimeoutMs),
    lock_timeout: 5_000,
    timezone: 'UTC',
    // What ns_ops sends is the platform's own, and plans well without its values; planning a pass takes longer than the pass.
    ...(options.role === 'ns_ops' ? { plan_cache_mode: 'force_generic_plan' } : {}),
  };
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.name,
    max: options.max,
    connectionTimeoutMillis: 2_000,
    idleTimeoutMillis: 30_000,
    statement_timeout: statementTimeoutMs,
    query_timeout: options.queryTimeoutMs ?? statementTimeoutMs + 5_000,
    keepAlive: true,
    pipeline: options.copies !== true,
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  });
  pool.on('error', options.onIdleError ?? (() => undefined));
  neverUnheard(pool);
  closeIdleOnSilence(pool);
  sendTogether(pool);
  return pool;
}

export type { Pool, PoolClient } from 'pg';
