-- What was backed up, when and where to; the backups themselves say so too, in their manifests. Run by ns_owner.
CREATE SCHEMA IF NOT EXISTS medication;
--> statement-breakpoint
GRANT USAGE ON SCHEMA medication TO ns_app, ns_rollup, ns_backup;
--> statement-breakpoint
-- A row once a backup is whole; what was tried and failed is in ops.runs. `tenant_id` is the system's own tenant for backups of everybody.
CREATE TABLE medication.backups (
  tenant_id uuid NOT NULL REFERENCES ops.tenants (id),
  id text NOT NULL CHECK (length(id) BETWEEN 10 AND 80),
  run_id uuid NOT NULL,
  backup_type text NOT NULL CHECK (backup_type IN ('full', 'incremental', 'tenant')),
  storage_type text NOT NULL CHECK (storage_type IN ('local', 's3')),
  storage_path text NOT NULL,
  -- The backup that an incremental one continues.
  base_id text,
  schema_version text NOT NULL,
  taken_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL,
  tables integer NOT NULL,
  rows bigint NOT NULL,
  bytes bigint NOT NULL,
  -- Of the data file.
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  -- Master key that opens it: to be kept for as long as the backup is.
  key_id text NOT NULL,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT backups_base CHECK ((base_id IS NOT NULL) = (backup_type = 'incremental'))
);
--> statement-breakpoint
ALTER TABLE medication.backups ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE medication.backups FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant ON medication.backups TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]));
--> statement-breakpoint
CREATE POLICY rollup ON medication.backups FOR SELECT TO ns_rollup USING (true);
--> statement-breakpoint
CREATE POLICY backup ON medication.backups FOR SELECT TO ns_backup USING (true);
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON medication.backups TO ns_app;
--> statement-breakpoint
GRANT SELECT ON medication.backups TO ns_rollup, ns_backup;
--> statement-breakpoint
-- A backup saves how far each sequence has come; those that later migrations make too.
DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT DISTINCT schemaname FROM pg_sequences WHERE sequenceowner = current_user LOOP
    EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO ns_backup', name);
  END LOOP;
END $$;
--> statement-breakpoint
ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO ns_backup;
