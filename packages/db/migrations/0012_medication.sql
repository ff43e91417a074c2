-- The medication system: who takes what and when, how long it lasts, what must not be taken together. Run by ns_owner.
-- Names, addresses and phone numbers are envelopes (docs/security.md); doses and supplies are clear, since rules compute on them.
CREATE SCHEMA IF NOT EXISTS medication;
--> statement-breakpoint
GRANT USAGE ON SCHEMA medication TO ns_app, ns_rollup, ns_backup;
--> statement-breakpoint
-- lead_days: a refill is asked for so many days before the supply ends; alert_days: a low supply is told so many days before that.
CREATE TABLE medication.organisations (
  tenant_id uuid PRIMARY KEY REFERENCES ops.tenants (id),
  lead_days smallint NOT NULL DEFAULT 7 CHECK (lead_days BETWEEN 0 AND 365),
  alert_days smallint NOT NULL DEFAULT 3 CHECK (alert_days BETWEEN 0 AND 365),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
-- number: how the organisation's own systems name the user. names_in_texts: the user wants medicines named in messages.
CREATE TABLE medication.users (
  tenant_id uuid NOT NULL REFERENCES medication.organisations (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  number text NOT NULL CHECK (length(number) BETWEEN 1 AND 100),
  zone text NOT NULL CHECK (length(zone) BETWEEN 1 AND 60),
  active boolean NOT NULL DEFAULT true,
  name_enc text,
  email_enc text,
  phone_enc text,
  channel text NOT NULL DEFAULT 'email' CHECK (channel IN ('email', 'whatsapp')),
  reminders_opt_in boolean NOT NULL DEFAULT true,
  names_in_texts boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT users_number_key UNIQUE (tenant_id, number)
);
--> statement-breakpoint
-- Ingredients (international names), brands, classes and properties are stored in lower case, so that they can be found by an index.
-- classes are therapeutic: two of one class double a therapy. properties (qt-prolonging, cyp3a4-inhibitor …) only take part in rules.
CREATE TABLE medication.medications (
  tenant_id uuid NOT NULL REFERENCES medication.organisations (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  ingredients text[] NOT NULL CHECK (cardinality(ingredients) BETWEEN 1 AND 20 AND array_to_string(ingredients, ';') = lower(array_to_string(ingredients, ';'))),
  brands text[] NOT NULL DEFAULT '{}' CHECK (array_to_string(brands, ';') = lower(array_to_string(brands, ';'))),
  classes text[] NOT NULL DEFAULT '{}' CHECK (array_to_string(classes, ';') = lower(array_to_string(classes, ';'))),
  properties text[] NOT NULL DEFAULT '{}' CHECK (array_to_string(properties, ';') = lower(array_to_string(properties, ';'))),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id)
);
--> statement-breakpoint
CREATE UNIQUE INDEX medications_name_key ON medication.medications (tenant_id, lower(name));
--> statement-breakpoint
CREATE INDEX medications_ingredients ON medication.medications USING gin (ingredients);
--> statement-breakpoint
CREATE INDEX medications_brands ON medication.medications USING gin (brands);
--> statement-breakpoint
-- supply_units is what was there at supply_recorded_at; units_a_day is what is used since. supply_run_id orders records: a late retry
-- does not overwrite a later one. refill_cycle counts refills: what is told once a cycle names it.
CREATE TABLE medication.user_medications (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL,
  medication_id uuid NOT NULL,
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'stopped')),
  dose text CHECK (length(dose) <= 200),
  units_a_day numeric(12,3) NOT NULL DEFAULT 0 CHECK (units_a_day >= 0),
  lead_days smallint CHECK (lead_days BETWEEN 0 AND 365),
  supply_units numeric(12,3) CHECK (supply_units >= 0),
  supply_recorded_at timestamptz CHECK (isfinite(supply_recorded_at)),
  supply_recorded_by text,
  supply_run_id uuid,
  refill_cycle integer NOT NULL DEFAULT 0,
  run_out_on date,
  refill_on date,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT user_medications_once UNIQUE (tenant_id, user_id, medication_id),
  CONSTRAINT user_medications_supply CHECK ((supply_units IS NULL) = (supply_recorded_at IS NULL)),
  CONSTRAINT user_medications_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES medication.users (tenant_id, id),
  CONSTRAINT user_medications_medication_fkey FOREIGN KEY (tenant_id, medication_id) REFERENCES medication.medications (tenant_id, id)
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE INDEX user_medications_medication ON medication.user_medications (tenant_id, medication_id);
--> statement-breakpoint
-- No dose of it before next_due_at has to be looked at; null: none will come. It is set by the reminder job, and back to now by whatever
-- changes the plan (the triggers below). times are HH:MM on the user's clock.
CREATE TABLE medication.dose_schedules (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  user_medication_id uuid NOT NULL,
  frequency text NOT NULL CHECK (frequency ~ '^(daily|as_needed|every_n_days:[1-9][0-9]{0,2}|weekdays:[a-z]{3}(,[a-z]{3}){0,6})$'),
  times text[] NOT NULL DEFAULT '{}' CHECK (cardinality(times) <= 24),
  starts_on date NOT NULL CHECK (starts_on BETWEEN '1900-01-01' AND '9999-12-31'),
  ends_on date CHECK (ends_on BETWEEN starts_on AND '9999-12-31'),
  active boolean NOT NULL DEFAULT true,
  next_due_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT dose_schedules_once UNIQUE (tenant_id, user_medication_id),
  CONSTRAINT dose_schedules_medication_fkey FOREIGN KEY (tenant_id, user_medication_id) REFERENCES medication.user_medications (tenant_id, id)
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE INDEX dose_schedules_due ON medication.dose_schedules (next_due_at) WHERE active AND next_due_at IS NOT NULL;
--> statement-breakpoint
-- One row for each dose that fell due. Its key is the local date and time of the medicine, whatever became of the schedule or the zone.
-- sent: a notification was queued; missed: seen more than an hour late, not sent; muted: the user wants none or has no address.
CREATE TABLE medication.reminders (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  user_medication_id uuid NOT NULL,
  dose_date date NOT NULL,
  dose_time text NOT NULL CHECK (dose_time ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'),
  due_at timestamptz NOT NULL CHECK (isfinite(due_at)),
  state text NOT NULL CHECK (state IN ('sent', 'missed', 'muted')),
  reason text,
  taken_at timestamptz CHECK (isfinite(taken_at)),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT reminders_once UNIQUE (tenant_id, user_medication_id, dose_date, dose_time),
  CONSTRAINT reminders_medication_fkey FOREIGN KEY (tenant_id, user_medication_id) REFERENCES medication.user_medications (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX reminders_due ON medication.reminders (tenant_id, due_at);
--> statement-breakpoint
-- Rules of an interaction table. A side is an ingredient or a class (therapeutic or property). The version that was loaded last is in force.
CREATE TABLE medication.interactions (
  tenant_id uuid NOT NULL REFERENCES medication.organisations (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  table_version text NOT NULL CHECK (length(table_version) BETWEEN 1 AND 100),
  a_kind text NOT NULL CHECK (a_kind IN ('ingredient', 'class')),
  a_name text NOT NULL CHECK (a_name = lower(a_name) AND length(a_name) BETWEEN 1 AND 200),
  b_kind text NOT NULL CHECK (b_kind IN ('ingredient', 'class')),
  b_name text NOT NULL CHECK (b_name = lower(b_name) AND length(b_name) BETWEEN 1 AND 200),
  severity text NOT NULL CHECK (severity IN ('CONTRAINDICATED', 'MAJOR', 'MODERATE', 'MINOR')),
  effect text NOT NULL CHECK (length(effect) BETWEEN 1 AND 1000),
  source text NOT NULL CHECK (length(source) BETWEEN 1 AND 1000),
  loaded_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT interactions_pair_key UNIQUE (tenant_id, table_version, a_kind, a_name, b_kind, b_name)
);
--> statement-breakpoint
CREATE INDEX interactions_loaded ON medication.interactions (tenant_id, loaded_at DESC);
--> statement-breakpoint
CREATE INDEX interactions_a ON medication.interactions (tenant_id, table_version, a_name);
--> statement-breakpoint
-- What a check found, counted: the medicines themselves are in the run's own, encrypted, record alone.
CREATE TABLE medication.interaction_checks (
  tenant_id uuid NOT NULL,
  run_id uuid NOT NULL,
  user_id uuid NOT NULL,
  checked_at timestamptz NOT NULL,
  table_version text,
  found integer NOT NULL,
  worst text CHECK (worst IN ('CONTRAINDICATED', 'MAJOR', 'MODERATE', 'MINOR')),
  complete boolean NOT NULL,
  PRIMARY KEY (tenant_id, run_id),
  CONSTRAINT interaction_checks_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES medication.users (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX interaction_checks_time ON medication.interaction_checks (tenant_id, checked_at);
--> statement-breakpoint
CREATE INDEX interaction_checks_user ON medication.interaction_checks (tenant_id, user_id);
--> statement-breakpoint
-- due: somebody should order it; done: it came. units: what came, null where the whole supply was counted anew.
CREATE TABLE medication.refills (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  user_medication_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('due', 'done')),
  due_on date,
  refilled_at timestamptz CHECK (isfinite(refilled_at)),
  units numeric(12,3) CHECK (units > 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT refills_dates CHECK (CASE state WHEN 'due' THEN due_on IS NOT NULL AND refilled_at IS NULL ELSE refilled_at IS NOT NULL END),
  CONSTRAINT refills_medication_fkey FOREIGN KEY (tenant_id, user_medication_id) REFERENCES medication.user_medications (tenant_id, id)
);
--> statement-breakpoint
CREATE UNIQUE INDEX refills_one_due ON medication.refills (tenant_id, user_medication_id) WHERE state = 'due';
--> statement-breakpoint
CREATE INDEX refills_done ON medication.refills (tenant_id, refilled_at) WHERE state = 'done';
--> statement-breakpoint
CREATE INDEX refills_medication ON medication.refills (tenant_id, user_medication_id);
--> statement-breakpoint
CREATE TABLE medication.supply_alerts (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  user_medication_id uuid NOT NULL,
  cycle integer NOT NULL,
  days_left integer NOT NULL,
  run_out_on date NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT supply_alerts_once_a_cycle UNIQUE (tenant_id, user_medication_id, cycle),
  CONSTRAINT supply_alerts_medication_fkey FOREIGN KEY (tenant_id, user_medication_id) REFERENCES medication.user_medications (tenant_id, id)
);
--> statement-breakpoint
-- A metric over [starts_at, ends_at), within one local day of the organisation. value is null where it would divide by nothing.
CREATE TABLE medication.analytics_rollups (
  tenant_id uuid NOT NULL REFERENCES medication.organisations (tenant_id),
  metric text NOT NULL CHECK (metric IN ('adherence', 'reminders_sent', 'reminders_taken', 'refills', 'interactions')),
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
  local_day date NOT NULL,
  value numeric,
  counted integer NOT NULL,
  of_total integer,
  computed_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, metric, starts_at, ends_at)
);
--> statement-breakpoint
-- Whoever changes a plan has it looked at again from now on: doses that passed under the old plan stay as they were. But a dose that is due
-- and not told yet is not to be lost to the change: while it may still be told (an hour, SPEC 3.4) the look goes back to it.
CREATE FUNCTION medication.replan_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.next_due_at := coalesce(NEW.next_due_at, clock_timestamp());
  ELSIF NEW.next_due_at IS NOT DISTINCT FROM OLD.next_due_at
    AND (NEW.frequency, NEW.times, NEW.starts_on, NEW.ends_on, NEW.active) IS DISTINCT FROM (OLD.frequency, OLD.times, OLD.starts_on, OLD.ends_on, OLD.active) THEN
    NEW.next_due_at := CASE WHEN OLD.active AND OLD.next_due_at < clock_timestamp()
      THEN greatest(OLD.next_due_at, clock_timestamp() - interval '1 hour') ELSE clock_timestamp() END;
  END IF;
  IF NEW.frequency = 'as_needed' THEN
    NEW.next_due_at := NULL;
  END IF;
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER replan BEFORE INSERT OR UPDATE ON medication.dose_schedules FOR EACH ROW EXECUTE FUNCTION medication.replan_schedule();
--> statement-breakpoint
CREATE FUNCTION medication.replan_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE medication.dose_schedules AS plan SET next_due_at = clock_timestamp()
  FROM medication.user_medications AS taken
  WHERE taken.tenant_id = NEW.tenant_id AND taken.user_id = NEW.id AND plan.tenant_id = taken.tenant_id AND plan.user_medication_id = taken.id;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER replan AFTER UPDATE OF zone, active ON medication.users FOR EACH ROW
  WHEN (NEW.zone <> OLD.zone OR (NEW.active AND NOT OLD.active)) EXECUTE FUNCTION medication.replan_user();
--> statement-breakpoint
CREATE FUNCTION medication.replan_medication() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE medication.dose_schedules SET next_due_at = clock_timestamp() WHERE tenant_id = NEW.tenant_id AND user_medication_id = NEW.id;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER replan AFTER UPDATE OF status ON medication.user_medications FOR EACH ROW
  WHEN (NEW.status = 'active' AND OLD.status <> 'active') EXECUTE FUNCTION medication.replan_medication();
--> statement-breakpoint
-- A refill that came begins a new cycle: it adds its units to what is left by then, closes what was due, and arms the alert again.
CREATE FUNCTION medication.begin_refill_cycle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE medication.user_medications AS taken
  SET refill_cycle = taken.refill_cycle + 1,
      supply_units = CASE WHEN NEW.units IS NULL THEN taken.supply_units ELSE NEW.units + greatest(0, coalesce(taken.supply_units, 0)
        - taken.units_a_day * greatest(0, (NEW.refilled_at AT TIME ZONE u.zone)::date - (coalesce(taken.supply_recorded_at, NEW.refilled_at) AT TIME ZONE u.zone)::date)) END,
      supply_recorded_at = CASE WHEN NEW.units IS NULL THEN taken.supply_recorded_at ELSE greatest(NEW.refilled_at, taken.supply_recorded_at) END
  FROM medication.users AS u
  WHERE taken.tenant_id = NEW.tenant_id AND taken.id = NEW.user_medication_id AND u.tenant_id = taken.tenant_id AND u.id = taken.user_id;
  DELETE FROM medication.refills WHERE tenant_id = NEW.tenant_id AND user_medication_id = NEW.user_medication_id AND state = 'due';
  UPDATE medication.supply_alerts SET state = 'closed'
  WHERE tenant_id = NEW.tenant_id AND user_medication_id = NEW.user_medication_id AND state = 'open';
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER begin_cycle_inserted AFTER INSERT ON medication.refills FOR EACH ROW
  WHEN (NEW.state = 'done') EXECUTE FUNCTION medication.begin_refill_cycle();
--> statement-breakpoint
CREATE TRIGGER begin_cycle_updated AFTER UPDATE OF state ON medication.refills FOR EACH ROW
  WHEN (NEW.state = 'done' AND OLD.state = 'due') EXECUTE FUNCTION medication.begin_refill_cycle();
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['organisations', 'users', 'medications', 'user_medications', 'dose_schedules', 'reminders', 'interactions',
    'interaction_checks', 'refills', 'supply_alerts', 'analytics_rollups'] LOOP
    EXECUTE format('ALTER TABLE medication.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE medication.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON medication.%I TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))', name);
    EXECUTE format('CREATE POLICY rollup ON medication.%I FOR SELECT TO ns_rollup USING (true)', name);
    EXECUTE format('CREATE POLICY backup ON medication.%I FOR SELECT TO ns_backup USING (true)', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON medication.%I TO ns_app', name);
    EXECUTE format('GRANT SELECT ON medication.%I TO ns_rollup, ns_backup', name);
  END LOOP;
END $$;
