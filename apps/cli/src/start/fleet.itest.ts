import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { choosePort, InvalidPortError, PortTakenError } from './fleet.ts';

let taken: Server | null = null;
afterEach(() => {
  taken?.close();
  taken = null;
});

function listen(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    taken = server;
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

const notes: string[] = [];
const steps = { note: (text: string) => void notes.push(text) };

test('a PORT that is taken is refused, not replaced', async () => {
  const port = await listen(0);
  await expect(choosePort({ PORT: String(port) }, steps)).rejects.toThrow(PortTakenError);
});

test('a free PORT is used', async () => {
  const port = await listen(0);
  await new Promise((resolve) => taken?.close(resolve));
  expect(await choosePort({ PORT: String(port) }, steps)).toBe(port);
});

test.each(['0', '65536', '30e', '-1', '3000.5'])('PORT %j is refused with the value', async (value) => {
  await expect(choosePort({ PORT: value }, steps)).rejects.toThrow(InvalidPortError);
  await expect(choosePort({ PORT: value }, steps)).rejects.toThrow(`'${value}'`);
});

test('without PORT a taken 3000 is replaced by a free port, and that is said', async () => {
  // Whoever has 3000 already serves the test as well as we do.
  await listen(3000).catch(() => undefined);
  notes.length = 0;
  const port = await choosePort({}, steps);
  expect(port).not.toBe(3000);
  expect(notes).toEqual([`port 3000 is taken, the API listens on ${port}`]);
});
