-- Who looked at an alert and who ended it ('platform': its condition went away), and whether its opening and its end have been told by mail.
ALTER TABLE ops.alerts ADD COLUMN acknowledged_at timestamptz, ADD COLUMN acknowledged_by text, ADD COLUMN resolved_by text,
  ADD COLUMN opening_told_at timestamptz, ADD COLUMN end_told_at timestamptz;
--> statement-breakpoint
CREATE INDEX alerts_opened ON ops.alerts (opened_at DESC, id DESC);
--> statement-breakpoint
CREATE INDEX alerts_key ON ops.alerts (key, resolved_at);
--> statement-breakpoint
-- Jobs open and resolve alerts of their tenants, in the transaction of their effects: the policy `tenant` binds them.
GRANT INSERT, UPDATE ON ops.alerts TO ns_app;
--> statement-breakpoint
GRANT DELETE ON ops.alerts TO ns_ops;
--> statement-breakpoint
-- Failures are few among runs: who failed lately, and the last three failures of a job and tenant.
CREATE INDEX runs_failed_at ON ops.runs (ended_at) WHERE outcome = 'failed';
--> statement-breakpoint
CREATE INDEX runs_failed ON ops.runs (tenant_id, job, ended_at DESC) WHERE outcome = 'failed';
--> statement-breakpoint
-- Tasks that ended runs generated, by type, counted as a run ends: history has its retention, a counter must not fall.
CREATE TABLE ops.task_counts (
  tenant_id uuid NOT NULL,
  job text NOT NULL,
  type text NOT NULL,
  total bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, job, type)
);
--> statement-breakpoint
ALTER TABLE ops.task_counts ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.task_counts FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant ON ops.task_counts TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]));
--> statement-breakpoint
CREATE POLICY platform ON ops.task_counts TO ns_ops USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY backup ON ops.task_counts FOR SELECT TO ns_backup USING (true);
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON ops.task_counts TO ns_app, ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.task_counts TO ns_backup;
