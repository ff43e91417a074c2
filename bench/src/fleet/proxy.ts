import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * - `pass`: as if it were not there
 * - `delay`: every chunk arrives `delayMs` later
 * - `drop-replies`: requests arrive, their answers don't
 * - `silent`: connections are taken and nothing goes through
 * - `refuse`: connections are closed at once
 */
export type ProxyMode = 'pass' | 'delay' | 'drop-replies' | 'silent' | 'refuse';

/** A bad network before a server, on 127.0.0.1. */
export interface NetworkProxy {
  readonly port: number;
  set(mode: ProxyMode, delayMs?: number): void;
  /** Connections that are open go silent for good (half-open); new ones pass. */
  blackhole(): void;
  /** A connection goes silent for good once its client says this, new ones too; what is said otherwise passes. */
  swallow(said: RegExp): void;
  /** Open connections that have gone silent. */
  silent(): number;
  /** Connections that are open are reset. */
  cut(): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  silent: boolean;
}

export async function startProxy(targetPort: number): Promise<NetworkProxy> {
  const pairs = new Set<Pair>();
  let mode: ProxyMode = 'pass';
  let delayMs = 0;
  let swallowed: RegExp | null = null;

  function forward(pair: Pair, from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => {
      if (from === pair.client && swallowed?.test(chunk.toString('latin1'))) pair.silent = true;
      if (pair.silent || mode === 'silent' || (mode === 'drop-replies' && from === pair.server)) return;
      if (mode === 'delay') setTimeout(() => to.writable && to.write(chunk), delayMs);
      else if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('error', () => undefined);
    from.on('close', () => {
      pairs.delete(pair);
      // Half-open on purpose: the other side must not hear of it.
      if (!pair.silent) to.destroy();
    });
  }

  const listener = createServer((client) => {
    if (mode === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const pair: Pair = { client, server: connect(targetPort, '127.0.0.1'), silent: false };
    pairs.add(pair);
    forward(pair, client, pair.server);
    forward(pair, pair.server, client);
  });
  await new Promise<void>((resolve) => listener.listen({ port: 0, host: '127.0.0.1' }, resolve));
  const cut = () => {
    for (const { client, server } of pairs) for (const socket of [client, server]) socket.destroy();
  };
  return {
    port: (listener.address() as AddressInfo).port,
    set(next, ms = 0) {
      mode = next;
      delayMs = ms;
    },
    blackhole() {
      for (const pair of pairs) pair.silent = true;
    },
    swallow(said) {
      swallowed = said;
    },
    silent: () => [...pairs].filter((pair) => pair.silent).length,
    cut,
    async close() {
      const closed = new Promise((resolve) => listener.close(resolve));
      cut();
      await closed;
    },
  };
}
