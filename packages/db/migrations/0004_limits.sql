-- Starts of whatever has a rate limit, by second: `tenant:<id>`, `job:<name>`, `job:<name>:<tenant id>`. Rows past a minute are deleted as new ones come.
CREATE TABLE ops.limit_starts (
  key text NOT NULL,
  second timestamptz NOT NULL,
  starts integer NOT NULL,
  PRIMARY KEY (key, second)
);
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.limit_starts TO ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.limit_starts TO ns_backup;
--> statement-breakpoint
-- Tenants that have limits are few among many, and read every second.
CREATE INDEX tenants_limited ON ops.tenants (id) WHERE limits <> '{}';
--> statement-breakpoint
-- The latest sign of life of each queue: an empty dispatch, and the worker that answered it.
ALTER TABLE ops.queues ADD COLUMN probe_asked_at timestamptz, ADD COLUMN probe_answered_at timestamptz, ADD COLUMN probe_worker text;
--> statement-breakpoint
-- A blocked run that was put off starts at neither its upstream's end nor its deadline before this time.
ALTER TABLE ops.open_runs ADD COLUMN snoozed_until timestamptz;
--> statement-breakpoint
-- Has a run been retried already? Asked for each run that a retry by filter finds.
CREATE INDEX runs_retry_of ON ops.runs (retry_of) WHERE retry_of IS NOT NULL;
--> statement-breakpoint
CREATE INDEX open_runs_retry_of ON ops.open_runs (retry_of) WHERE retry_of IS NOT NULL;
--> statement-breakpoint
-- A replay that ended well marks the failures that it mended, in its own end.
GRANT UPDATE (replayed_by) ON ops.item_failures TO ns_app;
