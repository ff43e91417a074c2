import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';

/** SQL as the superuser, past row-level security. */
export interface Admin {
  /** Waits while Postgres is away, so only for statements that may be sent twice. */
  rows<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

const AGAIN_AFTER_MS = 50;
const PATIENCE_MS = 60_000;
const AWAY = /^(08|57P0)|ECONN|EPIPE/;

function isAway(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  return AWAY.test(code ?? '') || /terminated|timeout/i.test(message ?? '');
}

export function createAdmin(url: string): Admin {
  const pool = new pg.Pool({
    connectionString: url,
    max: 4,
    application_name: 'fleet-admin',
    connectionTimeoutMillis: 5_000,
  });
  pool.on('error', () => undefined);
  return {
    async rows<Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
      for (const end = Date.now() + PATIENCE_MS; ; ) {
        try {
          return (await pool.query<Row>(text, [...values])).rows;
        } catch (error) {
          if (!isAway(error) || Date.now() > end) throw error;
          await wait(AGAIN_AFTER_MS);
        }
      }
    },
    close: () => pool.end(),
  };
}
