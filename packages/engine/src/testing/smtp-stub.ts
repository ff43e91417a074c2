import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';

/** What a server of mail does wrong. */
export interface SmtpFault {
  /** Answer to RCPT TO, such as `550 5.1.1 no such user`. */
  readonly rcpt?: string;
  /** First line, in place of `220 stub`. */
  readonly greeting?: string;
  /** Answer to AUTH. */
  readonly auth?: string;
  /** After the whole mail has come: nothing, a reset connection, or this line. */
  readonly afterData?: 'silence' | 'reset' | string;
  /** True: each byte of an answer takes this long, ms. */
  readonly dripMs?: number;
}

/** An SMTP server that misbehaves as told. */
export interface SmtpStub {
  readonly url: string;
  /** Message-IDs of the mails that came whole. */
  readonly received: string[];
  readonly connections: () => number;
  fault: SmtpFault;
  close(): Promise<void>;
}

export async function smtpStub(fault: SmtpFault = {}): Promise<SmtpStub> {
  const sockets = new Set<Socket>();
  const received: string[] = [];
  let connections = 0;
  const stub = { fault };
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    converse(socket, () => stub.fault, received);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(stub, {
    url: `smtp://127.0.0.1:${port}`,
    received,
    connections: () => connections,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function converse(socket: Socket, fault: () => SmtpFault, received: string[]): void {
  let input = '';
  let mail: string | null = null;
  const say = (line: string) => {
    const { dripMs } = fault();
    if (dripMs === undefined) socket.write(`${line}\r\n`);
    else drip(socket, `${line}\r\n`, dripMs);
  };
  say(fault().greeting ?? '220 stub ESMTP');
  socket.on('data', (part) => {
    input += part.toString('latin1');
    for (;;) {
      if (mail !== null) {
        const end = input.indexOf('\r\n.\r\n');
        if (end < 0) return;
        mail = input.slice(0, end);
        input = input.slice(end + 5);
        received.push(/^Message-ID: (.*)$/im.exec(mail)?.[1] ?? '');
        mail = null;
        const { afterData } = fault();
        if (afterData === 'reset') socket.resetAndDestroy();
        else if (afterData !== 'silence') say(afterData ?? '250 2.0.0 queued as stub1');
        continue;
      }
      const end = input.indexOf('\r\n');
      if (end < 0) return;
      const line = input.slice(0, end).toUpperCase();
      input = input.slice(end + 2);
      if (line.startsWith('EHLO')) say('250-stub\r\n250 AUTH PLAIN');
      else if (line.startsWith('AUTH')) say(fault().auth ?? '235 2.7.0 welcome');
      else if (line.startsWith('RCPT')) say(fault().rcpt ?? '250 2.1.5 fine');
      else if (line.startsWith('DATA')) {
        mail = '';
        say('354 go on');
      } else if (line.startsWith('QUIT')) socket.end('221 bye\r\n');
      else say('250 fine');
    }
  });
}

function drip(socket: Socket, text: string, everyMs: number): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || sent >= text.length) clearInterval(timer);
    else socket.write(text.charAt(sent++));
  }, everyMs);
}
