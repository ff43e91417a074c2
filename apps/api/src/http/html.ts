import { Html, html } from '@nightshift/engine';

export { Html, html };

export interface PageOptions {
  readonly title: string;
  /** Shows the board's navigation and the sign-out button. */
  readonly signedInAs?: string;
  /** A form in the middle. */
  readonly narrow?: boolean;
}

/** A whole page. Styles come from /assets/pages.css: the content security policy lets no inline style or script in. */
export function page(options: PageOptions, body: Html): string {
  const account =
    options.signedInAs === undefined
      ? ''
      : html`<nav><a href="/admin/queues">Queues</a><a href="/docs">API</a>
          <form method="post" action="/admin/sign-out"><span>${options.signedInAs}</span><button>Sign out</button></form></nav>`;
  return `<!DOCTYPE html>\n${html`<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>${options.title} · Nightshift</title><link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/pages.css"></head>
<body><header><a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="22" height="22">Nightshift</a>${account}</header>
<main${options.narrow === true ? html` class="narrow"` : ''}>${body}</main></body></html>`}`;
}
