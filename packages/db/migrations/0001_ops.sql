-- The memory of the platform: what was asked for, what ran, who did what. Run by ns_owner.
CREATE SCHEMA IF NOT EXISTS ops;
--> statement-breakpoint
GRANT USAGE ON SCHEMA ops TO ns_app, ns_ops, ns_rollup, ns_backup;
--> statement-breakpoint
CREATE TYPE ops.run_state AS ENUM ('blocked', 'scheduled', 'queued', 'dispatched', 'running');
--> statement-breakpoint
CREATE TYPE ops.run_outcome AS ENUM ('completed', 'completed_with_item_errors', 'failed', 'cancelled');
--> statement-breakpoint
-- Tenants of the transaction in hand. Policies call it in a sub-select, so that it is evaluated once a statement and not once a row.
CREATE FUNCTION ops.current_tenants() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS
  $$ SELECT string_to_array(nullif(current_setting('app.tenants', true), ''), ',')::uuid[] $$;
--> statement-breakpoint
CREATE TABLE ops.tenants (
  id uuid PRIMARY KEY,
  system text NOT NULL,
  slug text NOT NULL,
  name text NOT NULL,
  zone text NOT NULL DEFAULT 'UTC',
  kind text NOT NULL DEFAULT 'tenant' CHECK (kind IN ('tenant', 'system')),
  limits jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (system, slug)
);
--> statement-breakpoint
-- The platform's own runs (canaries, system-scope sweeps of no tenant) belong to a tenant of kind `system`.
INSERT INTO ops.tenants (id, system, slug, name, kind) VALUES ('00000000-0000-7000-8000-000000000001', 'ops', 'platform', 'Nightshift platform', 'system');
--> statement-breakpoint
CREATE TABLE ops.open_runs (
  id uuid PRIMARY KEY,
  tenant_id uuid NOT NULL,
  job text NOT NULL,
  input_version smallint NOT NULL,
  queue text NOT NULL,
  priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 4),
  state ops.run_state NOT NULL,
  attempt smallint NOT NULL DEFAULT 1,
  crashes smallint NOT NULL DEFAULT 0,
  fence integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  dispatch_id uuid,
  dispatched_at timestamptz,
  lease_until timestamptz,
  started_at timestamptz,
  attempt_started_at timestamptz,
  worker text,
  cursor text,
  expected integer,
  processed integer NOT NULL DEFAULT 0,
  changed integer NOT NULL DEFAULT 0,
  failed_items integer NOT NULL DEFAULT 0,
  tally jsonb,
  unique_key text,
  trigger_id uuid,
  parent_id uuid,
  retry_of uuid,
  replay_of uuid,
  after_job text,
  blocked_until timestamptz,
  stale_inputs boolean NOT NULL DEFAULT false,
  tick_date date,
  cancel_requested_at timestamptz,
  cancel_actor text,
  actor text NOT NULL,
  options jsonb NOT NULL,
  input jsonb NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
--> statement-breakpoint
CREATE INDEX open_runs_queued ON ops.open_runs (queue, priority, tenant_id, due_at, id) WHERE state = 'queued';
--> statement-breakpoint
CREATE INDEX open_runs_scheduled ON ops.open_runs (due_at) WHERE state = 'scheduled';
--> statement-breakpoint
CREATE INDEX open_runs_in_hand ON ops.open_runs (queue, priority, tenant_id) WHERE state IN ('dispatched', 'running');
--> statement-breakpoint
CREATE INDEX open_runs_leases ON ops.open_runs (lease_until) WHERE state = 'running';
--> statement-breakpoint
CREATE INDEX open_runs_blocked ON ops.open_runs (tenant_id, job) WHERE state = 'blocked';
--> statement-breakpoint
CREATE UNIQUE INDEX open_runs_unique_key ON ops.open_runs (tenant_id, unique_key) WHERE unique_key IS NOT NULL;
--> statement-breakpoint
CREATE INDEX open_runs_parent ON ops.open_runs (parent_id) WHERE parent_id IS NOT NULL;
--> statement-breakpoint
CREATE INDEX open_runs_trigger ON ops.open_runs (trigger_id) WHERE trigger_id IS NOT NULL;
--> statement-breakpoint
CREATE TABLE ops.runs (
  id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  job text NOT NULL,
  input_version smallint NOT NULL,
  queue text NOT NULL,
  priority smallint NOT NULL,
  outcome ops.run_outcome NOT NULL,
  attempts smallint NOT NULL,
  crashes smallint NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL,
  accepted_at timestamptz NOT NULL,
  started_at timestamptz,
  ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  duration_ms integer,
  bundle_size smallint,
  worker text,
  expected integer,
  processed integer NOT NULL DEFAULT 0,
  changed integer NOT NULL DEFAULT 0,
  failed_items integer NOT NULL DEFAULT 0,
  error_class text,
  error_message text,
  trigger_id uuid,
  parent_id uuid,
  retry_of uuid,
  replay_of uuid,
  stale_inputs boolean NOT NULL DEFAULT false,
  tick_date date,
  actor text NOT NULL,
  options jsonb NOT NULL,
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
--> statement-breakpoint
CREATE TABLE ops.runs_default PARTITION OF ops.runs DEFAULT;
--> statement-breakpoint
CREATE INDEX runs_tenant ON ops.runs (tenant_id, id DESC);
--> statement-breakpoint
CREATE INDEX runs_job ON ops.runs (job, id DESC);
--> statement-breakpoint
CREATE INDEX runs_trigger ON ops.runs (trigger_id) WHERE trigger_id IS NOT NULL;
--> statement-breakpoint
CREATE INDEX runs_parent ON ops.runs (parent_id) WHERE parent_id IS NOT NULL;
--> statement-breakpoint
CREATE INDEX runs_unclean ON ops.runs (job, id DESC) WHERE outcome <> 'completed';
--> statement-breakpoint
-- `after:` asks whether the upstream's run of the same tenant and date has ended.
CREATE INDEX runs_tick_date ON ops.runs (tenant_id, job, tick_date) WHERE tick_date IS NOT NULL;
--> statement-breakpoint
CREATE TABLE ops.run_payloads (
  run_id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  input jsonb NOT NULL,
  result jsonb,
  PRIMARY KEY (run_id)
) PARTITION BY RANGE (run_id);
--> statement-breakpoint
CREATE TABLE ops.run_payloads_default PARTITION OF ops.run_payloads DEFAULT;
--> statement-breakpoint
-- Attempts that did not end their run; the last attempt of an ended run is told by its row in ops.runs.
CREATE TABLE ops.attempts (
  run_id uuid NOT NULL,
  attempt smallint NOT NULL,
  seq bigint GENERATED ALWAYS AS IDENTITY,
  tenant_id uuid NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('failed', 'timeout', 'crashed', 'interrupted', 'lost')),
  error_class text,
  error_message text,
  worker text,
  started_at timestamptz,
  ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  retry_at timestamptz,
  PRIMARY KEY (run_id, attempt, seq)
) PARTITION BY RANGE (run_id);
--> statement-breakpoint
CREATE TABLE ops.attempts_default PARTITION OF ops.attempts DEFAULT;
--> statement-breakpoint
CREATE TABLE ops.item_failures (
  run_id uuid NOT NULL,
  item_key text NOT NULL,
  tenant_id uuid NOT NULL,
  error_class text NOT NULL,
  error_message text NOT NULL,
  attempt smallint NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  replayed_by uuid,
  PRIMARY KEY (run_id, item_key)
) PARTITION BY RANGE (run_id);
--> statement-breakpoint
CREATE TABLE ops.item_failures_default PARTITION OF ops.item_failures DEFAULT;
--> statement-breakpoint
CREATE TABLE ops.schedules (
  id uuid PRIMARY KEY,
  job text NOT NULL,
  tenant_selector jsonb NOT NULL DEFAULT '{"all": true}',
  cron text NOT NULL,
  zone text NOT NULL,
  -- Set where the schedule follows its tenants' zone: it then serves the tenants of that zone alone.
  tenant_zone text,
  dst text NOT NULL DEFAULT 'once' CHECK (dst IN ('skip', 'once', 'twice')),
  misfire text NOT NULL DEFAULT 'latest' CHECK (misfire IN ('skip', 'latest', 'all')),
  misfire_within_ms bigint,
  misfire_same_day boolean NOT NULL DEFAULT false,
  overlap text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('skip', 'queue')),
  priority smallint CHECK (priority BETWEEN 1 AND 4),
  options jsonb NOT NULL DEFAULT '{}',
  enabled boolean NOT NULL DEFAULT true,
  version integer NOT NULL DEFAULT 1,
  -- True once a person changed it: deploys then leave it alone.
  edited boolean NOT NULL DEFAULT false,
  next_due_at timestamptz,
  last_due_at timestamptz,
  paused_by text,
  paused_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE NULLS NOT DISTINCT (job, tenant_selector, tenant_zone)
);
--> statement-breakpoint
CREATE INDEX schedules_due ON ops.schedules (next_due_at) WHERE enabled;
--> statement-breakpoint
CREATE TABLE ops.ticks (
  schedule_id uuid NOT NULL,
  due_at timestamptz NOT NULL,
  job text NOT NULL,
  state text NOT NULL CHECK (state IN ('fired', 'skipped', 'missed')),
  reason text,
  schedule_version integer NOT NULL,
  lateness_ms bigint NOT NULL,
  trigger_id uuid,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (schedule_id, due_at)
) PARTITION BY RANGE (due_at);
--> statement-breakpoint
CREATE TABLE ops.ticks_default PARTITION OF ops.ticks DEFAULT;
--> statement-breakpoint
CREATE TABLE ops.triggers (
  id uuid PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('tick', 'drop-in', 'manual', 'night', 'back-fill', 'replay')),
  job text NOT NULL,
  actor text NOT NULL,
  schedule_id uuid,
  due_at timestamptz,
  expected_runs integer NOT NULL,
  -- Runs of another cause that this one found open and joined.
  joined_runs uuid[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
CREATE INDEX triggers_job ON ops.triggers (job, id DESC);
--> statement-breakpoint
CREATE TABLE ops.idempotency_keys (
  principal text NOT NULL,
  tenant_id uuid NOT NULL,
  key text NOT NULL,
  body_sha256 bytea NOT NULL,
  run_id uuid,
  trigger_id uuid,
  expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '48 hours',
  PRIMARY KEY (principal, tenant_id, key)
);
--> statement-breakpoint
CREATE INDEX idempotency_keys_expiry ON ops.idempotency_keys (expires_at);
--> statement-breakpoint
-- The bytes an audit row vouches for: lengths before the free texts, so that no two rows share them. IMMUTABLE by its parts, so
-- that it is inlined into the generated column (as a call it would cost ten times as much); hence the cast to bytea and not convert_to(),
-- which is only STABLE. The cast reads backslashes as escapes: they are doubled.
CREATE FUNCTION ops.audit_bytes(seq bigint, at timestamptz, tx xid8, tenant uuid, actor text, action text, run uuid, details jsonb)
RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT replace(seq::text || '|' || extract(epoch FROM (at - timestamptz '2000-01-01 00:00:00+00'))::text || '|' || tx::text || '|' || coalesce(tenant::text, '-')
    || '|' || coalesce(run::text, '-') || '|' || length(actor)::text || '|' || actor || '|' || length(action)::text || '|' || action
    || '|' || coalesce(details::text, '-'),
    '\', '\\')::bytea
$$;
--> statement-breakpoint
CREATE TABLE ops.audit_log (
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seq bigint GENERATED ALWAYS AS IDENTITY,
  tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
  tenant_id uuid,
  actor text NOT NULL,
  action text NOT NULL,
  run_id uuid,
  details jsonb,
  row_hash bytea GENERATED ALWAYS AS (sha256(ops.audit_bytes(seq, at, tx, tenant_id, actor, action, run_id, details))) STORED,
  PRIMARY KEY (at, seq)
) PARTITION BY RANGE (at);
--> statement-breakpoint
CREATE TABLE ops.audit_log_default PARTITION OF ops.audit_log DEFAULT;
--> statement-breakpoint
CREATE INDEX audit_log_run ON ops.audit_log (run_id) WHERE run_id IS NOT NULL;
--> statement-breakpoint
CREATE INDEX audit_log_tenant ON ops.audit_log (tenant_id, at);
--> statement-breakpoint
CREATE TABLE ops.audit_seals (
  seal bigint PRIMARY KEY,
  from_seq bigint NOT NULL,
  to_seq bigint NOT NULL,
  below_tx xid8 NOT NULL,
  rows bigint NOT NULL,
  root bytea NOT NULL,
  signature bytea NOT NULL,
  key_id text NOT NULL,
  sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
-- Refusals to callers who did not prove who they are: a row an address and minute, so that a flood cannot fill the audit log.
CREATE TABLE ops.refusals (
  address text NOT NULL,
  minute timestamptz NOT NULL,
  count integer NOT NULL DEFAULT 1,
  last_method text NOT NULL,
  last_path text NOT NULL,
  last_status smallint NOT NULL,
  last_code text NOT NULL,
  PRIMARY KEY (address, minute)
);
--> statement-breakpoint
CREATE TABLE ops.workers (
  id text PRIMARY KEY,
  host text NOT NULL,
  pid integer NOT NULL,
  version text NOT NULL,
  slots jsonb NOT NULL,
  -- job name → highest input version that this worker can read
  jobs jsonb NOT NULL,
  stopping boolean NOT NULL DEFAULT false,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
CREATE TABLE ops.pauses (
  kind text NOT NULL CHECK (kind IN ('queue', 'job', 'tenant')),
  key text NOT NULL,
  paused_by text NOT NULL,
  reason text,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (kind, key)
);
--> statement-breakpoint
-- What the dispatcher's passes hand on to each other: dispatches taken so far (one in ten is the longest-waiting), whose turn is next.
CREATE TABLE ops.queues (
  queue text PRIMARY KEY,
  taken bigint NOT NULL DEFAULT 0,
  tenant_cursor uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
--> statement-breakpoint
CREATE TABLE ops.broker (
  id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
INSERT INTO ops.broker DEFAULT VALUES;
--> statement-breakpoint
CREATE TABLE ops.job_settings (
  job text NOT NULL,
  tenant_id uuid,
  options jsonb NOT NULL DEFAULT '{}',
  limits jsonb NOT NULL DEFAULT '{}',
  updated_by text NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE NULLS NOT DISTINCT (job, tenant_id)
);
--> statement-breakpoint
CREATE TABLE ops.alerts (
  id uuid PRIMARY KEY,
  key text NOT NULL,
  severity text NOT NULL CHECK (severity IN ('CRITICAL', 'WARNING', 'INFO')),
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved')),
  tenant_id uuid,
  job text,
  run_id uuid,
  message text NOT NULL,
  count integer NOT NULL DEFAULT 1,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  resolved_at timestamptz
);
--> statement-breakpoint
CREATE UNIQUE INDEX alerts_open_key ON ops.alerts (key) WHERE state <> 'resolved';
--> statement-breakpoint
CREATE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
--> statement-breakpoint
CREATE TRIGGER runs_no_truncate BEFORE TRUNCATE ON ops.runs FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON ops.audit_log FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON ops.audit_log FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
--> statement-breakpoint
CREATE TRIGGER runs_no_change BEFORE UPDATE OR DELETE ON ops.runs FOR EACH ROW EXECUTE FUNCTION ops.refuse_change();
--> statement-breakpoint
-- First id that a UUID v7 made at this time can have.
CREATE FUNCTION ops.uuid7_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid $$;
--> statement-breakpoint
-- Makes the partitions of this week and the next four (runs and what hangs on them) and of this month and the next two (ticks, audit).
-- Runs as the owner, since workers call it daily and may not alter tables.
CREATE FUNCTION ops.ensure_partitions(now timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  parent text; low timestamptz; high timestamptz; part text; made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ops.ensure_partitions'));
  FOREACH parent IN ARRAY ARRAY['runs', 'run_payloads', 'attempts', 'item_failures'] LOOP
    FOR step IN 0..4 LOOP
      low := (date_trunc('week', now AT TIME ZONE 'UTC') + step * interval '7 days') AT TIME ZONE 'UTC';
      high := low + interval '168 hours';
      part := format('%s_%s', parent, to_char(low AT TIME ZONE 'UTC', 'IYYY"w"IW'));
      IF to_regclass('ops.' || part) IS NULL THEN
        EXECUTE format('CREATE TABLE ops.%I PARTITION OF ops.%I FOR VALUES FROM (%L) TO (%L)', part, parent, ops.uuid7_floor(low), ops.uuid7_floor(high));
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  FOREACH parent IN ARRAY ARRAY['ticks', 'audit_log'] LOOP
    FOR step IN 0..2 LOOP
      low := (date_trunc('month', now AT TIME ZONE 'UTC') + step * interval '1 month') AT TIME ZONE 'UTC';
      high := ((low AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
      part := format('%s_%s', parent, to_char(low AT TIME ZONE 'UTC', 'YYYY"m"MM'));
      IF to_regclass('ops.' || part) IS NULL THEN
        EXECUTE format('CREATE TABLE ops.%I PARTITION OF ops.%I FOR VALUES FROM (%L) TO (%L)', part, parent, low, high);
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
--> statement-breakpoint
-- Drops whole partitions past their retention: payloads after $1 days, runs, attempts, item failures and ticks after $2. Audit rows stay.
CREATE FUNCTION ops.drop_expired_partitions(payload_days integer, history_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  part record; days integer; ends timestamptz; dropped integer := 0;
BEGIN
  IF payload_days < 1 OR history_days < payload_days THEN
    RAISE EXCEPTION 'retention: payload_days (%) must be at least 1 and history_days (%) no less', payload_days, history_days;
  END IF;
  FOR part IN
    SELECT c.relname, p.relname AS parent FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace
    WHERE n.nspname = 'ops' AND p.relname IN ('runs', 'run_payloads', 'attempts', 'item_failures', 'ticks') AND c.relname ~ '_[0-9]{4}[wm][0-9]{2}$'
  LOOP
    ends := CASE WHEN part.parent = 'ticks' THEN to_timestamp(right(part.relname, 7), 'YYYY"m"MM') + interval '1 month'
                 ELSE to_timestamp(right(part.relname, 7), 'IYYY"w"IW') + interval '7 days' END;
    days := CASE WHEN part.parent = 'run_payloads' THEN payload_days ELSE history_days END;
    IF ends < clock_timestamp() - make_interval(days => days) THEN
      EXECUTE format('DROP TABLE ops.%I', part.relname);
      dropped := dropped + 1;
    END IF;
  END LOOP;
  RETURN dropped;
END $$;
--> statement-breakpoint
SELECT ops.ensure_partitions();
--> statement-breakpoint
CREATE VIEW ops.run_view WITH (security_invoker = true) AS
  SELECT id, tenant_id, job, input_version, queue, priority, state::text AS status, attempt AS attempts, crashes, due_at, accepted_at,
         started_at, NULL::timestamptz AS ended_at, NULL::integer AS duration_ms, NULL::smallint AS bundle_size, worker, expected, processed,
         changed, failed_items, NULL::text AS error_class, NULL::text AS error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options
  FROM ops.open_runs
  UNION ALL
  SELECT id, tenant_id, job, input_version, queue, priority, outcome::text, attempts, crashes, due_at, accepted_at,
         started_at, ended_at, duration_ms, bundle_size, worker, expected, processed,
         changed, failed_items, error_class, error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options
  FROM ops.runs;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['open_runs', 'runs', 'run_payloads', 'attempts', 'item_failures', 'idempotency_keys', 'audit_log', 'job_settings', 'alerts', 'tenants'] LOOP
    EXECUTE format('ALTER TABLE ops.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE ops.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON ops.%I TO ns_app USING (%2$s = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (%2$s = ANY ((SELECT ops.current_tenants())::uuid[]))',
                   name, CASE WHEN name = 'tenants' THEN 'id' ELSE 'tenant_id' END);
    EXECUTE format('CREATE POLICY platform ON ops.%I TO ns_ops USING (true) WITH CHECK (true)', name);
    EXECUTE format('CREATE POLICY backup ON ops.%I FOR SELECT TO ns_backup USING (true)', name);
  END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT ON ALL TABLES IN SCHEMA ops TO ns_backup;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.open_runs, ops.idempotency_keys TO ns_app, ns_ops;
--> statement-breakpoint
GRANT SELECT, INSERT ON ops.runs, ops.run_payloads, ops.attempts, ops.audit_log TO ns_app, ns_ops;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE (error_class, error_message, attempt, at) ON ops.item_failures TO ns_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON ops.item_failures TO ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.run_view TO ns_app, ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.tenants, ops.job_settings, ops.alerts TO ns_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON ops.tenants, ops.schedules, ops.triggers, ops.queues, ops.broker, ops.alerts, ops.refusals TO ns_ops;
--> statement-breakpoint
GRANT SELECT, INSERT ON ops.ticks, ops.audit_seals TO ns_ops;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ops.workers, ops.pauses, ops.job_settings TO ns_ops;
--> statement-breakpoint
REVOKE ALL ON FUNCTION ops.ensure_partitions(timestamptz), ops.drop_expired_partitions(integer, integer) FROM PUBLIC;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION ops.ensure_partitions(timestamptz), ops.drop_expired_partitions(integer, integer) TO ns_ops;
