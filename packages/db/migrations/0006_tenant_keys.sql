-- Keys that tenants' personal fields are encrypted with, each wrapped by a master key that the database does not hold. Run by ns_owner.
-- No foreign key to ops.tenants: a key is made on a connection of its own while the caller's transaction may hold the tenant's row.
CREATE TABLE ops.tenant_keys (
  -- Stands in every envelope, hence short: 12 random bytes as base64url.
  id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]{16}$'),
  tenant_id uuid NOT NULL,
  -- `active` encrypts and decrypts; `retired` only decrypts.
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'retired')),
  master_key_id text NOT NULL,
  wrapped text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  retired_at timestamptz,
  rewrapped_at timestamptz
);
--> statement-breakpoint
-- What makes the first use race-free: the second of two inserts finds the first one's row.
CREATE UNIQUE INDEX tenant_keys_active ON ops.tenant_keys (tenant_id) WHERE state = 'active';
--> statement-breakpoint
CREATE INDEX tenant_keys_tenant ON ops.tenant_keys (tenant_id);
--> statement-breakpoint
ALTER TABLE ops.tenant_keys ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.tenant_keys FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
-- Neither handlers (ns_app) nor backups (ns_backup) see it: a stolen backup then holds no key, and an erased tenant stays erased.
CREATE POLICY platform ON ops.tenant_keys TO ns_ops USING (true) WITH CHECK (true);
--> statement-breakpoint
GRANT SELECT, INSERT, DELETE, UPDATE (state, retired_at, master_key_id, wrapped, rewrapped_at) ON ops.tenant_keys TO ns_ops;
