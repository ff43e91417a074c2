import { isEnded, type RunStatus } from '../run-status.ts';
import { decodeCursor, TEXT_PART, toPage } from './cursor.ts';
import { Conditions, type Page, type PageRequest, type Pools, read } from './read.ts';
import { findRun, type RunDetail } from './runs.ts';

export interface AttemptView {
  readonly attempt: number;
  /** `running`, how it ended without ending its run, or the run's own end. */
  readonly outcome: 'running' | 'failed' | 'timeout' | 'crashed' | 'interrupted' | 'lost' | RunStatus;
  readonly errorClass: string | null;
  readonly errorMessage: string | null;
  readonly worker: string | null;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  /** When the attempt after it was due. */
  readonly retryAt: Date | null;
}

const ATTEMPTS = `SELECT attempt, outcome, error_class AS "errorClass", error_message AS "errorMessage", worker,
    started_at AS "startedAt", ended_at AS "endedAt", retry_at AS "retryAt"
  FROM ops.attempts WHERE run_id = $1 ORDER BY seq`;

const CURRENT = `SELECT attempt_started_at AS "startedAt" FROM ops.open_runs WHERE id = $1 AND state = 'running'`;

/** In order; the attempt that runs or that ended the run comes last. Errors: `UnknownRunError`, `StoreUnavailableError`. */
export async function listAttempts(pools: Pools, id: string, tenantId: string | null): Promise<AttemptView[]> {
  const run = await findRun(pools, id, tenantId);
  const earlier = await read<AttemptView>(pools, tenantId, ATTEMPTS, [id]);
  if (isEnded(run.status)) return [...earlier, lastAttempt(run, earlier)];
  const [current] = await read<{ startedAt: Date | null }>(pools, tenantId, CURRENT, [id]);
  if (current === undefined) return earlier;
  const open = { errorClass: null, errorMessage: null, endedAt: null, retryAt: null };
  return [...earlier, { ...open, attempt: run.attempts, outcome: 'running', worker: run.worker, ...current }];
}

/** The last attempt of an ended run has no row of its own: the run's row tells it. */
function lastAttempt(run: RunDetail, earlier: readonly AttemptView[]): AttemptView {
  const before = earlier.at(-1)?.endedAt ?? null;
  return {
    attempt: run.attempts,
    outcome: run.status === 'failed' && run.errorClass === 'DeadlineExceededError' ? 'timeout' : run.status,
    errorClass: run.errorClass,
    errorMessage: run.errorMessage,
    worker: run.worker,
    // The start of a sweep or task is its first attempt's, that of a request its last one's.
    startedAt: before === null || (run.startedAt !== null && run.startedAt >= before) ? run.startedAt : null,
    endedAt: run.endedAt,
    retryAt: null,
  };
}

export interface FailureView {
  /** Key of the item, such as a member's id. */
  readonly item: string;
  readonly errorClass: string;
  readonly errorMessage: string;
  readonly attempt: number;
  readonly at: Date;
  /** Run that took the item up again. */
  readonly replayedBy: string | null;
}

const FAILURE = `item_key AS item, error_class AS "errorClass", error_message AS "errorMessage", attempt, at,
  replayed_by AS "replayedBy"`;

/** Items that failed, by key. Errors: `UnknownRunError`, `InvalidInputError` (cursor), `StoreUnavailableError`. */
export async function listFailures(
  pools: Pools,
  id: string,
  tenantId: string | null,
  page: PageRequest,
): Promise<Page<FailureView>> {
  await findRun(pools, id, tenantId);
  const conditions = new Conditions().add('run_id = ?', id);
  if (page.cursor !== undefined) conditions.add('item_key > ?', ...decodeCursor(page.cursor, [TEXT_PART]));
  const rows = await read<FailureView>(
    pools,
    tenantId,
    `SELECT ${FAILURE} FROM ops.item_failures ${conditions.where} ORDER BY item_key LIMIT ${Math.trunc(page.limit) + 1}`,
    conditions.values,
  );
  return toPage(
    rows,
    page.limit,
    (row) => row,
    (row) => [row.item],
  );
}

/** The first failures of several runs together, for an answer that sums over them. */
export async function firstFailures(
  pools: Pools,
  runIds: readonly string[],
  limit: number,
): Promise<(FailureView & { readonly runId: string })[]> {
  return await read(
    pools,
    null,
    `SELECT run_id AS "runId", ${FAILURE} FROM ops.item_failures WHERE run_id = ANY ($1::uuid[])
     ORDER BY run_id, item_key LIMIT ${Math.trunc(limit)}`,
    [runIds],
  );
}
