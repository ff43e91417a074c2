import pg from 'pg';
import type { Logger } from 'pino';
import { PG_WAKE_CHANNEL } from './redis-names.ts';

const AGAIN_MS = 2_000;

/** Hears the notifications of `acceptIn`, on a connection of its own; reconnects for ever. What it misses, the dispatcher's poll finds. */
export function listenForWakes(url: string, log: Logger, wake: (queue: string) => void): { stop(): Promise<void> } {
  let stopped = false;
  let client: pg.Client | null = null;
  let timer: NodeJS.Timeout | null = null;

  async function connect(): Promise<void> {
    const next = new pg.Client({
      connectionString: url,
      application_name: 'nightshift-listen',
      keepAlive: true,
      connectionTimeoutMillis: 2_000,
    });
    client = next;
    const again = () => {
      if (stopped || client !== next) return;
      client = null;
      next.end().catch(() => undefined);
      timer = setTimeout(() => void connect(), AGAIN_MS);
    };
    next.on('error', again);
    next.on('end', again);
    next.on('notification', (message) => {
      if (message.payload) wake(message.payload);
    });
    try {
      await next.connect();
      await next.query(`LISTEN ${PG_WAKE_CHANNEL}`);
    } catch (error) {
      log.debug({ err: { message: (error as Error).message } }, 'not listening to Postgres; trying again');
      again();
    }
  }

  void connect();
  return {
    async stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
      await client?.end().catch(() => undefined);
    },
  };
}
