-- Under row-level security the planner may use a column's statistics only through leakproof operators, and comparing enums is not one: it took
-- every row for `scheduled`, and read the whole backlog to find none. Comparing texts is leakproof.
DROP VIEW ops.run_view;
--> statement-breakpoint
DROP INDEX ops.open_runs_queued, ops.open_runs_scheduled, ops.open_runs_in_hand, ops.open_runs_leases, ops.open_runs_blocked, ops.runs_unclean;
--> statement-breakpoint
ALTER TABLE ops.open_runs ALTER COLUMN state TYPE text, ADD CONSTRAINT open_runs_state CHECK (state IN ('blocked', 'scheduled', 'queued', 'dispatched', 'running'));
--> statement-breakpoint
ALTER TABLE ops.runs ALTER COLUMN outcome TYPE text, ADD CONSTRAINT runs_outcome CHECK (outcome IN ('completed', 'completed_with_item_errors', 'failed', 'cancelled'));
--> statement-breakpoint
DROP TYPE ops.run_state, ops.run_outcome;
--> statement-breakpoint
CREATE INDEX open_runs_queued ON ops.open_runs (queue, priority, tenant_id, due_at, id) WHERE state = 'queued';
--> statement-breakpoint
CREATE INDEX open_runs_scheduled ON ops.open_runs (due_at) WHERE state = 'scheduled';
--> statement-breakpoint
-- A dispatch's rows together: its claim and its end find them without naming them, and a queue's dispatches are counted by a probe each. (Of
-- the index by state that was here, every claim read all that was in hand.)
CREATE INDEX open_runs_in_hand ON ops.open_runs (queue, dispatch_id) WHERE dispatch_id IS NOT NULL;
--> statement-breakpoint
ALTER TABLE ops.open_runs ADD CONSTRAINT open_runs_in_hand CHECK ((dispatch_id IS NOT NULL) = (state IN ('dispatched', 'running')));
--> statement-breakpoint
CREATE INDEX open_runs_leases ON ops.open_runs (lease_until) WHERE state = 'running';
--> statement-breakpoint
CREATE INDEX open_runs_blocked ON ops.open_runs (tenant_id, job) WHERE state = 'blocked';
--> statement-breakpoint
CREATE INDEX runs_unclean ON ops.runs (job, id DESC) WHERE outcome <> 'completed';
--> statement-breakpoint
CREATE VIEW ops.run_view WITH (security_invoker = true) AS
  SELECT id, tenant_id, job, input_version, queue, priority, state AS status, attempt AS attempts, crashes, due_at, accepted_at,
         started_at, NULL::timestamptz AS ended_at, NULL::integer AS duration_ms, NULL::smallint AS bundle_size, worker, expected, processed,
         changed, failed_items, NULL::text AS error_class, NULL::text AS error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options
  FROM ops.open_runs
  UNION ALL
  SELECT id, tenant_id, job, input_version, queue, priority, outcome, attempts, crashes, due_at, accepted_at,
         started_at, ended_at, duration_ms, bundle_size, worker, expected, processed,
         changed, failed_items, error_class, error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options
  FROM ops.runs;
--> statement-breakpoint
GRANT SELECT ON ops.run_view TO ns_app, ns_ops, ns_backup;
--> statement-breakpoint
-- The bytes that an audit row vouches for, now written out: Postgres reads the text of a function anew for each statement that inserts, which
-- cost half a millisecond. Numbers, times and ids in their binary form, lengths before the free texts, so that no two rows share them. The
-- cast to bytea reads backslashes as escapes: they are doubled. (convert_to() is only STABLE.)
ALTER TABLE ops.audit_log ALTER COLUMN row_hash SET EXPRESSION AS (
  sha256(int8send(seq) || timestamptz_send(at) || xid8send(tx) || coalesce(uuid_send(tenant_id), decode(repeat('00', 16), 'hex'))
    || coalesce(uuid_send(run_id), decode(repeat('00', 16), 'hex')) || int4send(length(actor)) || int4send(length(action))
    || replace(actor || action, '\', '\\')::bytea || coalesce(jsonb_send(details), ''))
);
--> statement-breakpoint
DROP FUNCTION ops.audit_bytes(bigint, timestamptz, xid8, uuid, text, text, uuid, jsonb);
