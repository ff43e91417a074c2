import type { SqlClient } from '../define-job.ts';
import { raiseAlert } from './raise-alert.ts';

/** Failed runs in a row that make an alert (SPEC 7). */
const IN_A_ROW = 3;
/** Alerts that one look may open: the next look finds the rest. */
const AT_ONCE = 500;
/** An API failure not seen again for so long is over, min. */
const QUIET_MINUTES = 60;

// Neither a shard (its parent fails with it) nor a dry run says anything about a job's work.
const COUNTS = (run: string) => `${run}.parent_id IS NULL AND (${run}.options ->> 'dryRun') IS DISTINCT FROM 'true'`;

// Cancelled runs neither fail nor succeed. A streak that a person has called resolved opens again only with another failure.
const FAILING = `
WITH failed AS (
  SELECT DISTINCT r.tenant_id, r.job FROM ops.runs r WHERE r.outcome = 'failed' AND r.ended_at > $1 AND ${COUNTS('r')}
), streaks AS (
  SELECT f.tenant_id, f.job, last.* FROM failed f CROSS JOIN LATERAL (
    SELECT count(*) AS runs, min(ended_at) AS since, max(ended_at) AS latest,
      (array_agg(id ORDER BY ended_at DESC))[1] AS run_id, (array_agg(error_class ORDER BY ended_at DESC))[1] AS error_class
    FROM (
      SELECT r.id, r.ended_at, r.error_class FROM ops.runs r
      WHERE r.tenant_id = f.tenant_id AND r.job = f.job AND r.outcome = 'failed' AND ${COUNTS('r')} ORDER BY r.ended_at DESC LIMIT ${IN_A_ROW}
    ) latest_failures
  ) last
  WHERE last.runs = ${IN_A_ROW}
)
SELECT s.tenant_id AS "tenantId", t.slug, s.job, s.run_id AS "runId", s.error_class AS "errorClass", s.latest
FROM streaks s JOIN ops.tenants t ON t.id = s.tenant_id
WHERE NOT EXISTS (
    SELECT 1 FROM ops.runs good WHERE good.tenant_id = s.tenant_id AND good.job = s.job AND good.ended_at > s.since
      AND good.outcome IN ('completed', 'completed_with_item_errors') AND good.id >= ops.uuid7_floor(s.since - interval '1 day') AND ${COUNTS('good')})
  AND NOT EXISTS (
    SELECT 1 FROM ops.alerts a WHERE a.key = 'failing:' || s.job || ':' || s.tenant_id AND coalesce(a.resolved_at, a.last_seen_at) >= s.latest)
ORDER BY s.latest LIMIT ${AT_ONCE}`;

interface Streak {
  readonly tenantId: string;
  readonly slug: string;
  readonly job: string;
  readonly runId: string;
  readonly errorClass: string | null;
  readonly latest: Date;
}

/** Opens an alert for each job and tenant whose last three runs failed, the latest of them after `since`. */
export async function raiseFailing(client: SqlClient, since: Date): Promise<void> {
  const { rows } = await client.query<Streak>(FAILING, [since]);
  for (const { tenantId, slug, job, runId, errorClass, latest } of rows) {
    await raiseAlert(client, {
      key: `failing:${job}:${tenantId}`,
      severity: 'CRITICAL',
      tenantId,
      job,
      runId,
      message: `${job} for ${slug} failed ${IN_A_ROW} times in a row, after its retries, the last time with ${errorClass ?? 'an error'}.`,
      seenAt: latest,
    });
  }
}

/** A run of the alert's job and tenant that ended well after the alert was last seen. */
const laterRun = (more: string) =>
  `EXISTS (SELECT 1 FROM ops.runs r WHERE r.job = a.job AND r.tenant_id = a.tenant_id AND r.ended_at > a.last_seen_at
     AND r.outcome IN ('completed', 'completed_with_item_errors') AND r.id >= ops.uuid7_floor(a.last_seen_at - interval '1 day')
     AND ${COUNTS('r')}${more})`;

/** By kind: when an alert's condition is gone. Kinds that are not here are resolved by whoever raised them. */
const GONE: Readonly<Record<string, string>> = {
  failing: laterRun(''),
  'crash-loop': laterRun(''),
  coverage: laterRun(' AND r.processed >= r.expected'),
  'stale-inputs': laterRun(' AND NOT r.stale_inputs AND r.tick_date IS NOT NULL'),
  'tick-missed': `EXISTS (SELECT 1 FROM ops.ticks t WHERE t.schedule_id = split_part(a.key, ':', 2)::uuid AND t.state = 'fired' AND t.due_at > a.last_seen_at)`,
  'schedule-failing': `EXISTS (SELECT 1 FROM ops.ticks t WHERE t.schedule_id = split_part(a.key, ':', 2)::uuid AND t.recorded_at > a.last_seen_at)
    OR NOT EXISTS (SELECT 1 FROM ops.schedules s WHERE s.id = split_part(a.key, ':', 2)::uuid AND s.enabled)`,
  'tenant-zone': `NOT EXISTS (SELECT 1 FROM ops.tenants t WHERE t.kind = 'tenant' AND 'tenant-zone:' || t.system || ':' || t.zone = a.key)`,
  'http-500': `a.last_seen_at < clock_timestamp() - interval '${QUIET_MINUTES} minutes'`,
};

const RESOLVE = `
UPDATE ops.alerts a SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = 'platform'
WHERE a.state <> 'resolved' AND CASE split_part(a.key, ':', 1)
  ${Object.entries(GONE)
    .map(([kind, gone]) => `WHEN '${kind}' THEN ${gone}`)
    .join('\n  ')}
  ELSE false END`;

/** Resolves the alerts whose conditions are gone. Resolves to how many. */
export async function resolveGone(client: SqlClient): Promise<number> {
  return (await client.query(RESOLVE)).rowCount ?? 0;
}
