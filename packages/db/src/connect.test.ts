import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { createPool, inTransaction } from './index.ts';

/** A message of the Postgres protocol: type, length, body. */
function message(type: string, ...body: (number[] | string)[]): Buffer {
  const bytes = Buffer.concat(
    body.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : Buffer.from(part))),
  );
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(bytes.length + 4, 1);
  return Buffer.concat([head, bytes]);
}

test('a server that ends a connection in the packet that says it is ready fails the transaction, not the process', async () => {
  const ready = [message('R', [0, 0, 0, 0]), message('Z', [0x49])];
  const ended = message('E', 'SFATAL', 'VFATAL', 'C57P01', 'Mterminating connection due to administrator command', [0]);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(Buffer.concat([...ready, ended])));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pool = createPool({
    url: `postgres://nightshift:x@127.0.0.1:${(server.address() as AddressInfo).port}/nightshift`,
    role: 'ns_ops',
    max: 1,
    name: 'test',
  });
  // Thrown outside any promise, it would fail this run as an unhandled error.
  await expect(inTransaction(pool, [], (client) => client.query('SELECT 1'))).rejects.toThrow();
  await pool.end();
  server.close();
});
