import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type MailSink, startMailSink } from './mail-sink.ts';

let dir: string;
let sink: MailSink;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'nightshift-mail-'));
  sink = await startMailSink({ dir, smtpPort: 0, webPort: 0 });
});
afterEach(async () => {
  await sink.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Speaks SMTP by hand; resolves to the codes of the answers. */
function deliver(url: string, mail: string): Promise<string[]> {
  const lines = [
    'EHLO test',
    'MAIL FROM:<jobs@example.org>',
    'RCPT TO:<ada@example.org>',
    'DATA',
    `${mail}\r\n.`,
    'QUIT',
  ];
  const codes: string[] = [];
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', reject);
    socket.on('data', (data) => {
      for (const [, code = ''] of data.toString().matchAll(/^(\d{3}) /gm)) {
        codes.push(code);
        const line = lines.shift();
        if (line !== undefined) socket.write(`${line}\r\n`);
      }
    });
    socket.on('close', () => resolve(codes));
  });
}

const MAIL = [
  'From: Nightshift <jobs@example.org>', 'To: ada@example.org', 'Subject: =?utf-8?q?Hearing_=3Cscript=3E?=', 'Message-ID: <1@example.org>',
  'MIME-Version: 1.0', 'Content-Type: multipart/alternative; boundary=x', '', '--x', 'Content-Type: text/plain; charset=utf-8', '', 'Court at 10',
  '--x', 'Content-Type: text/html; charset=utf-8', '', '<p>Court at <b>10</b></p><script>alert(1)</script>', '--x--',
].join('\r\n'); // biome-ignore format: a mail

test('takes a mail and shows it, escaped, its HTML in a sandbox', async () => {
  expect(await deliver(sink.smtpUrl, MAIL)).toEqual(['220', '250', '250', '250', '354', '250', '221']);
  const [mail] = (await (await fetch(`${sink.webUrl}/mails.json`)).json()) as { id: string }[];
  expect(mail).toMatchObject({ to: ['ada@example.org'], subject: 'Hearing <script>', messageId: '<1@example.org>' });
  const list = await (await fetch(sink.webUrl)).text();
  expect(list).toContain('Hearing &lt;script&gt;');
  const page = await fetch(`${sink.webUrl}/mails/${mail?.id}`);
  expect(await page.text()).toContain('<pre>Court at 10');
  expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
  const inner = await fetch(`${sink.webUrl}/mails/${mail?.id}/html`);
  expect(await inner.text()).toContain('<b>10</b>');
  expect(inner.headers.get('content-security-policy')).toMatch(/^sandbox; default-src 'none'/);
});

test('keeps its mails for the next start', async () => {
  await deliver(sink.smtpUrl, MAIL);
  await sink.close();
  sink = await startMailSink({ dir, smtpPort: 0, webPort: 0 });
  expect(readdirSync(dir)).toHaveLength(1);
  expect(await (await fetch(`${sink.webUrl}/mails.json`)).json()).toMatchObject([{ subject: 'Hearing <script>' }]);
});

test('answers no other host, no other method and no other path', async () => {
  const status = (headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve, reject) => {
      request(sink.webUrl, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
  expect(await status({ host: 'evil.example' })).toBe(403);
  expect((await fetch(sink.webUrl, { method: 'POST' })).status).toBe(405);
  expect((await fetch(`${sink.webUrl}/mails/../../secrets.json`)).status).toBe(404);
});
