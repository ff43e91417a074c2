-- A dispatch may carry bundles of several tenants, one each: their transaction is claimed, ended and committed once.
ALTER TABLE ops.dispatches ADD COLUMN tenant_ids uuid[];
--> statement-breakpoint
-- The owner, which migrations act as, is held by row-level security too: it would see no row, and change none.
ALTER TABLE ops.dispatches NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
UPDATE ops.dispatches SET tenant_ids = ARRAY[tenant_id];
--> statement-breakpoint
ALTER TABLE ops.dispatches FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.dispatches ALTER COLUMN tenant_ids SET NOT NULL, ALTER COLUMN tenant_ids SET STORAGE PLAIN;
--> statement-breakpoint
DROP POLICY tenant ON ops.dispatches;
--> statement-breakpoint
ALTER TABLE ops.dispatches DROP COLUMN tenant_id;
--> statement-breakpoint
-- Each of them sees it: it holds ids alone, and its lock is the claim of whichever runs of it are one's own.
CREATE POLICY tenant ON ops.dispatches TO ns_app USING (tenant_ids && (SELECT ops.current_tenants())::uuid[])
  WITH CHECK (tenant_ids <@ (SELECT ops.current_tenants())::uuid[]);
