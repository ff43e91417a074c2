import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createPool, type Pool } from './connect.ts';
import { inTransaction } from './tenant.ts';

/** A way to Postgres that can go silent: what is sent then arrives nowhere. */
interface Way {
  readonly url: string;
  silence(): void;
  close(): void;
}

async function startWay(): Promise<Way> {
  const url = new URL(process.env.NIGHTSHIFT_TEST_ADMIN_URL ?? '');
  const port = Number(url.port);
  const sockets: Socket[] = [];
  const silent = new Set<Socket>();
  const server = createServer((client) => {
    const postgres = connect(port, url.hostname);
    sockets.push(client, postgres);
    client.on('data', (chunk) => {
      if (!silent.has(client)) postgres.write(chunk);
    });
    postgres.on('data', (chunk) => !silent.has(client) && client.write(chunk));
    for (const socket of [client, postgres]) socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    silence: () => {
      for (const socket of sockets) silent.add(socket);
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

let way: Way;
let pool: Pool;

beforeEach(async () => {
  way = await startWay();
  pool = createPool({ url: way.url, role: 'ns_app', max: 4, name: 'silence-test', queryTimeoutMs: 300 });
});

afterEach(async () => {
  way.close();
  await pool.end();
});

/** Opens so many connections at once and leaves them idle. */
async function open(count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, () => pool.connect()));
  for (const client of clients) client.release();
}

test('a transaction whose server went silent ends with the first timeout: no ROLLBACK waits behind the lost query', async () => {
  const asked: unknown[] = [];
  const lost = inTransaction(pool, [], async (client) => {
    way.silence();
    const spy = vi.spyOn(client, 'query').mockClear();
    try {
      await client.query('SELECT 1');
    } finally {
      asked.push(spy.mock.calls);
    }
  });
  await expect(lost).rejects.toThrow('Query read timeout');
  expect(asked).toEqual([[['SELECT 1']]]);
  expect(pool.totalCount).toBe(0);
});

test('where one connection is half-open, the idle ones are closed: the next user gets a new one', async () => {
  await open(4);
  expect(pool.totalCount).toBe(4);
  way.silence();
  await expect(pool.query('SELECT 1')).rejects.toThrow('Query read timeout');
  await expect.poll(() => pool.totalCount).toBe(0);
  // New connections pass.
  expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
});
