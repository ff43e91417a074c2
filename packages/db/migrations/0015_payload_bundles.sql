-- What a run was given and what it answered was a row of its own: a tuple and an index entry for each run that ended. Now runs that end in one
-- statement share a row, one a tenant. Elements of the three arrays belong together by their place.
CREATE TABLE ops.payloads (
  -- The dispatch's, where all its runs completed; else the run's own.
  id uuid NOT NULL,
  tenant_id uuid NOT NULL,
  runs uuid[] NOT NULL,
  inputs jsonb[] NOT NULL,
  -- NULL: none of them answered anything.
  results jsonb[],
  PRIMARY KEY (id, tenant_id)
) PARTITION BY RANGE (id);
--> statement-breakpoint
-- To compress them would cost more than all the rest of the row.
ALTER TABLE ops.payloads ALTER COLUMN runs SET STORAGE EXTERNAL, ALTER COLUMN inputs SET STORAGE EXTERNAL, ALTER COLUMN results SET STORAGE EXTERNAL;
--> statement-breakpoint
-- The same weeks as before, past ones too: whether a week is there tells whether what was stored in it still is.
DO $$
DECLARE part record;
BEGIN
  FOR part IN
    SELECT replace(c.relname, 'run_payloads', 'payloads') AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'ops.run_payloads'::regclass
  LOOP
    EXECUTE format('CREATE TABLE ops.%I PARTITION OF ops.payloads %s', part.name, part.bound);
  END LOOP;
END $$;
--> statement-breakpoint
-- Which row of `payloads`; NULL: nothing was stored, since the input was {} and there was no result.
ALTER TABLE ops.runs ADD COLUMN payload_id uuid;
--> statement-breakpoint
-- The owner, which migrations act as, is held by row-level security too: it would see no row, and carry none over.
ALTER TABLE ops.run_payloads NO FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
INSERT INTO ops.payloads (id, tenant_id, runs, inputs, results)
SELECT run_id, tenant_id, ARRAY[run_id], ARRAY[input], CASE WHEN result IS NOT NULL THEN ARRAY[result] END FROM ops.run_payloads;
--> statement-breakpoint
-- The one change that ended runs ever see, in a transaction that holds the table: nobody else can use the gap.
ALTER TABLE ops.runs NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER runs_no_change;
--> statement-breakpoint
UPDATE ops.runs r SET payload_id = r.id FROM ops.run_payloads p WHERE p.run_id = r.id;
--> statement-breakpoint
ALTER TABLE ops.runs FORCE ROW LEVEL SECURITY, ENABLE TRIGGER runs_no_change;
--> statement-breakpoint
ALTER TABLE ops.payloads ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE ops.payloads FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY tenant ON ops.payloads TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]));
--> statement-breakpoint
CREATE POLICY platform ON ops.payloads TO ns_ops USING (true) WITH CHECK (true);
--> statement-breakpoint
CREATE POLICY backup ON ops.payloads FOR SELECT TO ns_backup USING (true);
--> statement-breakpoint
GRANT SELECT, INSERT ON ops.payloads TO ns_app, ns_ops;
--> statement-breakpoint
GRANT SELECT ON ops.payloads TO ns_backup;
--> statement-breakpoint
CREATE OR REPLACE FUNCTION ops.ensure_partitions(now timestamptz DEFAULT clock_timestamp()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  parent text; low timestamptz; high timestamptz; part text; made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ops.ensure_partitions'));
  FOREACH parent IN ARRAY ARRAY['runs', 'payloads', 'attempts', 'item_failures'] LOOP
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
CREATE OR REPLACE FUNCTION ops.drop_expired_partitions(payload_days integer, history_days integer) RETURNS integer
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
    WHERE n.nspname = 'ops' AND p.relname IN ('runs', 'payloads', 'attempts', 'item_failures', 'ticks') AND c.relname ~ '_[0-9]{4}[wm][0-9]{2}$'
  LOOP
    ends := CASE WHEN part.parent = 'ticks' THEN to_timestamp(right(part.relname, 7), 'YYYY"m"MM') + interval '1 month'
                 ELSE to_timestamp(right(part.relname, 7), 'IYYY"w"IW') + interval '7 days' END;
    days := CASE WHEN part.parent = 'payloads' THEN payload_days ELSE history_days END;
    IF ends < clock_timestamp() - make_interval(days => days) THEN
      EXECUTE format('DROP TABLE ops.%I', part.relname);
      dropped := dropped + 1;
    END IF;
  END LOOP;
  RETURN dropped;
END $$;
--> statement-breakpoint
ALTER TABLE ops.run_payloads RENAME TO run_payloads_by_run;
--> statement-breakpoint
-- A run's own part of its row: for those who ask for a few runs. Who reads them all takes `payloads` as it is, which says each array once.
CREATE VIEW ops.run_payloads WITH (security_invoker = true) AS
  SELECT r.id AS run_id, r.tenant_id, p.inputs[array_position(p.runs, r.id)] AS input, p.results[array_position(p.runs, r.id)] AS result
  FROM ops.runs r JOIN ops.payloads p ON p.id = r.payload_id AND p.tenant_id = r.tenant_id;
--> statement-breakpoint
GRANT SELECT ON ops.run_payloads TO ns_app, ns_ops, ns_backup;
--> statement-breakpoint
-- With the payload's id, so that who has runs from here finds their payloads by it.
CREATE OR REPLACE VIEW ops.run_view WITH (security_invoker = true) AS
  SELECT id, tenant_id, job, input_version, queue, priority, state AS status, attempt AS attempts, crashes, due_at, accepted_at,
         started_at, NULL::timestamptz AS ended_at, NULL::integer AS duration_ms, NULL::smallint AS bundle_size, worker, expected, processed,
         changed, failed_items, NULL::text AS error_class, NULL::text AS error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options, NULL::uuid AS payload_id
  FROM ops.open_runs
  UNION ALL
  SELECT id, tenant_id, job, input_version, queue, priority, outcome, attempts, crashes, due_at, accepted_at,
         started_at, ended_at, duration_ms, bundle_size, worker, expected, processed,
         changed, failed_items, error_class, error_message, trigger_id, parent_id, retry_of, replay_of,
         stale_inputs, tick_date, actor, options, payload_id
  FROM ops.runs;
--> statement-breakpoint
-- As it was, but for where the result stands.
CREATE OR REPLACE VIEW litigation.audit_log WITH (security_invoker = true) AS
  SELECT r.id, r.tenant_id, 'background_job_execution'::text AS action_type, 'background_job'::text AS entity_type, r.id AS entity_id, NULL::uuid AS user_id,
    coalesce((SELECT jsonb_object_agg(lower(regexp_replace(key, '([A-Z])', '_\1', 'g')), value) FROM jsonb_each(CASE WHEN jsonb_typeof(a.result) = 'object' THEN a.result ELSE '{}' END)
              WHERE jsonb_typeof(value) IN ('number', 'boolean')), '{}')
      || jsonb_strip_nulls(jsonb_build_object('job_name', split_part(r.job, '.', 2), 'status', CASE WHEN r.outcome LIKE 'completed%' THEN 'success' ELSE 'failed' END,
           'execution_time_ms', coalesce(r.duration_ms, 0), 'error', r.error_message)) AS details,
    r.ended_at AS "timestamp"
  FROM ops.runs r LEFT JOIN ops.payloads p ON p.id = r.payload_id AND p.tenant_id = r.tenant_id
    CROSS JOIN LATERAL (SELECT p.results[array_position(p.runs, r.id)] AS result) AS a
  WHERE litigation.job_number(r.job) IS NOT NULL
  UNION ALL
  SELECT md5(e.tenant_id || ' ' || e.seq)::uuid, e.tenant_id, e.type, e.entity_type, e.entity_id, NULL, e.payload, e.created_at FROM litigation.events e;
--> statement-breakpoint
DROP TABLE ops.run_payloads_by_run;
