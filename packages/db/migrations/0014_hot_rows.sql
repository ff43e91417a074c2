-- Marking a run as dispatched used to cost as much as ending it: each mark changed columns that indexes are made of, so that it wrote the row and all
-- its index entries anew. Now it changes no column of any index, and Postgres keeps it within the row's page (a HOT update).
--
-- `phase` is the state with `dispatched` folded into `queued`: what partial indexes may ask for.
ALTER TABLE ops.open_runs ADD COLUMN phase text NOT NULL GENERATED ALWAYS AS (CASE state WHEN 'dispatched' THEN 'queued' ELSE state END) STORED;
--> statement-breakpoint
DROP INDEX ops.open_runs_queued, ops.open_runs_scheduled, ops.open_runs_in_hand, ops.open_runs_leases, ops.open_runs_blocked;
--> statement-breakpoint
-- Holds what is dispatched too, which a pass leaves out by the row's state: that is never more than the window.
CREATE INDEX open_runs_queued ON ops.open_runs (queue, priority, tenant_id, due_at, id) WHERE phase = 'queued';
--> statement-breakpoint
CREATE INDEX open_runs_scheduled ON ops.open_runs (due_at) WHERE phase = 'scheduled';
--> statement-breakpoint
CREATE INDEX open_runs_leases ON ops.open_runs (lease_until) WHERE phase = 'running';
--> statement-breakpoint
CREATE INDEX open_runs_blocked ON ops.open_runs (tenant_id, job) WHERE phase = 'blocked';
--> statement-breakpoint
-- Room in each page for every row's mark.
ALTER TABLE ops.open_runs SET (fillfactor = 45);
--> statement-breakpoint
-- Which runs a dispatch took: the index by dispatch that the rows themselves can no longer have. `open_runs.dispatch_id` is the truth; a dispatch
-- that no row names any more is over. The lock of its row is the claim of its runs.
CREATE TABLE ops.dispatches (
  id uuid PRIMARY KEY,
  queue text NOT NULL,
  job text NOT NULL,
  tenant_id uuid NOT NULL,
  runs uuid[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
-- Read as a whole or not at all: kept in the row, and not compressed.
ALTER TABLE ops.dispatches ALTER COLUMN runs SET STORAGE PLAIN;
--> statement-breakpoint
CREATE INDEX dispatches_queue ON ops.dispatches (queue, id);
--> statement-breakpoint
-- The owner, which migrations act as, is held by row-level security too: it would see no run.
ALTER TABLE ops.open_runs NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
INSERT INTO ops.dispatches (id, queue, job, tenant_id, runs)
SELECT dispatch_id, min(queue), min(job), (array_agg(tenant_id))[1], array_agg(id ORDER BY id) FROM ops.open_runs WHERE dispatch_id IS NOT NULL GROUP BY dispatch_id;
--> statement-breakpoint
ALTER TABLE ops.open_runs FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant ON ops.dispatches TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]));
--> statement-breakpoint
CREATE POLICY platform ON ops.dispatches TO ns_ops USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY backup ON ops.dispatches FOR SELECT TO ns_backup USING (true);
--> statement-breakpoint
-- UPDATE: without it nobody may lock a row.
GRANT SELECT, UPDATE, DELETE ON ops.dispatches TO ns_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.dispatches TO ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.dispatches TO ns_backup;
--> statement-breakpoint
-- Ids only grow: an index that grows at its end fills its pages, one that grows at its beginning leaves them half empty. Both are read from either end.
DROP INDEX ops.runs_tenant, ops.runs_job;
--> statement-breakpoint
CREATE INDEX runs_tenant ON ops.runs (tenant_id, id);
--> statement-breakpoint
CREATE INDEX runs_job ON ops.runs (job, id);
--> statement-breakpoint
-- The two rows that every run has bear its times: they are found by tenant and time, and the index by run is for the rare others.
DROP INDEX ops.audit_log_run;
--> statement-breakpoint
CREATE INDEX audit_log_run ON ops.audit_log (run_id) WHERE run_id IS NOT NULL AND action NOT IN ('run.accepted', 'run.ended');
--> statement-breakpoint
-- A stored hash shows no more than one that is computed when it is read: who can change a row has it computed anew either way, and what shows the change is
-- the seal, whose key the database does not hold. Stored it cost every insert; Postgres 17 and older know no other.
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 180000 THEN
    ALTER TABLE ops.audit_log DROP COLUMN row_hash;
    ALTER TABLE ops.audit_log ADD COLUMN row_hash bytea GENERATED ALWAYS AS (
      sha256(int8send(seq) || timestamptz_send(at) || xid8send(tx) || coalesce(uuid_send(tenant_id), decode(repeat('00', 16), 'hex'))
        || coalesce(uuid_send(run_id), decode(repeat('00', 16), 'hex')) || int4send(length(actor)) || int4send(length(action))
        || replace(actor || action, '\', '\\')::bytea || coalesce(jsonb_send(details), ''))
    ) VIRTUAL;
  END IF;
END $$;
