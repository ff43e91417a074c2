-- Databases of the development version that ran 0017 in its first form have no `running`; all others have it, and nothing to change.
ALTER TABLE ops.dispatches ADD COLUMN IF NOT EXISTS running boolean NOT NULL DEFAULT false;
--> statement-breakpoint
ALTER TABLE ops.open_runs NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
UPDATE ops.dispatches d SET running = true
WHERE NOT running AND EXISTS (SELECT 1 FROM ops.open_runs o WHERE o.id = ANY (d.runs) AND o.state = 'running');
--> statement-breakpoint
ALTER TABLE ops.open_runs FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches FORCE ROW LEVEL SECURITY;
