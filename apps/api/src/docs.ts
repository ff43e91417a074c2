import express, { Router } from 'express';
import { getAbsoluteFSPath } from 'swagger-ui-dist';
import { methodNotAllowed } from './http/refuse.ts';

// Own file instead of an inline script: the content security policy admits scripts of this origin alone.
const START_JS = `window.addEventListener('load', () => {
  window.ui = SwaggerUIBundle({
    url: '/openapi.json', dom_id: '#reference', deepLinking: true, docExpansion: 'list', defaultModelsExpandDepth: 0,
    displayRequestDuration: true, filter: true, tryItOutEnabled: true, persistAuthorization: false, validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout',
  });
});
`;

const DOCS_CSS = `
body { margin: 0; background: #f6f7f9; }
.bar { display: flex; align-items: center; gap: 22px; padding: 12px 28px; background: #1f2a5c; font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
.bar a { color: #cdd5ff; text-decoration: none; } .bar a.brand { display: flex; gap: 10px; align-items: center; color: #fff; font-weight: 650; margin-right: auto; }
.swagger-ui { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
.swagger-ui .wrapper { max-width: 1160px; padding: 0 28px; }
.swagger-ui .info { margin: 30px 0 20px; } .swagger-ui .info .title { font-size: 28px; letter-spacing: -.02em; }
.swagger-ui :is(.title, h3, h4, h5, p, li, a, label, th, td, table, input, select, button, .btn, .opblock-tag, .opblock-summary-method, .opblock-summary-description, .parameter__name, .tab li, .response-col_status, .errors-wrapper, small, strong) { font-family: inherit; }
.swagger-ui :is(code, pre, .microlight, .opblock-summary-path, .parameter__type, textarea) { font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
.swagger-ui .renderedMarkdown p, .swagger-ui .opblock-description-wrapper p, .swagger-ui .parameters-col_description { font-size: 14px; }
.swagger-ui .renderedMarkdown code { color: #2b3a8f; background: #e8ebf7; font-weight: 500; }
.swagger-ui .version-stamp pre, .swagger-ui .version-pragma pre { font-family: inherit; }
.swagger-ui .info p, .swagger-ui .info li { font-size: 14.5px; line-height: 1.6; }
.swagger-ui .scheme-container { background: none; box-shadow: none; padding: 0; margin: 0 0 8px; }
.swagger-ui .opblock { border-radius: 8px; box-shadow: none; margin-bottom: 8px; }
.swagger-ui .opblock .opblock-summary-path { font-size: 14px; }
.swagger-ui .opblock-tag { font-size: 19px; border-bottom-color: #dfe3ea; }
.swagger-ui .filter .operation-filter-input { border-width: 1px; border-color: #dfe3ea; margin: 8px 0; border-radius: 7px; }
`;

const PAGE = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>API · Nightshift</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/docs/assets/swagger-ui.css"><link rel="stylesheet" href="/docs/docs.css"></head>
<body><div class="bar"><a class="brand" href="/"><img src="/assets/icon.svg" alt="" width="22" height="22">Nightshift</a><a href="/openapi.json">openapi.json</a><a href="/admin/queues">Queues</a></div>
<div id="reference"></div><script src="/docs/assets/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
`;

/** The readable API reference, from files of this installation alone. */
export function docsRouter(): Router {
  const router = Router({ caseSensitive: true });
  router.get('/docs', (_req, res) => void res.type('html').send(PAGE));
  router.get('/docs/start.js', (_req, res) => void res.type('js').send(START_JS));
  router.get('/docs/docs.css', (_req, res) => void res.type('css').send(DOCS_CSS));
  router.use(
    '/docs/assets',
    express.static(getAbsoluteFSPath(), {
      index: false,
      dotfiles: 'deny',
      immutable: true,
      maxAge: '1h',
      fallthrough: true,
    }),
  );
  router.all('/docs', () => {
    throw methodNotAllowed(['GET']);
  });
  return router;
}
