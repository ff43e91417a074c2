-- What leaves Postgres: a row in the transaction of the batch that wants it sent, and what became of it. Recipient and data are envelopes of
-- the tenant's data key. Not partitioned, since a key is unique for ever; ended rows past their retention are deleted.
CREATE TABLE ops.notifications (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  -- The run (of shards: their parent) that made it, and its job; null for what the platform itself sends.
  run_id uuid,
  job text,
  dedupe_key text NOT NULL CHECK (length(dedupe_key) BETWEEN 1 AND 500),
  channel text NOT NULL CHECK (channel IN ('email', 'whatsapp', 'webhook')),
  template text NOT NULL,
  user_key text,
  priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 4),
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'unknown', 'expired', 'suppressed')),
  -- All that were made; the latest is also the fence of whoever sends. `tries` counts since somebody last asked for it to be sent.
  attempts smallint NOT NULL DEFAULT 0,
  tries smallint NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  not_after timestamptz,
  worker text,
  lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  sent_at timestamptz,
  ended_at timestamptz,
  -- What the other side calls the message.
  provider_id text,
  -- What the other side answered, or why it was not sent; no personal data.
  outcome text,
  error_class text,
  to_enc text NOT NULL,
  data_enc text NOT NULL,
  CONSTRAINT notifications_dedupe UNIQUE (tenant_id, dedupe_key),
  CONSTRAINT notifications_lease CHECK ((lease_until IS NOT NULL) = (state = 'sending')),
  CONSTRAINT notifications_ended CHECK ((ended_at IS NULL) = (state IN ('waiting', 'sending')))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
--> statement-breakpoint
-- Turns among tenants: the tenants that have something waiting are found by jumps in this index, and of each its first by priority.
CREATE INDEX notifications_waiting ON ops.notifications (channel, tenant_id, priority, due_at, id) WHERE state = 'waiting';
--> statement-breakpoint
-- Asked by each worker each second: is anything due?
CREATE INDEX notifications_due ON ops.notifications (channel, due_at) WHERE state = 'waiting';
--> statement-breakpoint
CREATE INDEX notifications_leases ON ops.notifications (lease_until) WHERE state = 'sending';
--> statement-breakpoint
CREATE INDEX notifications_run ON ops.notifications (run_id) WHERE run_id IS NOT NULL;
--> statement-breakpoint
CREATE INDEX notifications_tenant ON ops.notifications (tenant_id, id DESC);
--> statement-breakpoint
CREATE INDEX notifications_ended ON ops.notifications (ended_at) WHERE ended_at IS NOT NULL;
--> statement-breakpoint
-- What a user wants; no row: everything, at any hour. Quiet hours are in the tenant's zone and may pass midnight.
CREATE TABLE ops.notification_preferences (
  tenant_id uuid NOT NULL,
  user_key text NOT NULL,
  channel text NOT NULL CHECK (channel IN ('email', 'whatsapp', 'webhook')),
  enabled boolean NOT NULL DEFAULT true,
  quiet_from time,
  quiet_until time,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, user_key, channel),
  CONSTRAINT notification_preferences_quiet CHECK ((quiet_from IS NULL) = (quiet_until IS NULL) AND (quiet_from IS NULL OR quiet_from <> quiet_until))
);
--> statement-breakpoint
-- A token bucket a channel, shared by the whole fleet. Its row's lock is also what lets one worker at a time claim for the channel.
CREATE TABLE ops.notification_channels (
  channel text PRIMARY KEY CHECK (channel IN ('email', 'whatsapp', 'webhook')),
  tokens double precision NOT NULL DEFAULT 1,
  refilled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The tenant that was served last: turns go on after it.
  tenant_cursor uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
--> statement-breakpoint
INSERT INTO ops.notification_channels (channel) VALUES ('email'), ('whatsapp'), ('webhook');
--> statement-breakpoint
-- When the quiet hours that hold at this instant end; null outside of them.
CREATE FUNCTION ops.quiet_until(at timestamptz, zone text, quiet_from time, quiet_until time) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN quiet_from < quiet_until AND (at AT TIME ZONE zone)::time >= quiet_from AND (at AT TIME ZONE zone)::time < quiet_until
      THEN ((at AT TIME ZONE zone)::date + quiet_until) AT TIME ZONE zone
    WHEN quiet_from > quiet_until AND (at AT TIME ZONE zone)::time >= quiet_from
      THEN ((at AT TIME ZONE zone)::date + 1 + quiet_until) AT TIME ZONE zone
    WHEN quiet_from > quiet_until AND (at AT TIME ZONE zone)::time < quiet_until
      THEN ((at AT TIME ZONE zone)::date + quiet_until) AT TIME ZONE zone
  END
$$;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['notifications', 'notification_preferences'] LOOP
    EXECUTE format('ALTER TABLE ops.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE ops.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON ops.%I TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))', name);
    EXECUTE format('CREATE POLICY platform ON ops.%I TO ns_ops USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY backup ON ops.%I FOR SELECT TO ns_backup USING (true)', name);
  END LOOP;
END $$;
--> statement-breakpoint
-- A message that could not be delivered is a failure of the run that made it, but no item that a replay could do again.
ALTER TABLE ops.item_failures ADD COLUMN notification_id uuid;
--> statement-breakpoint
GRANT SELECT, INSERT ON ops.notifications TO ns_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.notifications TO ns_ops;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.notification_preferences TO ns_app, ns_ops;
--> statement-breakpoint
GRANT SELECT, UPDATE ON ops.notification_channels TO ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.notifications, ops.notification_preferences, ops.notification_channels TO ns_backup;
