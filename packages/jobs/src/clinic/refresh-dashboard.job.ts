import { defineJob, NightshiftError } from '@nightshift/engine';
import { z } from 'zod';

const VIEWS = [
  'mv_enrollments_by_month',
  'mv_status_counts',
  'mv_population_counts',
  'mv_task_summary',
  'mv_facility_metrics',
] as const;

/** A view of a million clients takes longer than a serving transaction may; readers are not blocked meanwhile. */
const VIEW_AT_MOST_MS = 300_000;

/** Some views kept their old content; those that could be refreshed are new. */
class ViewsNotRefreshedError extends NightshiftError {
  constructor(views: readonly string[], cause: unknown) {
    super('views-not-refreshed', `could not refresh ${views.join(', ')}: they keep their old content until a retry`, {
      cause,
    });
  }
}

export const refreshDashboard = defineJob({
  kind: 'task',
  name: 'clinic.refresh-dashboard',
  title: 'Refresh dashboard',
  description: "Refreshes the five materialized views of the clinics' dashboard without blocking their readers.",
  scope: 'system',
  priority: 'LOW',
  schedule: { cron: '0 */6 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 5_000,
  maxMs: 60_000,
  input: z.strictObject({}),
  inputVersion: 1,
  async run(ctx) {
    const startedAt = performance.now();
    const views: { view: string; rows: number; durationMs: number }[] = [];
    const failed: { view: string; error: unknown }[] = [];
    for (const view of VIEWS) {
      ctx.signal.throwIfAborted();
      const viewStartedAt = performance.now();
      try {
        const rows = await ctx.transaction(
          async ({ client }) => (await client.query<{ rows: number }>(REFRESH, [view, ctx.now])).rows[0]?.rows ?? 0,
          { atMostMs: VIEW_AT_MOST_MS },
        );
        const durationMs = Math.round(performance.now() - viewStartedAt);
        views.push({ view, rows, durationMs });
        ctx.log.info({ view, rows, durationMs }, 'view refreshed');
      } catch (error) {
        ctx.signal.throwIfAborted();
        failed.push({ view, error });
        ctx.log.error({ view, err: error }, 'view not refreshed');
      }
    }
    const [first] = failed;
    if (first !== undefined)
      throw new ViewsNotRefreshedError(
        failed.map(({ view }) => view),
        first.error,
      );
    return {
      viewsRefreshed: views.length,
      views,
      duration: Math.round(performance.now() - startedAt),
      errors: [],
      totalErrors: 0,
    };
  },
});

/** Runs as ns_rollup, which owns the views; ns_app may call it and nothing else of that role. */
const REFRESH = 'SELECT clinic.refresh_dashboard_view($1, $2) AS rows';
