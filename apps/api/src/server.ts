import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Express } from 'express';
import type { Logger } from 'pino';

/** Node's defaults (60 s, 300 s) let a slow sender hold a connection for minutes. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
/** A stop that takes longer is forced, ms. */
const STOP_MS = 30_000;

export function createHttpServer(app: Express): Server {
  const server = createServer(
    {
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 16_384,
    },
    app,
  );
  server.keepAliveTimeout = 65_000;
  server.on('clientError', answerUnreadable);
  return server;
}

const REFUSALS: Readonly<Record<string, readonly [number, string, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'headers-too-large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large', 'body-too-large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'too-slow'],
};

/** Requests that are no HTTP never reach Express. */
function answerUnreadable(error: Error & { code?: string }, socket: Socket | import('node:stream').Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, title, code] = REFUSALS[error.code ?? ''] ?? [400, 'Bad Request', 'malformed-request'];
  const body = JSON.stringify({
    type: `urn:nightshift:problem:${code}`,
    title,
    status,
    detail: 'The request cannot be read.',
    code,
  });
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Resolves to the port. Errors: `ListenError` when it cannot be had. */
export function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: Error & { code?: string }) => reject(new ListenError(host, port, error)));
    server.listen({ host, port }, () => resolve((server.address() as AddressInfo).port));
  });
}

export class ListenError extends Error {
  override readonly name = 'ListenError';
  constructor(host: string, port: number, cause: Error & { code?: string }) {
    const why = cause.code === 'EADDRINUSE' ? 'another process listens there; set PORT to a free one' : cause.message;
    super(`The API cannot listen on ${host}:${port}: ${why}.`, { cause });
  }
}

export interface Stoppable {
  readonly server: Server;
  readonly log: Logger;
  /** Closes what the server stood on, after its last answer. */
  readonly close: () => Promise<void>;
}

/** Stops on SIGTERM, on SIGINT and when the parent process is gone: no new requests, the open ones are answered, then the end. */
export function stopOnRequest({ server, log, close }: Stoppable): void {
  let stopping = false;
  const stop = (reason: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ reason }, 'Stopping');
    setTimeout(() => {
      log.warn(`Stopped by force after ${STOP_MS / 1_000} s`);
      process.exit(1);
    }, STOP_MS).unref();
    server.close(async () => {
      await close();
      log.info('Stopped');
      process.exit(0);
    });
    // Waits (Prefer, drop-in) hold their connection for minutes; their runs go on, so the callers are let go.
    setTimeout(() => server.closeAllConnections(), LET_GO_MS).unref();
    server.closeIdleConnections();
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal));
  process.on('disconnect', () => stop('the parent process is gone'));
}

/** How long open requests have to be answered at a stop, ms. */
const LET_GO_MS = 5_000;
