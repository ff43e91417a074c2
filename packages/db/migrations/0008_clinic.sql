-- The clinic system: HIV programme clinics, their clients, what was done for them, and the tasks that follow from it. Run by ns_owner.
-- A facility is a tenant; its zone is the tenant's (ops.tenants.zone). Every key of a clinical row includes the facility.
CREATE SCHEMA IF NOT EXISTS clinic;
--> statement-breakpoint
GRANT USAGE ON SCHEMA clinic TO ns_app, ns_rollup, ns_backup;
--> statement-breakpoint
-- The numbers that a programme's guideline sets, per facility; where they come from: docs/systems/clinic.md.
CREATE TABLE clinic.facilities (
  tenant_id uuid PRIMARY KEY REFERENCES ops.tenants (id),
  opened_on date NOT NULL CHECK (opened_on BETWEEN '1900-01-01' AND '9999-12-31'),
  ltfu_days smallint NOT NULL DEFAULT 90 CHECK (ltfu_days BETWEEN 1 AND 3650),
  interruption_days smallint NOT NULL DEFAULT 28 CHECK (interruption_days BETWEEN 0 AND 3650),
  baseline_before_days smallint NOT NULL DEFAULT 180 CHECK (baseline_before_days BETWEEN 0 AND 3650),
  baseline_after_days smallint NOT NULL DEFAULT 90 CHECK (baseline_after_days BETWEEN 0 AND 3650),
  sample_wait_days smallint NOT NULL DEFAULT 30 CHECK (sample_wait_days BETWEEN 0 AND 3650),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
-- name_enc and phone_enc hold envelopes of the field encryption, never plain text. last_visit_at is the triggers'.
CREATE TABLE clinic.clients (
  tenant_id uuid NOT NULL REFERENCES clinic.facilities (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  number text NOT NULL CHECK (length(number) BETWEEN 1 AND 40),
  name_enc text CHECK (name_enc LIKE 'ns1.%'),
  phone_enc text CHECK (phone_enc LIKE 'ns1.%'),
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'transferred', 'stopped', 'died')),
  key_population text NOT NULL DEFAULT 'none' CHECK (key_population IN ('none', 'msm', 'sex_worker', 'transgender', 'injects_drugs', 'in_prison')),
  registered_on date NOT NULL CHECK (registered_on BETWEEN '1900-01-01' AND '9999-12-31'),
  vl_interval_months smallint NOT NULL DEFAULT 12 CHECK (vl_interval_months IN (6, 12)),
  last_visit_at timestamptz CHECK (isfinite(last_visit_at)),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT clients_number_key UNIQUE (tenant_id, number)
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE TABLE clinic.regimens (
  tenant_id uuid NOT NULL REFERENCES clinic.facilities (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  code text NOT NULL CHECK (length(code) BETWEEN 1 AND 40),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  kind text NOT NULL CHECK (kind IN ('ARV', 'PREP')),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT regimens_code_key UNIQUE (tenant_id, code)
);
--> statement-breakpoint
CREATE TABLE clinic.enrollments (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  client_id uuid NOT NULL,
  programme text NOT NULL CHECK (programme IN ('ART', 'PREP')),
  started_on date NOT NULL CHECK (started_on BETWEEN '1900-01-01' AND '9999-12-31'),
  ended_on date CHECK (ended_on BETWEEN started_on AND '9999-12-31'),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT enrollments_once UNIQUE (tenant_id, client_id, programme, started_on),
  CONSTRAINT enrollments_client_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES clinic.clients (tenant_id, id)
);
--> statement-breakpoint
CREATE UNIQUE INDEX enrollments_one_open ON clinic.enrollments (tenant_id, client_id, programme) WHERE ended_on IS NULL;
--> statement-breakpoint
CREATE TABLE clinic.encounters (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  client_id uuid NOT NULL,
  occurred_at timestamptz NOT NULL CHECK (isfinite(occurred_at)),
  next_appointment_on date CHECK (next_appointment_on BETWEEN '1900-01-01' AND '9999-12-31'),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT encounters_client_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES clinic.clients (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX encounters_client_time ON clinic.encounters (tenant_id, client_id, occurred_at) INCLUDE (next_appointment_on);
--> statement-breakpoint
-- next_refill_on: the day that the supply ends where the caller names none.
CREATE TABLE clinic.dispenses (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  client_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('ARV', 'PREP')),
  regimen_id uuid,
  dispensed_at timestamptz NOT NULL CHECK (isfinite(dispensed_at)),
  days_supplied smallint NOT NULL CHECK (days_supplied BETWEEN 1 AND 400),
  next_refill_on date NOT NULL CHECK (next_refill_on BETWEEN '1900-01-01' AND '9999-12-31'),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT dispenses_client_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES clinic.clients (tenant_id, id),
  CONSTRAINT dispenses_regimen_fkey FOREIGN KEY (tenant_id, regimen_id) REFERENCES clinic.regimens (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX dispenses_client_time ON clinic.dispenses (tenant_id, client_id, kind, dispensed_at) INCLUDE (days_supplied, next_refill_on, regimen_id);
--> statement-breakpoint
CREATE INDEX dispenses_regimen ON clinic.dispenses (tenant_id, regimen_id);
--> statement-breakpoint
-- A sample that was drawn has comparator null until the result is there. `<20` is comparator '<', value 20; target not detected is
-- 'TND' without a value. assay_limit is the lab's limit of detection, where it gives one. CD4 in cells/mm³, VL in copies/mL.
CREATE TABLE clinic.lab_results (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  client_id uuid NOT NULL,
  test text NOT NULL CHECK (test IN ('CD4', 'VL')),
  drawn_on date NOT NULL CHECK (drawn_on BETWEEN '1900-01-01' AND '9999-12-31'),
  resulted_on date CHECK (resulted_on BETWEEN drawn_on AND '9999-12-31'),
  comparator text CHECK (comparator IN ('<', '=', '>', 'TND')),
  value integer CHECK (value >= 0),
  assay_limit integer CHECK (assay_limit > 0),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT lab_results_client_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES clinic.clients (tenant_id, id),
  CONSTRAINT lab_results_whole CHECK ((comparator IS NULL) = (resulted_on IS NULL) AND (value IS NULL) = (comparator IS NULL OR comparator = 'TND')),
  CONSTRAINT lab_results_detection CHECK (test = 'VL' OR comparator IS DISTINCT FROM 'TND')
);
--> statement-breakpoint
CREATE INDEX lab_results_client_test ON clinic.lab_results (tenant_id, client_id, test, drawn_on) INCLUDE (comparator, value, assay_limit);
--> statement-breakpoint
CREATE TABLE clinic.clinical_summaries (
  tenant_id uuid NOT NULL,
  client_id uuid NOT NULL,
  art_started_on date,
  baseline_cd4_comparator text,
  baseline_cd4 integer,
  baseline_cd4_on date,
  baseline_vl_comparator text,
  baseline_vl integer,
  baseline_vl_on date,
  latest_cd4_comparator text,
  latest_cd4 integer,
  latest_cd4_on date,
  latest_vl_comparator text,
  latest_vl integer,
  latest_vl_on date,
  vl_status text CHECK (vl_status IN ('undetectable', 'suppressed', 'unsuppressed', 'stale')),
  arv_regimen_id uuid,
  prep_regimen_id uuid,
  refreshed_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, client_id),
  CONSTRAINT clinical_summaries_client_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES clinic.clients (tenant_id, id),
  CONSTRAINT clinical_summaries_arv_fkey FOREIGN KEY (tenant_id, arv_regimen_id) REFERENCES clinic.regimens (tenant_id, id),
  CONSTRAINT clinical_summaries_prep_fkey FOREIGN KEY (tenant_id, prep_regimen_id) REFERENCES clinic.regimens (tenant_id, id)
) WITH (fillfactor = 80);
--> statement-breakpoint
-- close_reason 'hand': a person closed it, and it is not made again for that due date. With any other reason the system did, and opens it
-- again when its cause is back.
CREATE TABLE clinic.tasks (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  client_id uuid NOT NULL,
  type text NOT NULL CHECK (type IN ('LTFU_REVIEW', 'LABS_PENDING', 'VL_MONITOR', 'REFILL_ARV', 'REFILL_PREP', 'OTHER')),
  due_on date NOT NULL CHECK (due_on BETWEEN '1900-01-01' AND '9999-12-31'),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'completed', 'cancelled', 'superseded')),
  source text NOT NULL DEFAULT 'person' CHECK (source IN ('system', 'person')),
  rule text CHECK (rule IN ('no_activity', 'missed_contact', 'vl_due', 'vl_repeat', 'baseline_cd4', 'refill_due')),
  rule_days smallint,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at timestamptz,
  close_reason text CHECK (close_reason IN ('hand', 'visit', 'dispense', 'result', 'left', 'superseded', 'obsolete')),
  closed_by text,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT tasks_client_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES clinic.clients (tenant_id, id),
  CONSTRAINT tasks_closed CHECK ((status = 'open') = (closed_at IS NULL) AND (status = 'open') = (close_reason IS NULL))
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE UNIQUE INDEX tasks_identity ON clinic.tasks (tenant_id, client_id, type, due_on) WHERE type <> 'OTHER';
--> statement-breakpoint
CREATE UNIQUE INDEX tasks_one_open ON clinic.tasks (tenant_id, client_id, type) WHERE status = 'open' AND type <> 'OTHER';
--> statement-breakpoint
-- Who changed which clinical row, and which of its columns; no values. columns is null where the whole row came or went.
CREATE TABLE clinic.data_audit (
  tenant_id uuid NOT NULL,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
  actor text NOT NULL,
  table_name text NOT NULL,
  row_id uuid NOT NULL,
  operation text NOT NULL CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE')),
  columns text[],
  PRIMARY KEY (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX data_audit_row ON clinic.data_audit (tenant_id, table_name, row_id);
--> statement-breakpoint
CREATE TRIGGER data_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON clinic.data_audit FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_change();
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['facilities', 'clients', 'regimens', 'enrollments', 'encounters', 'dispenses', 'lab_results', 'clinical_summaries', 'tasks', 'data_audit'] LOOP
    EXECUTE format('ALTER TABLE clinic.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE clinic.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON clinic.%I TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))', name);
    EXECUTE format('CREATE POLICY backup ON clinic.%I FOR SELECT TO ns_backup USING (true)', name);
    IF name <> 'data_audit' THEN
      EXECUTE format('CREATE POLICY rollup ON clinic.%I FOR SELECT TO ns_rollup USING (true)', name);
      EXECUTE format('GRANT SELECT ON clinic.%I TO ns_rollup', name);
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON clinic.%I TO ns_app', name);
    END IF;
  END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT ON clinic.data_audit TO ns_app;
--> statement-breakpoint
-- Audit rows are the triggers' alone: written by a function of the owner, which nobody serves as.
CREATE POLICY writer ON clinic.data_audit FOR INSERT TO ns_owner WITH CHECK (true);
--> statement-breakpoint
GRANT SELECT ON ALL TABLES IN SCHEMA clinic TO ns_backup;
--> statement-breakpoint
-- Who acts: what the transaction says in app.actor, else the database's login.
CREATE FUNCTION clinic.actor() RETURNS text LANGUAGE sql STABLE AS
  $$ SELECT coalesce(nullif(current_setting('app.actor', true), ''), 'db:' || session_user) $$;
--> statement-breakpoint
-- The triggers work on whole statements: an import of a million rows runs each of them once.
CREATE FUNCTION clinic.write_data_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO clinic.data_audit (tenant_id, actor, table_name, row_id, operation)
    SELECT tenant_id, clinic.actor(), TG_TABLE_NAME, id, 'INSERT' FROM new_rows;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO clinic.data_audit (tenant_id, actor, table_name, row_id, operation)
    SELECT tenant_id, clinic.actor(), TG_TABLE_NAME, id, 'DELETE' FROM old_rows;
  ELSE
    -- A changed key is the end of one row and the beginning of another.
    INSERT INTO clinic.data_audit (tenant_id, actor, table_name, row_id, operation, columns)
    SELECT coalesce(o.tenant_id, n.tenant_id), clinic.actor(), TG_TABLE_NAME, coalesce(o.id, n.id),
           CASE WHEN o.id IS NULL THEN 'INSERT' WHEN n.id IS NULL THEN 'DELETE' ELSE 'UPDATE' END, changed.columns
    FROM old_rows AS o FULL JOIN new_rows AS n ON n.tenant_id = o.tenant_id AND n.id = o.id,
         LATERAL (
           SELECT array_agg(before.key ORDER BY before.key) AS columns
           FROM jsonb_each(to_jsonb(o)) AS before JOIN jsonb_each(to_jsonb(n)) AS after USING (key)
           -- last_visit_at follows from other rows, whose change is written down.
           WHERE before.value IS DISTINCT FROM after.value AND before.key <> 'last_visit_at'
         ) AS changed
    WHERE changed.columns IS NOT NULL OR o.id IS NULL OR n.id IS NULL;
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['clients', 'regimens', 'enrollments', 'encounters', 'dispenses', 'lab_results'] LOOP
    EXECUTE format('CREATE TRIGGER audit_insert AFTER INSERT ON clinic.%I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.write_data_audit()', name);
    EXECUTE format('CREATE TRIGGER audit_update AFTER UPDATE ON clinic.%I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.write_data_audit()', name);
    EXECUTE format('CREATE TRIGGER audit_delete AFTER DELETE ON clinic.%I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.write_data_audit()', name);
  END LOOP;
END $$;
--> statement-breakpoint
CREATE FUNCTION clinic.refuse_future_dates() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE found uuid;
BEGIN
  CASE TG_TABLE_NAME
    WHEN 'encounters' THEN SELECT id INTO found FROM new_rows WHERE occurred_at > clock_timestamp() LIMIT 1;
    WHEN 'dispenses' THEN SELECT id INTO found FROM new_rows WHERE dispensed_at > clock_timestamp() LIMIT 1;
    WHEN 'lab_results' THEN
      SELECT r.id INTO found FROM new_rows AS r JOIN ops.tenants AS t ON t.id = r.tenant_id
      WHERE greatest(r.drawn_on, r.resulted_on) > (clock_timestamp() AT TIME ZONE t.zone)::date LIMIT 1;
  END CASE;
  IF found IS NOT NULL THEN
    RAISE EXCEPTION 'row % of clinic.% has a date in the future', found, TG_TABLE_NAME
      USING ERRCODE = '23514', SCHEMA = 'clinic', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_not_in_future',
            HINT = 'Give the date on which it happened; a plan for later is next_appointment_on or next_refill_on.';
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['encounters', 'dispenses', 'lab_results'] LOOP
    EXECUTE format('CREATE TRIGGER a_future_insert AFTER INSERT ON clinic.%I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.refuse_future_dates()', name);
    EXECUTE format('CREATE TRIGGER a_future_update AFTER UPDATE ON clinic.%I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.refuse_future_dates()', name);
  END LOOP;
END $$;
--> statement-breakpoint
CREATE FUNCTION clinic.fill_next_refill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.next_refill_on := (NEW.dispensed_at AT TIME ZONE (SELECT zone FROM ops.tenants WHERE id = NEW.tenant_id))::date + NEW.days_supplied;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER fill_next_refill BEFORE INSERT OR UPDATE ON clinic.dispenses FOR EACH ROW WHEN (NEW.next_refill_on IS NULL) EXECUTE FUNCTION clinic.fill_next_refill();
--> statement-breakpoint
-- last_visit_at of these clients from the rows that are there; a visit later than the last one known ends the search for a lost client.
CREATE FUNCTION clinic.recompute_last_visit(tenants uuid[], clients uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- In one order, so that two imports of the same clients wait and don't deadlock; in a statement of its own, so that the next one sees the
  -- tasks of a generate-tasks batch that it waited for.
  PERFORM FROM clinic.clients AS c WHERE (c.tenant_id, c.id) IN (SELECT * FROM unnest(tenants, clients))
  ORDER BY c.tenant_id, c.id FOR NO KEY UPDATE OF c;
  WITH visited AS (
    SELECT c.tenant_id, c.id, c.last_visit_at AS before, greatest(
      (SELECT max(occurred_at) FROM clinic.encounters AS e WHERE e.tenant_id = c.tenant_id AND e.client_id = c.id),
      (SELECT max(dispensed_at) FROM clinic.dispenses AS d WHERE d.tenant_id = c.tenant_id AND d.client_id = c.id AND d.kind = 'ARV'),
      (SELECT max(dispensed_at) FROM clinic.dispenses AS d WHERE d.tenant_id = c.tenant_id AND d.client_id = c.id AND d.kind = 'PREP')) AS at
    FROM (SELECT DISTINCT pair.tenant_id, pair.id FROM unnest(tenants, clients) AS pair(tenant_id, id)) AS wanted
    JOIN clinic.clients AS c USING (tenant_id, id)
  ), set_visit AS (
    UPDATE clinic.clients AS c SET last_visit_at = v.at FROM visited AS v
    WHERE c.tenant_id = v.tenant_id AND c.id = v.id AND v.at IS DISTINCT FROM v.before
    RETURNING c.tenant_id, c.id, v.before, v.at
  )
  UPDATE clinic.tasks AS task SET status = 'completed', close_reason = 'visit' FROM set_visit AS v
  WHERE task.tenant_id = v.tenant_id AND task.client_id = v.id AND task.type = 'LTFU_REVIEW' AND task.status = 'open'
    AND v.at > coalesce(v.before, '-infinity');
END $$;
--> statement-breakpoint
CREATE FUNCTION clinic.note_visits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tenants uuid[]; clients uuid[];
BEGIN
  IF TG_OP = 'INSERT' THEN
    SELECT array_agg(tenant_id), array_agg(client_id) INTO tenants, clients FROM new_rows;
  ELSIF TG_OP = 'DELETE' THEN
    SELECT array_agg(tenant_id), array_agg(client_id) INTO tenants, clients FROM old_rows;
  ELSE
    SELECT array_agg(tenant_id), array_agg(client_id) INTO tenants, clients
    FROM (SELECT tenant_id, client_id FROM new_rows UNION SELECT tenant_id, client_id FROM old_rows) AS touched;
  END IF;
  IF tenants IS NOT NULL THEN PERFORM clinic.recompute_last_visit(tenants, clients); END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['encounters', 'dispenses'] LOOP
    EXECUTE format('CREATE TRIGGER visit_insert AFTER INSERT ON clinic.%I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.note_visits()', name);
    EXECUTE format('CREATE TRIGGER visit_update AFTER UPDATE ON clinic.%I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.note_visits()', name);
    EXECUTE format('CREATE TRIGGER visit_delete AFTER DELETE ON clinic.%I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.note_visits()', name);
  END LOOP;
END $$;
--> statement-breakpoint
-- A dispense closes the refills that it makes later than due; one that was entered late for an earlier refill closes nothing.
CREATE FUNCTION clinic.close_refills() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE clinic.tasks AS task SET status = 'completed', close_reason = 'dispense'
  FROM (SELECT tenant_id, client_id, kind, max(next_refill_on) AS next FROM new_rows GROUP BY 1, 2, 3) AS given
  WHERE task.tenant_id = given.tenant_id AND task.client_id = given.client_id AND task.type = 'REFILL_' || given.kind
    AND task.status = 'open' AND task.due_on < given.next;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER z_close_insert AFTER INSERT ON clinic.dispenses REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.close_refills();
--> statement-breakpoint
CREATE TRIGGER z_close_update AFTER UPDATE ON clinic.dispenses REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.close_refills();
--> statement-breakpoint
-- A VL result closes the client's VL tasks, a CD4 result the one that misses the baseline. The client is locked, as generate-tasks locks it:
-- a task in the making is seen and closed too. What is due all the same, the next night opens again.
CREATE FUNCTION clinic.close_lab_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM clinic.clients AS c
  WHERE (c.tenant_id, c.id) IN (SELECT tenant_id, client_id FROM new_rows) ORDER BY c.tenant_id, c.id FOR NO KEY UPDATE OF c;
  UPDATE clinic.tasks AS task SET status = 'completed', close_reason = 'result'
  FROM (SELECT DISTINCT tenant_id, client_id, test FROM new_rows WHERE comparator IS NOT NULL) AS result
  WHERE task.tenant_id = result.tenant_id AND task.client_id = result.client_id AND task.status = 'open'
    AND task.type IN ('LABS_PENDING', 'VL_MONITOR') AND (coalesce(task.rule, 'vl_due') = 'baseline_cd4') = (result.test = 'CD4');
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER z_close_insert AFTER INSERT ON clinic.lab_results REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.close_lab_tasks();
--> statement-breakpoint
CREATE TRIGGER z_close_update AFTER UPDATE ON clinic.lab_results REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.close_lab_tasks();
--> statement-breakpoint
CREATE FUNCTION clinic.close_tasks_of_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE clinic.tasks AS task SET status = 'cancelled', close_reason = 'left'
  FROM new_rows AS n JOIN old_rows AS o ON o.tenant_id = n.tenant_id AND o.id = n.id
  WHERE task.tenant_id = n.tenant_id AND task.client_id = n.id AND task.status = 'open' AND task.source = 'system'
    AND n.status IN ('died', 'transferred', 'stopped') AND o.status <> n.status;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER z_close_left AFTER UPDATE ON clinic.clients REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION clinic.close_tasks_of_left();
--> statement-breakpoint
CREATE FUNCTION clinic.stamp_close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status = 'open' THEN
    NEW.closed_at := NULL; NEW.close_reason := NULL; NEW.closed_by := NULL;
  ELSIF TG_OP = 'INSERT' OR OLD.status = 'open' THEN
    NEW.closed_at := coalesce(NEW.closed_at, clock_timestamp());
    NEW.close_reason := coalesce(NEW.close_reason, 'hand');
    NEW.closed_by := coalesce(NEW.closed_by, clinic.actor());
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER stamp_close BEFORE INSERT OR UPDATE OF status ON clinic.tasks FOR EACH ROW EXECUTE FUNCTION clinic.stamp_close();
--> statement-breakpoint
-- The dashboard. Its views belong to ns_rollup, whose policies show it every facility; ns_app has no right to them and reads the views
-- below, each of which shows the facilities of the transaction in hand.
GRANT SELECT (id, zone) ON ops.tenants TO ns_rollup;
--> statement-breakpoint
CREATE POLICY rollup ON ops.tenants FOR SELECT TO ns_rollup USING (true);
--> statement-breakpoint
GRANT CREATE ON SCHEMA clinic TO ns_rollup;
--> statement-breakpoint
SET ROLE ns_rollup;
--> statement-breakpoint
-- The instant that a refresh is as of: its run's, so that a retry counts the same days.
CREATE FUNCTION clinic.as_of() RETURNS timestamptz LANGUAGE sql STABLE AS
  $$ SELECT coalesce(nullif(current_setting('app.as_of', true), '')::timestamptz, now()) $$;
--> statement-breakpoint
CREATE MATERIALIZED VIEW clinic.mv_enrollments_by_month AS
SELECT tenant_id, date_trunc('month', started_on::timestamp)::date AS month, count(*)::int AS enrollments,
       (count(*) FILTER (WHERE programme = 'ART'))::int AS art, (count(*) FILTER (WHERE programme = 'PREP'))::int AS prep
FROM clinic.enrollments GROUP BY 1, 2;
--> statement-breakpoint
CREATE UNIQUE INDEX mv_enrollments_by_month_key ON clinic.mv_enrollments_by_month (tenant_id, month);
--> statement-breakpoint
CREATE MATERIALIZED VIEW clinic.mv_status_counts AS
SELECT tenant_id, status, count(*)::int AS clients FROM clinic.clients GROUP BY 1, 2;
--> statement-breakpoint
CREATE UNIQUE INDEX mv_status_counts_key ON clinic.mv_status_counts (tenant_id, status);
--> statement-breakpoint
CREATE MATERIALIZED VIEW clinic.mv_population_counts AS
SELECT tenant_id, key_population, count(*)::int AS clients, (count(*) FILTER (WHERE status = 'active'))::int AS active
FROM clinic.clients GROUP BY 1, 2;
--> statement-breakpoint
CREATE UNIQUE INDEX mv_population_counts_key ON clinic.mv_population_counts (tenant_id, key_population);
--> statement-breakpoint
CREATE MATERIALIZED VIEW clinic.mv_task_summary AS
SELECT tenant_id, type, status, count(*)::int AS tasks FROM clinic.tasks GROUP BY 1, 2, 3;
--> statement-breakpoint
CREATE UNIQUE INDEX mv_task_summary_key ON clinic.mv_task_summary (tenant_id, type, status);
--> statement-breakpoint
-- Suppressed % as PEPFAR's TX_PVLS: of the active ART clients with a VL result of the last 12 months, those whose latest is below 1,000.
CREATE MATERIALIZED VIEW clinic.mv_facility_metrics AS
WITH facility AS (
  SELECT f.tenant_id, (clinic.as_of() AT TIME ZONE t.zone)::date AS today
  FROM clinic.facilities AS f JOIN ops.tenants AS t ON t.id = f.tenant_id
), enrolled AS (
  SELECT DISTINCT e.tenant_id, e.client_id, e.programme, f.today
  FROM facility AS f JOIN clinic.clients AS c ON c.tenant_id = f.tenant_id AND c.status = 'active'
  JOIN clinic.enrollments AS e ON e.tenant_id = c.tenant_id AND e.client_id = c.id
  WHERE e.started_on <= f.today AND (e.ended_on IS NULL OR e.ended_on > f.today)
), tested AS (
  -- The latest by the index, client by client; sorting every result and every dispense would grow with the years.
  SELECT e.tenant_id, latest.suppressed
  FROM enrolled AS e, LATERAL (
    SELECT r.comparator IN ('TND', '<') OR (r.comparator = '=' AND r.value < 1000) AS suppressed
    FROM clinic.lab_results AS r
    WHERE r.tenant_id = e.tenant_id AND r.client_id = e.client_id AND r.test = 'VL' AND r.comparator IS NOT NULL
      AND r.drawn_on <= e.today AND r.drawn_on >= (e.today - interval '12 months')::date
    ORDER BY r.drawn_on DESC, r.resulted_on DESC, r.id DESC LIMIT 1
  ) AS latest
  WHERE e.programme = 'ART'
), refills AS (
  SELECT e.tenant_id, latest.next_refill_on < e.today AS overdue
  FROM enrolled AS e, LATERAL (
    SELECT d.next_refill_on FROM clinic.dispenses AS d
    WHERE d.tenant_id = e.tenant_id AND d.client_id = e.client_id AND d.kind = CASE e.programme WHEN 'ART' THEN 'ARV' ELSE 'PREP' END
    ORDER BY d.dispensed_at DESC, d.id DESC LIMIT 1
  ) AS latest
)
SELECT f.tenant_id,
       (SELECT count(*) FROM clinic.clients AS c WHERE c.tenant_id = f.tenant_id AND c.status = 'active')::int AS active_clients,
       coalesce(programme.art, 0)::int AS on_art, coalesce(programme.prep, 0)::int AS on_prep,
       coalesce(vl.tested, 0)::int AS vl_tested, coalesce(vl.suppressed, 0)::int AS vl_suppressed,
       round(100.0 * vl.suppressed / nullif(vl.tested, 0), 1) AS vl_suppressed_percent,
       (SELECT count(*) FROM clinic.tasks AS t WHERE t.tenant_id = f.tenant_id AND t.type = 'LTFU_REVIEW' AND t.status = 'open')::int AS ltfu_open,
       coalesce(refill.overdue, 0)::int AS refills_overdue
FROM facility AS f
LEFT JOIN (
  SELECT tenant_id, count(*) FILTER (WHERE programme = 'ART') AS art, count(*) FILTER (WHERE programme = 'PREP') AS prep FROM enrolled GROUP BY 1
) AS programme USING (tenant_id)
LEFT JOIN (SELECT tenant_id, count(*) AS tested, count(*) FILTER (WHERE suppressed) AS suppressed FROM tested GROUP BY 1) AS vl USING (tenant_id)
LEFT JOIN (SELECT tenant_id, count(*) FILTER (WHERE overdue) AS overdue FROM refills GROUP BY 1) AS refill USING (tenant_id);
--> statement-breakpoint
CREATE UNIQUE INDEX mv_facility_metrics_key ON clinic.mv_facility_metrics (tenant_id);
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['enrollments_by_month', 'status_counts', 'population_counts', 'task_summary', 'facility_metrics'] LOOP
    EXECUTE format('CREATE VIEW clinic.%1$I WITH (security_barrier) AS SELECT * FROM clinic.%2$I WHERE tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])', name, 'mv_' || name);
    EXECUTE format('GRANT SELECT ON clinic.%I TO ns_app', name);
    EXECUTE format('GRANT SELECT ON clinic.%I TO ns_backup', 'mv_' || name);
  END LOOP;
END $$;
--> statement-breakpoint
-- The one thing that a serving role may do as ns_rollup. Readers are not blocked; app.tenants is empty meanwhile, whatever the caller had set.
-- Returns the rows that the view has afterwards.
CREATE FUNCTION clinic.refresh_dashboard_view(view_name text, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE refreshed bigint; in_hand text := current_setting('app.tenants', true);
BEGIN
  IF view_name NOT IN ('mv_enrollments_by_month', 'mv_status_counts', 'mv_population_counts', 'mv_task_summary', 'mv_facility_metrics') THEN
    RAISE EXCEPTION 'no view of the dashboard is called %', quote_literal(view_name) USING ERRCODE = '22023';
  END IF;
  PERFORM set_config('app.tenants', '', true), set_config('app.as_of', at::text, true);
  EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY clinic.%I', view_name);
  EXECUTE format('SELECT count(*) FROM clinic.%I', view_name) INTO refreshed;
  PERFORM set_config('app.tenants', coalesce(in_hand, ''), true);
  RETURN refreshed;
END $$;
--> statement-breakpoint
REVOKE ALL ON FUNCTION clinic.refresh_dashboard_view(text, timestamptz) FROM PUBLIC;
--> statement-breakpoint
GRANT EXECUTE ON FUNCTION clinic.refresh_dashboard_view(text, timestamptz) TO ns_app;
--> statement-breakpoint
SET ROLE ns_owner;
--> statement-breakpoint
REVOKE CREATE ON SCHEMA clinic FROM ns_rollup;
