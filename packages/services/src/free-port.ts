import { createServer } from 'node:net';

function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(null);
      else reject(error);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : null));
    });
  });
}

/** Whether nobody listens on this port of 127.0.0.1 right now. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await tryPort(port)) !== null;
}

/** `preferred` if it is free on 127.0.0.1, else a port that the system chooses. */
export async function findFreePort(preferred?: number): Promise<number> {
  const port = preferred === undefined ? null : await tryPort(preferred);
  if (port !== null) return port;
  const free = await tryPort(0);
  if (free === null) throw new Error('expected the system to give a free port on 127.0.0.1, got none');
  return free;
}
