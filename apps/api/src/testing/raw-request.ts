import { connect } from 'node:net';

/** Sends bytes as they are and resolves with everything that comes back until the server closes, or falls silent after an answer. */
export function rawRequest(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      received += chunk;
      // The servers' answers here are short and have a length: the first blank line and its body are all of it.
      const [head, body] = received.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head ?? '')?.[1] ?? 0);
      if (body !== undefined && body.length >= length) socket.end();
    });
    socket.on('close', () => resolve(received));
    socket.on('error', (error) => (received === '' ? reject(error) : resolve(received)));
    socket.write(bytes, 'latin1');
  });
}
