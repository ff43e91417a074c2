-- A tenant may have schedules of its own, several for one job; the general ones stay one a job, selector and zone.
ALTER TABLE ops.schedules ADD COLUMN owner_tenant uuid;
--> statement-breakpoint
-- Fingerprint of the declaration in force, when a process last confirmed it, and those it replaced: docs/decisions/0009.
ALTER TABLE ops.schedules ADD COLUMN declared text, ADD COLUMN declared_at timestamptz, ADD COLUMN superseded text[] NOT NULL DEFAULT '{}';
--> statement-breakpoint
ALTER TABLE ops.schedules DROP CONSTRAINT schedules_job_tenant_selector_tenant_zone_key;
--> statement-breakpoint
CREATE UNIQUE INDEX schedules_general ON ops.schedules (job, tenant_selector, tenant_zone) NULLS NOT DISTINCT WHERE owner_tenant IS NULL;
--> statement-breakpoint
CREATE UNIQUE INDEX schedules_own ON ops.schedules (owner_tenant, job, cron, zone) WHERE owner_tenant IS NOT NULL;
--> statement-breakpoint
GRANT DELETE ON ops.schedules TO ns_ops;
--> statement-breakpoint
-- Is an earlier run of the same tenant and job still open? Asked for each run that waits in line.
CREATE INDEX open_runs_line ON ops.open_runs (tenant_id, job, id) WHERE trigger_id IS NOT NULL;
--> statement-breakpoint
-- Which instants of a job have runs already: asked by a back-fill.
CREATE INDEX triggers_due ON ops.triggers (job, due_at) WHERE due_at IS NOT NULL;
