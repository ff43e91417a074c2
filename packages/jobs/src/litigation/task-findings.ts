import { firmOf } from './firm-of.ts';
import type { Phase } from './phases.ts';

/** SPEC 3.3: only what is more than this past due. */
const GRACE = `interval '15 minutes'`;

/** Hours from creation to completion (seed: configurable per priority); the last is ours. */
export const DEFAULT_SLA_HOURS = { critical: 4, high: 24, medium: 72, low: 168 } as const;
const PRIORITIES = Object.keys(DEFAULT_SLA_HOURS);
const HOURS = Object.values(DEFAULT_SLA_HOURS);

/** Of the task `t`, by the threshold `sla` of its priority. `$1` firm, `$2` now, `$3` and `$4` the default thresholds. */
const THRESHOLDS = `JOIN (
    SELECT usual.priority, coalesce(own.hours, usual.hours) AS hours FROM unnest($3::text[], $4::integer[]) AS usual(priority, hours)
    LEFT JOIN litigation.sla_thresholds own ON own.tenant_id = $1 AND own.priority = usual.priority
  ) AS sla ON sla.priority = t.priority`;
const IS_OVERDUE = `(t.status NOT IN ('Completed', 'Cancelled') AND t.overdue_at IS NULL AND t.due_date < $2::timestamptz - ${GRACE})`;
const IS_LATE = `(t.status <> 'Cancelled' AND coalesce(t.closed_at, $2::timestamptz) - t.created_at > make_interval(hours => sla.hours)
  AND t.sla_violated_hours IS DISTINCT FROM sla.hours)`;

const FOUND = `FROM litigation.tasks t ${THRESHOLDS} WHERE t.tenant_id = $1 AND (${IS_OVERDUE} OR ${IS_LATE})`;
const COUNT = `SELECT count(*)::int AS n ${FOUND}`;
const PAGE = `SELECT t.id ${FOUND} AND ($5::uuid IS NULL OR t.id > $5::uuid) ORDER BY t.id LIMIT $6`;

// An event without an enabled rule of its type has nobody to wait for.
const RECORD = `
WITH found AS MATERIALIZED (
  SELECT t.id, sla.hours, ${IS_OVERDUE} AS overdue, ${IS_LATE} AS late,
    round(extract(epoch FROM coalesce(t.closed_at, $2::timestamptz) - t.created_at) / 3600, 2) AS actual
  FROM litigation.tasks t ${THRESHOLDS} WHERE t.tenant_id = $1 AND t.id = ANY ($5::uuid[]) FOR UPDATE OF t
), flagged AS (
  UPDATE litigation.tasks t SET overdue_at = CASE WHEN found.overdue THEN $2 ELSE t.overdue_at END,
    sla_violated_hours = CASE WHEN found.late THEN found.hours ELSE t.sla_violated_hours END,
    sla_violated_at = CASE WHEN found.late THEN $2 ELSE t.sla_violated_at END
  FROM found WHERE t.tenant_id = $1 AND t.id = found.id AND (found.overdue OR found.late)
  RETURNING t.id, t.case_id, t.priority, t.due_date, t.arming, found.hours, found.overdue, found.late, found.actual
), heard AS (
  SELECT DISTINCT trigger_event FROM litigation.automation_rules WHERE tenant_id = $1 AND enabled
), emitted AS (
  INSERT INTO litigation.events (tenant_id, type, dedupe_key, entity_type, entity_id, payload, processed_at)
  SELECT $1, e.type, e.key, 'task', e.id, e.payload, CASE WHEN EXISTS (SELECT 1 FROM heard WHERE trigger_event = e.type) THEN NULL ELSE $2::timestamptz END
  FROM (
    SELECT f.id, 'task_overdue' AS type, format('task_overdue:%s:%s:%s', f.id, extract(epoch FROM f.due_date), f.arming) AS key,
      jsonb_build_object('task_id', f.id, 'case_id', f.case_id, 'priority', f.priority,
        'days_overdue', ($2::timestamptz AT TIME ZONE $6)::date - (f.due_date AT TIME ZONE $6)::date) AS payload
    FROM flagged f WHERE f.overdue
    UNION ALL
    SELECT f.id, 'sla_violation', format('sla_violation:%s:%s', f.id, f.hours), jsonb_build_object('task_id', f.id, 'sla_threshold', f.hours, 'actual_time', f.actual)
    FROM flagged f WHERE f.late
  ) AS e ORDER BY e.type, e.id
  ON CONFLICT ON CONSTRAINT events_once DO NOTHING
)
SELECT count(*)::int AS changed, count(*) FILTER (WHERE overdue)::int AS overdue, count(*) FILTER (WHERE late)::int AS late FROM flagged`;

/** Open tasks past due and tasks past their SLA threshold, each flagged with its event in the outbox. */
export const taskFindings: Phase<unknown> = {
  async count(ctx) {
    const { rows } = await ctx.client.query<{ n: number }>(COUNT, [firmOf(ctx).id, ctx.now, PRIORITIES, HOURS]);
    return rows[0]?.n ?? 0;
  },
  async page(ctx, after, limit) {
    const values = [firmOf(ctx).id, ctx.now, PRIORITIES, HOURS, after, limit];
    const { rows } = await ctx.client.query<{ id: string }>(PAGE, values);
    return rows.map((row) => row.id);
  },
  async process(ctx, ids) {
    const firm = firmOf(ctx);
    const { rows } = await ctx.client.query<{ changed: number; overdue: number; late: number }>(RECORD, [
      firm.id,
      ctx.now,
      PRIORITIES,
      HOURS,
      ids,
      firm.zone,
    ]);
    const { changed = 0, overdue = 0, late = 0 } = rows[0] ?? {};
    return { changed, tally: { overdueTasks: overdue, slaViolations: late } };
  },
};
