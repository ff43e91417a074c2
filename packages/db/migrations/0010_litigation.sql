-- The litigation system: a firm's cases, tasks and hearings, the automation rules over them, and what the jobs concluded. Run by ns_owner.
-- A firm's zone is its tenant's (ops.tenants.zone). Indian practice lives in one zone: litigation.add_firm() takes it when none is given.
CREATE SCHEMA IF NOT EXISTS litigation;
--> statement-breakpoint
GRANT USAGE ON SCHEMA litigation TO ns_app, ns_rollup, ns_backup;
--> statement-breakpoint
CREATE TABLE litigation.firms (
  tenant_id uuid PRIMARY KEY REFERENCES ops.tenants (id),
  whatsapp_enabled boolean NOT NULL DEFAULT false,
  -- Forum → list of texts: what to prepare where a hearing has no checklist of its own.
  preparation_checklists jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(preparation_checklists) = 'object'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
CREATE FUNCTION litigation.add_firm(slug text, name text, zone text DEFAULT 'Asia/Kolkata') RETURNS uuid LANGUAGE sql AS $$
  WITH tenant AS (
    INSERT INTO ops.tenants (id, system, slug, name, zone) VALUES (gen_random_uuid(), 'litigation', slug, name, zone) RETURNING id
  )
  INSERT INTO litigation.firms (tenant_id) SELECT id FROM tenant RETURNING tenant_id
$$;
--> statement-breakpoint
-- Who works at the firm. Name, address and number are envelopes (docs/security.md); `code` is what imports and people call them by.
CREATE TABLE litigation.users (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  code text NOT NULL CHECK (length(code) BETWEEN 1 AND 40),
  role text NOT NULL CHECK (role IN ('admin', 'advocate', 'staff')),
  active boolean NOT NULL DEFAULT true,
  name_enc text,
  email_enc text,
  phone_enc text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT users_code_key UNIQUE (tenant_id, code)
);
--> statement-breakpoint
-- No row: everything on.
CREATE TABLE litigation.notification_preferences (
  tenant_id uuid NOT NULL,
  user_id uuid NOT NULL,
  hearing_email boolean NOT NULL DEFAULT true,
  hearing_whatsapp boolean NOT NULL DEFAULT true,
  deadline_email boolean NOT NULL DEFAULT true,
  rule_messages boolean NOT NULL DEFAULT true,
  PRIMARY KEY (tenant_id, user_id),
  CONSTRAINT notification_preferences_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES litigation.users (tenant_id, id) ON DELETE CASCADE
);
--> statement-breakpoint
CREATE TABLE litigation.courts (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  code text NOT NULL CHECK (length(code) BETWEEN 1 AND 40),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  city text NOT NULL CHECK (length(city) BETWEEN 1 AND 100),
  address text,
  forum text NOT NULL CHECK (length(forum) BETWEEN 1 AND 60),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT courts_code_key UNIQUE (tenant_id, code)
);
--> statement-breakpoint
CREATE TABLE litigation.cases (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  case_number text NOT NULL CHECK (length(case_number) BETWEEN 1 AND 60),
  title text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
  status text NOT NULL DEFAULT 'Open' CHECK (status IN ('Open', 'In Progress', 'On Hold', 'Closed')),
  owner_id uuid NOT NULL,
  -- The advocate.
  assigned_to uuid,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT cases_number_key UNIQUE (tenant_id, case_number),
  CONSTRAINT cases_owner_fkey FOREIGN KEY (tenant_id, owner_id) REFERENCES litigation.users (tenant_id, id),
  CONSTRAINT cases_assigned_fkey FOREIGN KEY (tenant_id, assigned_to) REFERENCES litigation.users (tenant_id, id)
);
--> statement-breakpoint
CREATE TABLE litigation.sla_thresholds (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  priority text NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
  hours integer NOT NULL CHECK (hours BETWEEN 1 AND 87600),
  PRIMARY KEY (tenant_id, priority)
);
--> statement-breakpoint
CREATE TABLE litigation.automation_rules (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
  trigger_event text NOT NULL CHECK (trigger_event IN ('task_overdue', 'sla_violation', 'deadline_approaching')),
  enabled boolean NOT NULL DEFAULT true,
  -- Checked by the rule language when they are read (packages/jobs/src/litigation/rule-language.ts), not here.
  conditions jsonb NOT NULL DEFAULT '{"all": []}',
  actions jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT automation_rules_name_key UNIQUE (tenant_id, name)
);
--> statement-breakpoint
-- No index on what the SLA check writes: its updates stay heap-only (HOT), which the fillfactor leaves room for.
CREATE TABLE litigation.tasks (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  case_id uuid,
  title text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
  status text NOT NULL DEFAULT 'Pending' CHECK (status IN ('Pending', 'In Progress', 'On Hold', 'Completed', 'Cancelled')),
  priority text NOT NULL DEFAULT 'medium' CHECK (priority IN ('critical', 'high', 'medium', 'low')),
  due_date timestamptz CHECK (isfinite(due_date)),
  -- Set by law (a reply to ASMT-10, an appeal's limitation): nobody can move it.
  statutory boolean NOT NULL DEFAULT false,
  assigned_to uuid,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (isfinite(created_at)),
  -- When it was completed or cancelled; kept by the trigger where it is not given.
  closed_at timestamptz,
  -- Found past due at this time, for the due date that it has. Cleared by the trigger; each clearing is one more arming.
  overdue_at timestamptz,
  arming integer NOT NULL DEFAULT 0,
  -- The threshold, in hours, that it was last found over, and when.
  sla_violated_hours integer,
  sla_violated_at timestamptz,
  created_by_rule uuid,
  -- Rules that made it, one out of a task of the other: an end to rules that feed each other.
  automation_depth smallint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT tasks_closed CHECK ((closed_at IS NOT NULL) = (status IN ('Completed', 'Cancelled'))),
  CONSTRAINT tasks_case_fkey FOREIGN KEY (tenant_id, case_id) REFERENCES litigation.cases (tenant_id, id),
  CONSTRAINT tasks_assigned_fkey FOREIGN KEY (tenant_id, assigned_to) REFERENCES litigation.users (tenant_id, id),
  CONSTRAINT tasks_rule_fkey FOREIGN KEY (tenant_id, created_by_rule) REFERENCES litigation.automation_rules (tenant_id, id) ON DELETE SET NULL (created_by_rule)
) WITH (fillfactor = 70);
--> statement-breakpoint
CREATE INDEX tasks_due ON litigation.tasks (tenant_id, due_date) WHERE status NOT IN ('Completed', 'Cancelled');
--> statement-breakpoint
CREATE FUNCTION litigation.keep_task_state() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  closed boolean := NEW.status IN ('Completed', 'Cancelled');
BEGIN
  IF closed THEN
    IF TG_OP = 'INSERT' OR OLD.status IS DISTINCT FROM NEW.status THEN
      NEW.closed_at := CASE WHEN TG_OP = 'UPDATE' AND NEW.closed_at IS NOT DISTINCT FROM OLD.closed_at THEN clock_timestamp()
                            ELSE coalesce(NEW.closed_at, clock_timestamp()) END;
    END IF;
  ELSE
    NEW.closed_at := NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF OLD.overdue_at IS NOT NULL AND (closed OR NEW.due_date IS DISTINCT FROM OLD.due_date) THEN
      NEW.overdue_at := NULL;
      NEW.arming := OLD.arming + 1;
    END IF;
    IF NEW.status = 'Cancelled' THEN
      NEW.sla_violated_hours := NULL;
      NEW.sla_violated_at := NULL;
    END IF;
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER tasks_state BEFORE INSERT OR UPDATE OF status, due_date, closed_at ON litigation.tasks
  FOR EACH ROW EXECUTE FUNCTION litigation.keep_task_state();
--> statement-breakpoint
CREATE TABLE litigation.hearings (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  case_id uuid NOT NULL,
  court_id uuid NOT NULL,
  hearing_date timestamptz NOT NULL CHECK (isfinite(hearing_date)),
  status text NOT NULL DEFAULT 'Scheduled' CHECK (status IN ('Scheduled', 'Completed', 'Adjourned', 'Cancelled')),
  -- Null until somebody says.
  attended boolean,
  -- List of texts; null takes the firm's for the court's forum.
  checklist jsonb CHECK (jsonb_typeof(checklist) = 'array'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT hearings_case_fkey FOREIGN KEY (tenant_id, case_id) REFERENCES litigation.cases (tenant_id, id),
  CONSTRAINT hearings_court_fkey FOREIGN KEY (tenant_id, court_id) REFERENCES litigation.courts (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX hearings_date ON litigation.hearings (tenant_id, hearing_date, id);
--> statement-breakpoint
CREATE INDEX hearings_case ON litigation.hearings (tenant_id, case_id);
--> statement-breakpoint
CREATE TABLE litigation.documents (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  case_id uuid NOT NULL,
  title text NOT NULL CHECK (length(title) BETWEEN 1 AND 300),
  uploaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT documents_case_fkey FOREIGN KEY (tenant_id, case_id) REFERENCES litigation.cases (tenant_id, id)
);
--> statement-breakpoint
-- The outbox: what jobs found, for the automation rules. Written with the finding, in one transaction; `dedupe_key` says it once for ever.
CREATE TABLE litigation.events (
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  seq bigint GENERATED ALWAYS AS IDENTITY,
  type text NOT NULL CHECK (type IN ('task_overdue', 'sla_violation', 'deadline_approaching')),
  dedupe_key text NOT NULL,
  entity_type text NOT NULL CHECK (entity_type IN ('task', 'hearing')),
  entity_id uuid NOT NULL,
  payload jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  processed_at timestamptz,
  -- The run whose rules took it up, and the messages that they asked for.
  processed_by uuid,
  messages smallint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, seq),
  CONSTRAINT events_once UNIQUE (tenant_id, dedupe_key)
);
--> statement-breakpoint
CREATE INDEX events_waiting ON litigation.events (tenant_id, seq) WHERE processed_at IS NULL;
--> statement-breakpoint
CREATE INDEX events_messages ON litigation.events (tenant_id, processed_by) WHERE messages > 0;
--> statement-breakpoint
-- One row an execution of a rule; the first columns are the seed's.
CREATE TABLE litigation.automation_logs (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  rule_id uuid,
  rule_name text,
  trigger_event text,
  status text NOT NULL CHECK (status IN ('success', 'failed')),
  actions_executed jsonb NOT NULL DEFAULT '[]',
  error_message text,
  executed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  event_seq bigint,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT automation_logs_once UNIQUE (tenant_id, rule_id, event_seq),
  CONSTRAINT automation_logs_rule_fkey FOREIGN KEY (tenant_id, rule_id) REFERENCES litigation.automation_rules (tenant_id, id) ON DELETE SET NULL (rule_id)
);
--> statement-breakpoint
CREATE INDEX automation_logs_time ON litigation.automation_logs (tenant_id, executed_at);
--> statement-breakpoint
CREATE TABLE litigation.analytics_snapshots (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  tenant_id uuid NOT NULL REFERENCES litigation.firms (tenant_id),
  metric_type text NOT NULL,
  snapshot_date date NOT NULL,
  metric_value jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT analytics_snapshots_once UNIQUE (tenant_id, metric_type, snapshot_date)
);
--> statement-breakpoint
-- What each recipient was last told about a hearing, by channel. A time or court that differs from it is told anew.
CREATE TABLE litigation.hearing_reminders (
  tenant_id uuid NOT NULL,
  hearing_id uuid NOT NULL,
  user_id uuid NOT NULL,
  channel text NOT NULL CHECK (channel IN ('email', 'whatsapp')),
  hearing_date timestamptz NOT NULL,
  court_id uuid NOT NULL,
  -- Times told, this one included.
  revision integer NOT NULL DEFAULT 1,
  run_id uuid NOT NULL,
  reminded_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, hearing_id, user_id, channel),
  CONSTRAINT hearing_reminders_hearing_fkey FOREIGN KEY (tenant_id, hearing_id) REFERENCES litigation.hearings (tenant_id, id) ON DELETE CASCADE,
  CONSTRAINT hearing_reminders_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES litigation.users (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX hearing_reminders_run ON litigation.hearing_reminders (tenant_id, run_id);
--> statement-breakpoint
-- One message about deadlines a user and local day.
CREATE TABLE litigation.deadline_digests (
  tenant_id uuid NOT NULL,
  user_id uuid NOT NULL,
  digest_date date NOT NULL,
  tasks integer NOT NULL,
  hearings integer NOT NULL,
  run_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, user_id, digest_date),
  CONSTRAINT deadline_digests_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES litigation.users (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX deadline_digests_run ON litigation.deadline_digests (tenant_id, run_id);
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['firms', 'users', 'notification_preferences', 'courts', 'cases', 'sla_thresholds', 'automation_rules', 'tasks', 'hearings',
    'documents', 'events', 'automation_logs', 'analytics_snapshots', 'hearing_reminders', 'deadline_digests'] LOOP
    EXECUTE format('ALTER TABLE litigation.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE litigation.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON litigation.%I TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))', name);
    EXECUTE format('CREATE POLICY rollup ON litigation.%I FOR SELECT TO ns_rollup USING (true)', name);
    EXECUTE format('CREATE POLICY backup ON litigation.%I FOR SELECT TO ns_backup USING (true)', name);
  END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA litigation TO ns_app;
--> statement-breakpoint
GRANT SELECT ON ALL TABLES IN SCHEMA litigation TO ns_rollup, ns_backup;
--> statement-breakpoint
-- The registry, as queries written for pg_cron expect it. A number a job, as the seed's list counts them.
CREATE FUNCTION litigation.job_number(job text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT array_position(ARRAY['litigation.check-sla-and-overdue', 'litigation.send-hearing-reminders', 'litigation.analytics-snapshot',
    'litigation.check-upcoming-deadlines', 'litigation.automation-health-check'], job)::bigint
$$;
--> statement-breakpoint
-- The general schedules, one row a job: those that follow their tenants' zone stand once in ops.schedules for each zone.
CREATE VIEW litigation.cron_job AS
  SELECT DISTINCT ON (jobid) litigation.job_number(s.job) AS jobid, s.cron AS schedule,
    'POST /functions/v1/' || split_part(s.job, '.', 2) AS command, 'localhost'::text AS nodename,
    current_setting('port')::integer AS nodeport, current_database()::text AS database, 'ns_app'::text AS username,
    s.enabled AND s.paused_by IS NULL AS active, split_part(s.job, '.', 2) AS jobname
  FROM ops.schedules s WHERE s.owner_tenant IS NULL AND litigation.job_number(s.job) IS NOT NULL
  ORDER BY jobid, s.created_at;
--> statement-breakpoint
CREATE VIEW litigation.cron_job_run_details WITH (security_invoker = true) AS
  SELECT litigation.job_number(v.job) AS jobid, v.id AS runid, NULL::integer AS job_pid, current_database()::text AS database, 'ns_app'::text AS username,
    'POST /functions/v1/' || split_part(v.job, '.', 2) AS command,
    CASE WHEN v.status IN ('completed', 'completed_with_item_errors') THEN 'succeeded' WHEN v.status IN ('failed', 'cancelled') THEN 'failed'
         WHEN v.status = 'running' THEN 'running' ELSE 'starting' END AS status,
    coalesce(v.error_class || ': ' || v.error_message, format('%s processed, %s changed, %s failed', v.processed, v.changed, v.failed_items)) AS return_message,
    v.started_at AS start_time, v.ended_at AS end_time, v.tenant_id
  FROM ops.run_view v WHERE litigation.job_number(v.job) IS NOT NULL AND v.started_at IS NOT NULL;
--> statement-breakpoint
-- Executions of the jobs, with the counts of their summaries, and what they found.
CREATE VIEW litigation.audit_log WITH (security_invoker = true) AS
  SELECT r.id, r.tenant_id, 'background_job_execution'::text AS action_type, 'background_job'::text AS entity_type, r.id AS entity_id, NULL::uuid AS user_id,
    coalesce((SELECT jsonb_object_agg(lower(regexp_replace(key, '([A-Z])', '_\1', 'g')), value) FROM jsonb_each(CASE WHEN jsonb_typeof(p.result) = 'object' THEN p.result ELSE '{}' END)
              WHERE jsonb_typeof(value) IN ('number', 'boolean')), '{}')
      || jsonb_strip_nulls(jsonb_build_object('job_name', split_part(r.job, '.', 2), 'status', CASE WHEN r.outcome LIKE 'completed%' THEN 'success' ELSE 'failed' END,
           'execution_time_ms', coalesce(r.duration_ms, 0), 'error', r.error_message)) AS details,
    r.ended_at AS "timestamp"
  FROM ops.runs r LEFT JOIN ops.run_payloads p ON p.run_id = r.id WHERE litigation.job_number(r.job) IS NOT NULL
  UNION ALL
  SELECT md5(e.tenant_id || ' ' || e.seq)::uuid, e.tenant_id, e.type, e.entity_type, e.entity_id, NULL, e.payload, e.created_at FROM litigation.events e;
--> statement-breakpoint
-- What a set-up script for pg_cron calls. Schedules are changed over the API or the command line, where the change is checked, audited and
-- survives a deploy; so this answers with the job's number where the schedule is as the script wants it, and else says what to do.
CREATE FUNCTION litigation.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  job text := 'litigation.' || substring(command FROM '/functions/v1/([a-z-]+)');
  found litigation.cron_job%ROWTYPE;
BEGIN
  SELECT * INTO found FROM litigation.cron_job c WHERE c.jobid = litigation.job_number(job);
  IF found.jobid IS NULL THEN
    RAISE WARNING '%: nothing is scheduled, as the command names no job that has a schedule (litigation.cron_job lists them)', job_name;
  ELSIF found.schedule <> $2 THEN
    RAISE WARNING '%: % keeps its schedule %; change it with PATCH /v1/schedules/{id} or ''nightshift schedules edit''', job_name, job, found.schedule;
    RETURN NULL;
  END IF;
  RETURN found.jobid;
END $$;
--> statement-breakpoint
CREATE FUNCTION litigation.unschedule(job_name text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RAISE WARNING '%: nothing is unscheduled; pause a schedule with POST /v1/schedules/{id}/pause or ''nightshift schedules pause''', job_name;
  RETURN false;
END $$;
--> statement-breakpoint
GRANT SELECT ON litigation.cron_job, litigation.cron_job_run_details, litigation.audit_log TO ns_app;
--> statement-breakpoint
REVOKE ALL ON FUNCTION litigation.add_firm(text, text, text) FROM PUBLIC;
