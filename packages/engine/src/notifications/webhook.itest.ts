import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { Channel, Outgoing } from './channel.ts';
import { createWebhookChannel } from './webhook.ts';
import { createWhatsAppChannel } from './whatsapp.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Call {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function serve(answer: RequestListener): Promise<{ url: string; calls: Call[] }> {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      calls.push({ path: request.url ?? '', headers: request.headers, body: Buffer.concat(parts).toString() });
      answer(request, response);
    });
    response.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, calls };
}

const message = (to: string, more: Partial<Outgoing['content']> = {}): Outgoing => ({
  id: '01930000-0000-7000-8000-000000000001',
  to,
  createdAt: new Date(),
  content: { subject: 's', text: 'Court at 10', html: null, whatsapp: null, ...more },
});

const answers =
  (status: number, headers: Record<string, string> = {}, body = ''): RequestListener =>
  (_request, response) => {
    response.writeHead(status, headers).end(body);
  };
const webhook = createWebhookChannel({ allowLoopback: true, limitMs: 2_000 });

describe('a webhook', () => {
  test('gets {text} and a key that stays the same', async () => {
    const { url, calls } = await serve(answers(200));
    expect(await webhook.send(message(url))).toMatchObject({ kind: 'sent', answer: 'HTTP 200' });
    await webhook.send(message(url));
    expect(calls.map((call) => JSON.parse(call.body))).toEqual([{ text: 'Court at 10' }, { text: 'Court at 10' }]);
    expect(calls.map((call) => call.headers['idempotency-key'])).toEqual([message('').id, message('').id]);
  });

  test.each([
    [500, {}, { kind: 'again', afterMs: null }],
    [504, {}, { kind: 'again' }],
    [429, { 'Retry-After': '120' }, { kind: 'again', afterMs: 120_000 }],
    [429, { 'Retry-After': '999999' }, { kind: 'again', afterMs: 3_600_000 }],
    [404, {}, { kind: 'failed', errorClass: 'HttpRefusedError' }],
    [302, { Location: 'http://127.0.0.1:1/elsewhere' }, { kind: 'failed', errorClass: 'RedirectError' }],
  ])('answered with %d %o', async (status, headers, expected) => {
    const { url, calls } = await serve(answers(status, headers));
    expect(await webhook.send(message(url))).toMatchObject(expected);
    expect(calls).toHaveLength(1);
  });

  test('that pours a body without end is cut off, its status counts', async () => {
    const { url } = await serve((_request, response) => {
      response.writeHead(200);
      const block = Buffer.alloc(65_536);
      const pour = () => {
        while (!response.destroyed && response.write(block)) {}
      };
      response.on('drain', pour);
      pour();
    });
    expect(await webhook.send(message(url))).toMatchObject({ kind: 'sent' });
  });

  test('that sends a byte now and then keeps the slot no longer than the limit', async () => {
    const { url } = await serve((_request, response) => {
      const timer = setInterval(() => response.socket?.write('H'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const slow = createWebhookChannel({ allowLoopback: true, limitMs: 150 });
    expect(await slow.send(message(url))).toMatchObject({ kind: 'again' });
  });

  test('whose host resolves to an address of this machine is not called where that is forbidden', async () => {
    const { url, calls } = await serve(answers(200));
    const strict = createWebhookChannel({ allowLoopback: false, limitMs: 2_000 });
    const outcome = await strict.send(message(url.replace('127.0.0.1', 'localhost')));
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'AddressNotPublicError' });
    expect(calls).toEqual([]);
  });
});

describe('WhatsApp', () => {
  async function whatsapp(answer: RequestListener, limitMs = 2_000): Promise<{ channel: Channel; calls: Call[] }> {
    const { url, calls } = await serve(answer);
    return {
      channel: createWhatsAppChannel({ url: url.replace('/hook', '/v23.0/'), token: 'secret', phoneId: '42', limitMs }),
      calls,
    };
  }
  const accepted = answers(200, {}, JSON.stringify({ messages: [{ id: 'wamid.7' }] }));

  test('gets an approved template, or the text', async () => {
    const { channel, calls } = await whatsapp(accepted);
    const outcome = await channel.send(
      message('+919876543210', { whatsapp: { template: 'hearing', language: 'en', parameters: ['7', 'Delhi'] } }),
    );
    expect(outcome).toEqual({ kind: 'sent', providerId: 'wamid.7', answer: 'HTTP 200' });
    await channel.send(message('+919876543210'));
    expect(calls[0]).toMatchObject({ path: '/v23.0/42/messages', headers: { authorization: 'Bearer secret' } });
    expect(calls.map((call) => JSON.parse(call.body))).toMatchObject([
      {
        messaging_product: 'whatsapp',
        to: '919876543210',
        type: 'template',
        template: {
          name: 'hearing',
          language: { code: 'en' },
          components: [
            {
              type: 'body',
              parameters: [
                { type: 'text', text: '7' },
                { type: 'text', text: 'Delhi' },
              ],
            },
          ],
        },
      },
      { type: 'text', text: { body: 'Court at 10' } },
    ]);
  });

  test.each([
    [
      400,
      { error: { code: 131_026, message: 'to +919876543210' } },
      { kind: 'failed', answer: 'HTTP 400, code 131026' },
    ],
    [401, { error: { code: 190 } }, { kind: 'again', errorClass: 'WhatsAppTokenError', channelRefused: true }],
    [429, {}, { kind: 'again' }],
    [500, {}, { kind: 'again' }],
    [504, {}, { kind: 'unknown' }],
  ])('answered with %d', async (status, body, expected) => {
    const { channel } = await whatsapp(answers(status, {}, JSON.stringify(body)));
    expect(await channel.send(message('+919876543210'))).toMatchObject(expected);
  });

  test('that takes the message and says nothing: nobody knows', async () => {
    const { channel, calls } = await whatsapp(() => undefined, 150);
    expect(await channel.send(message('+919876543210'))).toMatchObject({ kind: 'unknown' });
    expect(calls).toHaveLength(1);
  });

  test('that is not there: another time', async () => {
    const channel = createWhatsAppChannel({ url: 'http://127.0.0.1:1', token: 't', phoneId: '1', limitMs: 2_000 });
    expect(await channel.send(message('+919876543210'))).toMatchObject({
      kind: 'again',
      errorClass: 'HttpConnectionError',
    });
  });
});
