import type { DefinedJob, RunOptions, SqlClient, SweepJob, SweepTotals } from './define-job.ts';

/** Item errors shown in a summary; all of them are in `ops.item_failures`. */
const SHOWN_ERRORS = 100;

/** The job's own summary, with `duration` (ms since the first claim), the first 100 errors and their total. */
export async function sweepSummary(
  job: DefinedJob<SweepJob>,
  client: SqlClient,
  run: { readonly id: string; readonly startedAt: Date; readonly staleInputs: boolean; readonly options: RunOptions },
  totals: SweepTotals,
): Promise<Record<string, unknown>> {
  const { rows } =
    totals.failed === 0
      ? { rows: [] }
      : await client.query<{ item: string; error: string }>(
          `SELECT item_key AS item, error_class || ': ' || error_message AS error FROM ops.item_failures WHERE run_id = $1 ORDER BY item_key LIMIT $2`,
          [run.id, SHOWN_ERRORS],
        );
  return {
    ...job.summarize(totals),
    duration: Date.now() - run.startedAt.getTime(),
    errors: rows,
    totalErrors: totals.failed,
    ...(run.staleInputs ? { staleInputs: true } : {}),
    ...(run.options.dryRun ? { dryRun: true } : {}),
  };
}
