import {
  type AttemptView,
  type AuditView,
  type FailureView,
  findRun,
  findRuns,
  listAttempts,
  listFailures,
  listRunAudit,
  type Pools,
  type RunDetail,
} from '@nightshift/engine/accept';
import { type RequestHandler, Router } from 'express';
import { z } from 'zod';
import { type Html, html, page } from '../http/html.ts';
import { ProblemError } from '../http/problem.ts';
import { type BoardQueues, RedisAwayError } from './queues.ts';
import { signedInAs } from './sign-in.ts';

/** Rows of each table; the rest is in the API. */
const SHOWN = 100;

/** Readable pages of runs, for whoever comes from the board. */
export function runPageRouter(pools: Pools, queues: BoardQueues): Router {
  const router = Router({ caseSensitive: true });
  router.get('/admin/runs/:id', runPage(pools));
  router.get('/admin/bundles/:queue/:job', bundlePage(pools, queues));
  return router;
}

function runPage(pools: Pools): RequestHandler {
  return async (req, res) => {
    const id = z.guid().safeParse(req.params.id);
    if (!id.success) throw new ProblemError(400, 'invalid-parameter', 'That is no id of a run.');
    const run = await findRun(pools, id.data, null);
    const [attempts, failures, audit] = await Promise.all([
      listAttempts(pools, run.id, null),
      listFailures(pools, run.id, null, { limit: SHOWN }),
      listRunAudit(pools, run.id, null, { limit: SHOWN }),
    ]);
    const body = html`<h1>${run.job}</h1><p class="lead"><code>${run.id}</code></p>
      ${facts(run)}${summary(run)}${attemptTable(attempts)}${failureTable(run, failures)}${auditTable(audit)}`;
    res.type('html').send(page({ title: run.job, signedInAs: signedInAs(res) }, body));
  };
}

function bundlePage(pools: Pools, queues: BoardQueues): RequestHandler {
  return async (req, res) => {
    const { queue, job } = req.params as { queue: string; job: string };
    const ids = await queues.runsOf(queue, job).catch((error: unknown) => {
      if (error instanceof RedisAwayError)
        throw new ProblemError(503, 'redis-away', error.message, { headers: { 'Retry-After': '5' } });
      throw error;
    });
    if (ids === null)
      throw new ProblemError(404, 'unknown-bundle', 'Redis no longer has this job; its runs are at /v1/runs.');
    const runs = await findRuns(pools, ids, null);
    const rows = runs.map(
      (
        run,
      ) => html`<tr><td class="id"><a href="/admin/runs/${run.id}">${run.id}</a></td><td>${run.job}</td><td>${run.tenant}</td>
        <td>${status(run.status)}</td><td class="time">${duration(run.durationMs)}</td><td>${run.errorMessage}</td></tr>`,
    );
    const body = html`<h1>Bundle of ${runs.length} runs</h1><p class="lead">Queue ${queue}, given to a worker in one call.</p>
      ${table(['Run', 'Job', 'Tenant', 'Status', 'Took', 'Error'], rows)}`;
    res.type('html').send(page({ title: 'Bundle', signedInAs: signedInAs(res) }, body));
  };
}

function facts(run: RunDetail): Html {
  const entries: [string, unknown][] = [
    ['Status', status(run.status)],
    ['Tenant', run.tenant],
    ['Priority', run.priority],
    ['Attempts', run.attempts],
    ['Accepted', instant(run.acceptedAt)],
    ['Due', run.dueAt.getTime() === run.acceptedAt.getTime() ? null : instant(run.dueAt)],
    ['Started', instant(run.startedAt)],
    ['Ended', instant(run.endedAt)],
    ['Took', duration(run.durationMs)],
    ['Items', `${run.processed}${run.expected === null ? '' : ` of ${run.expected}`}`],
    ['Changed', run.changed],
    ['Failed items', run.failedItems],
    ['Worker', run.worker],
    ['By', run.actor],
    ['Retry of', link(run.retryOf)],
    ['Replay of', link(run.replayOf)],
    ['Parent', link(run.parentId)],
    ['Waits for', run.afterJob],
    ['Runs in its bundle', run.bundleSize === 1 ? null : run.bundleSize],
    ['Crashes', run.crashes || null],
    ['Stale inputs', run.staleInputs ? 'yes' : null],
  ];
  const shown = entries.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const error =
    run.errorMessage === null
      ? ''
      : html`<p class="notice"><strong>${run.errorClass}</strong><br>${run.errorMessage}</p>`;
  return html`<div class="card"><dl>${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>${error}</div>`;
}

function summary(run: RunDetail): Html | '' {
  if (run.result === null || run.result === undefined) return '';
  return html`<h2>Result</h2><pre>${JSON.stringify(run.result, null, 2).slice(0, 20_000)}</pre>`;
}

function attemptTable(attempts: readonly AttemptView[]): Html | '' {
  if (attempts.length === 0) return '';
  const rows = attempts.map(
    (
      one,
    ) => html`<tr><td>${one.attempt}</td><td>${status(one.outcome)}</td><td class="time">${instant(one.startedAt)}</td>
      <td class="time">${instant(one.endedAt)}</td><td>${one.worker}</td><td>${one.errorMessage ?? ''}${one.retryAt === null ? '' : html`<div class="dim">next try ${instant(one.retryAt)}</div>`}</td></tr>`,
  );
  return html`<h2>Attempts</h2>${table(['No.', 'Outcome', 'Started', 'Ended', 'Worker', 'Error'], rows)}`;
}

function failureTable(
  run: RunDetail,
  failures: { readonly items: readonly FailureView[]; readonly nextCursor: string | null },
): Html | '' {
  if (failures.items.length === 0) return '';
  const rows = failures.items.map(
    (one) =>
      html`<tr><td class="id">${one.item}</td><td>${one.errorClass}</td><td class="wide">${one.errorMessage}</td><td>${link(one.replayedBy)}</td></tr>`,
  );
  const more =
    failures.nextCursor === null
      ? ''
      : html`<p class="dim">The first ${SHOWN} of ${run.failedItems}; all of them: GET /v1/runs/${run.id}/failures</p>`;
  return html`<h2>Failed items</h2>${table(['Item', 'Error', 'Message', 'Replayed by'], rows)}${more}`;
}

function auditTable(audit: { readonly items: readonly AuditView[] }): Html | '' {
  if (audit.items.length === 0) return '';
  const rows = audit.items.map(
    (one) => html`<tr><td class="time">${instant(one.at)}</td><td>${one.action}</td><td>${one.actor}</td>
      <td class="wide">${one.details === null ? '' : html`<code>${JSON.stringify(one.details).slice(0, 500)}</code>`}</td></tr>`,
  );
  return html`<h2>Audit</h2>${table(['At', 'Action', 'By', 'Details'], rows)}`;
}

function table(heads: readonly string[], rows: readonly Html[]): Html {
  return html`<div class="scroll"><table><thead><tr>${heads.map((head) => html`<th>${head}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function status(value: string): Html {
  return html`<span class="status ${value}">${value.replaceAll('_', ' ')}</span>`;
}

function link(id: string | null): Html | null {
  return id === null ? null : html`<a href="/admin/runs/${id}">${id.slice(0, 13)}…</a>`;
}

function instant(at: Date | null): string {
  return at === null ? '' : `${at.toISOString().slice(0, 23).replace('T', ' ')} UTC`;
}

function duration(ms: number | null): string {
  if (ms === null) return '';
  return ms < 1_000 ? `${ms} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
