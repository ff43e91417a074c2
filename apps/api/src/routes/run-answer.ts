import { type Accepted, findRun, firstFailures, type RunDetail, type RunView } from '@nightshift/engine/accept';
import type { Answer } from '../http/endpoint.ts';
import { hasRole, MAY_START, type Principal } from '../http/principal.ts';
import type { RouteDeps } from './deps.ts';

/** Item errors shown with a run; the rest is at /failures. */
export const SHOWN_ERRORS = 100;

export function runUrl(id: string): string {
  return `/v1/runs/${id}`;
}

export function withUrl<View extends RunView>(run: View): View & { readonly url: string } {
  return { ...run, url: runUrl(run.id) };
}

/** A run with its result and the first of its item errors. Who may start runs may read what is personal in their results. */
export async function runDetail(deps: RouteDeps, id: string, principal: Principal): Promise<object> {
  const { pools, crypto } = deps.producer;
  const opens = hasRole(principal, MAY_START);
  const run: RunDetail = await findRun(pools, id, principal.tenantId, opens ? crypto : undefined);
  const failures = run.failedItems === 0 ? [] : await firstFailures(pools, [id], SHOWN_ERRORS);
  return {
    ...withUrl(run),
    input: run.input ?? null,
    result: run.result ?? null,
    errors: failures.map(({ item, errorClass, errorMessage }) => ({ item, errorClass, errorMessage })),
    totalErrors: run.failedItems,
  };
}

/** 202 with where to look, or 200 with the ended run when the caller waits and it ends in time. */
export async function acceptedAnswer(
  deps: RouteDeps,
  accepted: Accepted,
  wait: { readonly seconds: number | null; readonly signal: AbortSignal; readonly principal: Principal },
): Promise<Answer> {
  const url = runUrl(accepted.id);
  const headers = {
    Location: url,
    ...(wait.seconds === null ? {} : { 'Preference-Applied': `wait=${wait.seconds}` }),
  };
  const ended =
    wait.seconds !== null && wait.seconds > 0
      ? await deps.producer.waitFor([accepted.id], { timeoutMs: wait.seconds * 1_000, signal: wait.signal })
      : new Map();
  if (ended.has(accepted.id)) {
    return { status: 200, headers, body: await runDetail(deps, accepted.id, wait.principal) };
  }
  const { id, status, joined } = accepted;
  return { status: 202, headers, body: { id, status, url, joined } };
}
