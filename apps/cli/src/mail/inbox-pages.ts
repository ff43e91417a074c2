import { type Html, html } from '@nightshift/engine';
import type { Mail } from './mailbox.ts';

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}
a{color:#1d4ed8}table{width:100%;border-collapse:collapse}td,th{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #dde2ea;vertical-align:top}
th{font-weight:600}time{white-space:nowrap;color:#5b6577}iframe{width:100%;height:32rem;border:1px solid #dde2ea}pre{white-space:pre-wrap;background:#f5f7fa;padding:1rem}
@media(prefers-color-scheme:dark){body{color:#e6e9ef;background:#12161d}a{color:#8ab4ff}td,th,iframe{border-color:#2b3340}pre{background:#1b212b}iframe{background:#fff}}`;

function page(title: string, body: Html): string {
  return `<!DOCTYPE html>${html`<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>`}${STYLE}${html`</style></head><body>${body}</body></html>`}`;
}

export function listPage(mails: readonly Mail[]): string {
  const rows = mails.map(
    (mail) =>
      html`<tr><td><time>${shortTime(mail)}</time></td><td>${mail.to.join(', ')}</td><td><a href="/mails/${mail.id}">${mail.subject || '(no subject)'}</a></td></tr>`,
  );
  const body =
    rows.length === 0
      ? html`<p>No mail yet. What jobs send arrives here.</p>`
      : html`<table><tr><th>Received</th><th>To</th><th>Subject</th></tr>${rows}</table>`;
  return page('Mail · Nightshift', html`<h1>Mail</h1><p>${mails.length} kept. Nothing leaves this machine.</p>${body}`);
}

export function mailPage(mail: Mail): string {
  const frame =
    mail.html === null
      ? ''
      : html`<h2>HTML</h2><iframe sandbox src="/mails/${mail.id}/html" title="HTML of the mail"></iframe>`;
  return page(
    `${mail.subject} · Mail`,
    html`<p><a href="/">All mail</a></p><h1>${mail.subject || '(no subject)'}</h1>
<p>From ${mail.from}<br>To ${mail.to.join(', ')}<br><time>${shortTime(mail)}</time><br>${mail.messageId}</p>
<h2>Text</h2><pre>${mail.text}</pre>${frame}`,
  );
}

function shortTime(mail: Mail): string {
  return mail.receivedAt.replace('T', ' ').replace(/\.\d+Z/, 'Z');
}
