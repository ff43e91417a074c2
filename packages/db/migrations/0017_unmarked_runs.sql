-- A run that was handed out said so in its own row: one more version of the row for every run, and half of each page kept free for it. Now a run is in
-- hand when a row of `dispatches` names it: a pass writes one row for hundreds of runs, and giving them back is its deletion.
--
-- The owner, which migrations act as, is held by row-level security too: it would see no row, and carry none over.
ALTER TABLE ops.open_runs NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
-- Its priority in Redis; since when it is there; whether its long run was claimed: what takes it back has to see that in the row that it locks.
ALTER TABLE ops.dispatches ADD COLUMN priority smallint, ADD COLUMN dispatched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ADD COLUMN running boolean NOT NULL DEFAULT false;
--> statement-breakpoint
DELETE FROM ops.dispatches d WHERE NOT EXISTS (SELECT 1 FROM ops.open_runs o WHERE o.dispatch_id = d.id);
--> statement-breakpoint
UPDATE ops.dispatches d SET runs = held.runs, priority = held.priority, running = held.running, dispatched_at = coalesce(held.dispatched_at, d.dispatched_at)
FROM (
  SELECT dispatch_id, array_agg(id ORDER BY id) AS runs, min(priority) AS priority, min(dispatched_at) AS dispatched_at,
    bool_or(state = 'running') AS running
  FROM ops.open_runs WHERE dispatch_id IS NOT NULL GROUP BY dispatch_id
) held WHERE held.dispatch_id = d.id;
--> statement-breakpoint
ALTER TABLE ops.dispatches ALTER COLUMN priority SET NOT NULL;
--> statement-breakpoint
DROP INDEX ops.open_runs_queued, ops.open_runs_scheduled, ops.open_runs_leases, ops.open_runs_blocked;
--> statement-breakpoint
ALTER TABLE ops.open_runs DROP CONSTRAINT open_runs_state, DROP COLUMN phase, DROP COLUMN dispatch_id, DROP COLUMN dispatched_at;
--> statement-breakpoint
UPDATE ops.open_runs SET state = 'queued' WHERE state = 'dispatched';
--> statement-breakpoint
ALTER TABLE ops.open_runs ADD CONSTRAINT open_runs_state CHECK (state IN ('blocked', 'scheduled', 'queued', 'running'));
--> statement-breakpoint
-- Holds what is in hand too, which a pass leaves out: that is never more than the window. Without the id runs of one tenant and one call have equal
-- entries, which Postgres stores as one: a tenth of the size, and hardly a page to split. Of equal ones it keeps the order of their rows.
CREATE INDEX open_runs_queued ON ops.open_runs (queue, priority, tenant_id, due_at) WHERE state = 'queued';
--> statement-breakpoint
CREATE INDEX open_runs_scheduled ON ops.open_runs (due_at) WHERE state = 'scheduled';
--> statement-breakpoint
CREATE INDEX open_runs_leases ON ops.open_runs (lease_until) WHERE state = 'running';
--> statement-breakpoint
CREATE INDEX open_runs_blocked ON ops.open_runs (tenant_id, job) WHERE state = 'blocked';
--> statement-breakpoint
-- Hardly any row is ever changed now: it is inserted, and deleted when the run ends.
ALTER TABLE ops.open_runs RESET (fillfactor);
--> statement-breakpoint
ALTER TABLE ops.open_runs FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
-- A tenant's bundle that is executed by itself leaves the dispatch to the others'.
DROP POLICY tenant ON ops.dispatches;
--> statement-breakpoint
CREATE POLICY tenant ON ops.dispatches TO ns_app USING (tenant_ids && (SELECT ops.current_tenants())::uuid[]);
--> statement-breakpoint
-- Of the planner's two ways to look a run up in the arrays it takes the one by hash where many rows are asked for.
CREATE OR REPLACE VIEW ops.run_view WITH (security_invoker = true) AS
  SELECT id, tenant_id, job, input_version, queue, priority,
         CASE WHEN state <> 'queued' THEN state
              WHEN EXISTS (SELECT 1 FROM ops.dispatches d CROSS JOIN LATERAL unnest(d.runs) AS h(run_id) WHERE h.run_id = open_runs.id) THEN 'dispatched'
              ELSE 'queued' END AS status,
         attempt AS attempts, crashes, due_at, accepted_at,
         started_at, NULL::timestamptz AS ended_at, NULL::integer AS duration_ms, NULL::smallint AS bundle_size, worker, expected, processed,
         changed, failed_items, NULL::text AS error_class, NULL::text AS error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options, NULL::uuid AS payload_id
  FROM ops.open_runs
  UNION ALL
  SELECT id, tenant_id, job, input_version, queue, priority, outcome, attempts, crashes, due_at, accepted_at,
         started_at, ended_at, duration_ms, bundle_size, worker, expected, processed,
         changed, failed_items, error_class, error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options, payload_id
  FROM ops.runs;
