import { firmOf } from './firm-of.ts';
import type { Phase } from './phases.ts';

/** Tasks and hearings due in the next 24 h, both ends included. `$1` firm, `$2` now. An adjourned hearing takes place on another day. */
export const APPROACHING = `
  SELECT 'task' AS kind, t.id, t.due_date AS due FROM litigation.tasks t
  WHERE t.tenant_id = $1 AND t.status NOT IN ('Completed', 'Cancelled') AND t.due_date BETWEEN $2::timestamptz AND $2::timestamptz + interval '24 hours'
  UNION ALL
  SELECT 'hearing', h.id, h.hearing_date FROM litigation.hearings h
  WHERE h.tenant_id = $1 AND h.status NOT IN ('Completed', 'Cancelled', 'Adjourned')
    AND h.hearing_date BETWEEN $2::timestamptz AND $2::timestamptz + interval '24 hours'`;

const DEDUPE_KEY = `format('deadline_approaching:%s:%s:%s', kind, id, extract(epoch FROM due))`;
const UNTOLD = `FROM (${APPROACHING}) AS a WHERE NOT EXISTS (
  SELECT FROM litigation.events e WHERE e.tenant_id = $1 AND e.dedupe_key = ${DEDUPE_KEY})`;

const COUNT = `SELECT count(*)::int AS n ${UNTOLD}`;
const PAGE = `
SELECT kind || ':' || id AS id ${UNTOLD} AND ($3::text IS NULL OR (kind || ':' || id) COLLATE "C" > $3)
ORDER BY (kind || ':' || id) COLLATE "C" LIMIT $4`;

const EMIT = `
WITH heard AS (
  SELECT 1 FROM litigation.automation_rules WHERE tenant_id = $1 AND enabled AND trigger_event = 'deadline_approaching' LIMIT 1
), emitted AS (
  INSERT INTO litigation.events (tenant_id, type, dedupe_key, entity_type, entity_id, payload, processed_at)
  SELECT $1, 'deadline_approaching', ${DEDUPE_KEY}, kind, id,
    jsonb_build_object('entity_type', kind, 'entity_id', id, 'hours_until_due', round(extract(epoch FROM due - $2::timestamptz) / 3600, 2)),
    CASE WHEN EXISTS (SELECT FROM heard) THEN NULL ELSE $2::timestamptz END
  FROM (${APPROACHING}) AS a WHERE kind || ':' || id = ANY ($3::text[]) ORDER BY kind, id
  ON CONFLICT ON CONSTRAINT events_once DO NOTHING RETURNING entity_type
)
SELECT count(*) FILTER (WHERE entity_type = 'task')::int AS tasks, count(*) FILTER (WHERE entity_type = 'hearing')::int AS hearings FROM emitted`;

/** Each task and hearing that comes up, once for each time that it is due at: an event in the outbox. */
export const approachingDeadlines: Phase<unknown> = {
  async count(ctx) {
    const { rows } = await ctx.client.query<{ n: number }>(COUNT, [firmOf(ctx).id, ctx.now]);
    return rows[0]?.n ?? 0;
  },
  async page(ctx, after, limit) {
    const { rows } = await ctx.client.query<{ id: string }>(PAGE, [firmOf(ctx).id, ctx.now, after, limit]);
    return rows.map((row) => row.id);
  },
  async process(ctx, ids) {
    const { rows } = await ctx.client.query<{ tasks: number; hearings: number }>(EMIT, [firmOf(ctx).id, ctx.now, ids]);
    const { tasks = 0, hearings = 0 } = rows[0] ?? {};
    return { changed: tasks + hearings, tally: { tasks, hearings } };
  },
};
