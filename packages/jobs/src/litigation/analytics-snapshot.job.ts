import { defineJob, localDate, type SqlClient } from '@nightshift/engine';
import { z } from 'zod';
import { AVERAGE_DAYS, type DayMetrics, findAnomalies } from './anomalies.ts';
import { DEFAULT_SLA_HOURS } from './task-findings.ts';

const METRIC_TYPE = 'daily_snapshot';
/** SPEC 3: a snapshot later than this would be of another day. */
const LATEST_MS = 6 * 3_600_000;

/** `$1` firm, `$2` now, `$3` and `$4` the default thresholds. Null on 0/0. */
const MEASURE = `
SELECT (SELECT count(*)::int FROM litigation.cases WHERE tenant_id = $1 AND status <> 'Closed') AS case_count,
  task.completed_share AS task_completion_rate, task.on_time_share AS sla_compliance_rate, hearing.attended_share AS hearing_attendance_rate,
  (SELECT count(*)::int FROM litigation.documents WHERE tenant_id = $1) AS document_count, task.overdue AS overdue_tasks
FROM (
  SELECT round(count(*) FILTER (WHERE t.status = 'Completed') / nullif(count(*), 0)::numeric, 4)::float8 AS completed_share,
    round(count(*) FILTER (WHERE coalesce(t.closed_at, $2::timestamptz) - t.created_at <= make_interval(hours => sla.hours)) / nullif(count(*), 0)::numeric, 4)::float8 AS on_time_share,
    (count(*) FILTER (WHERE t.status NOT IN ('Completed', 'Cancelled') AND t.due_date < $2))::int AS overdue
  FROM litigation.tasks t JOIN (
    SELECT usual.priority, coalesce(own.hours, usual.hours) AS hours FROM unnest($3::text[], $4::integer[]) AS usual(priority, hours)
    LEFT JOIN litigation.sla_thresholds own ON own.tenant_id = $1 AND own.priority = usual.priority
  ) AS sla ON sla.priority = t.priority WHERE t.tenant_id = $1
) AS task, (
  SELECT round(count(*) FILTER (WHERE attended) / nullif(count(*), 0)::numeric, 4)::float8 AS attended_share
  FROM litigation.hearings WHERE tenant_id = $1 AND hearing_date < $2 AND status NOT IN ('Adjourned', 'Cancelled')
) AS hearing`;

const EARLIER = `
SELECT metric_value AS metrics FROM litigation.analytics_snapshots
WHERE tenant_id = $1 AND metric_type = $2 AND snapshot_date >= $3::date - $4::int AND snapshot_date < $3::date`;

const STORE = `
INSERT INTO litigation.analytics_snapshots AS s (tenant_id, metric_type, snapshot_date, metric_value) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, metric_type, snapshot_date) DO UPDATE SET metric_value = excluded.metric_value
WHERE s.metric_value IS DISTINCT FROM excluded.metric_value RETURNING (xmax = 0) AS created`;

export const analyticsSnapshot = defineJob({
  kind: 'task',
  name: 'litigation.analytics-snapshot',
  title: 'Analytics snapshot',
  description: "Stores the firm's figures of the day and names those more than 30 % off their 7-day average.",
  scope: 'tenant',
  priority: 'MEDIUM',
  schedule: { cron: '59 23 * * *', zone: 'tenant', misfire: { policy: 'latest', within: LATEST_MS }, overlap: 'skip' },
  typicalMs: 30_000,
  maxMs: 60_000,
  input: z.strictObject({}),
  inputVersion: 1,
  async run(ctx) {
    const startedAt = performance.now();
    // A run that a tick made belongs to the tick's day, though it may start after midnight.
    const day = ctx.tickDate ?? localDate(ctx.now, ctx.tenant.zone);
    const { metrics, anomalies, created } = await ctx.transaction(async ({ client }) => {
      const measured = await measure(client, ctx.tenant.id, ctx.now);
      const { rows } = await client.query<{ metrics: DayMetrics }>(EARLIER, [
        ctx.tenant.id,
        METRIC_TYPE,
        day,
        AVERAGE_DAYS,
      ]);
      const found = findAnomalies(
        measured,
        rows.map((row) => row.metrics),
      );
      const value = {
        ...measured,
        anomaly_detected: found.length > 0,
        ...(found.length > 0 ? { anomalies: found } : {}),
      };
      const stored = await client.query<{ created: boolean }>(STORE, [ctx.tenant.id, METRIC_TYPE, day, value]);
      return { metrics: measured, anomalies: found, created: stored.rows };
    });
    return {
      snapshotDate: day,
      ...metrics,
      anomaly_detected: anomalies.length > 0,
      anomalies,
      snapshotsCreated: created.filter((row) => row.created).length,
      snapshotsUpdated: created.filter((row) => !row.created).length,
      duration: Math.round(performance.now() - startedAt),
      errors: [],
    };
  },
});

async function measure(client: SqlClient, tenantId: string, now: Date): Promise<DayMetrics> {
  const { rows } = await client.query<DayMetrics & object>(MEASURE, [
    tenantId,
    now,
    Object.keys(DEFAULT_SLA_HOURS),
    Object.values(DEFAULT_SLA_HOURS),
  ]);
  const [metrics] = rows;
  if (metrics === undefined) throw new Error('an aggregate returned no row');
  return metrics;
}
