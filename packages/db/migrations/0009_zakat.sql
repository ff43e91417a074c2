-- The zakat system: a tenant is one user. Amounts are envelopes (`ns1.…`, AES-256-GCM) and nothing else fits their columns. Run by ns_owner.
-- A user's zone is the tenant's (ops.tenants.zone).
CREATE SCHEMA IF NOT EXISTS zakat;
--> statement-breakpoint
GRANT USAGE ON SCHEMA zakat TO ns_app, ns_rollup, ns_backup;
--> statement-breakpoint
-- day_offset: days that the user's own Hijri calendar (local moon sighting) is ahead of Umm al-Qura.
CREATE TABLE zakat.users (
  tenant_id uuid PRIMARY KEY REFERENCES ops.tenants (id),
  day_offset smallint NOT NULL DEFAULT 0 CHECK (day_offset BETWEEN -2 AND 2),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
-- reaches_nisab is one bit, so that reminders can ask to check or to pay without reading an amount. revision counts changes of the row
-- and of its payments: a summary is current when it has the same.
CREATE TABLE zakat.snapshots (
  tenant_id uuid NOT NULL REFERENCES zakat.users (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  reference text NOT NULL CHECK (length(reference) BETWEEN 1 AND 40),
  -- A date that the calendar does not reach is admitted and refused by the rules, for that snapshot alone.
  snapshot_date date NOT NULL CHECK (snapshot_date BETWEEN '1900-01-01' AND '9999-12-31'),
  finalised boolean NOT NULL DEFAULT false,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  reaches_nisab boolean,
  wealth_enc text NOT NULL CHECK (wealth_enc LIKE 'ns1.%'),
  nisab_enc text NOT NULL CHECK (nisab_enc LIKE 'ns1.%'),
  zakat_due_enc text NOT NULL CHECK (zakat_due_enc LIKE 'ns1.%'),
  revision bigint NOT NULL DEFAULT 1,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT snapshots_reference_key UNIQUE (tenant_id, reference),
  CONSTRAINT snapshots_finalised_is_judged CHECK (NOT finalised OR reaches_nisab IS NOT NULL)
) WITH (fillfactor = 80);
--> statement-breakpoint
CREATE INDEX snapshots_latest ON zakat.snapshots (tenant_id, snapshot_date DESC, id DESC) WHERE finalised;
--> statement-breakpoint
CREATE TABLE zakat.payments (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  snapshot_id uuid NOT NULL,
  reference text NOT NULL CHECK (length(reference) BETWEEN 1 AND 40),
  paid_on date NOT NULL CHECK (paid_on BETWEEN '1900-01-01' AND '9999-12-31'),
  -- In the snapshot's currency.
  amount_enc text NOT NULL CHECK (amount_enc LIKE 'ns1.%'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT payments_reference_key UNIQUE (tenant_id, reference),
  CONSTRAINT payments_snapshot_fkey FOREIGN KEY (tenant_id, snapshot_id) REFERENCES zakat.snapshots (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX payments_snapshot ON zakat.payments (tenant_id, snapshot_id, id);
--> statement-breakpoint
-- Entries of the analytics cache; one that is missing is computed again. Sixteen parts by the first digit of the user's id, because the cleanup
-- goes through users in the order of their ids and the entries of a few hundred users are all over the heap: in parts that fit into memory
-- 2 million of them are deleted with a twentieth of the reads.
CREATE TABLE zakat.analytics_metrics (
  tenant_id uuid NOT NULL REFERENCES zakat.users (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  metric text NOT NULL CHECK (length(metric) BETWEEN 1 AND 60),
  starts_on date NOT NULL,
  ends_on date NOT NULL,
  value_enc text NOT NULL CHECK (value_enc LIKE 'ns1.%'),
  computed_at timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (isfinite(computed_at)),
  PRIMARY KEY (tenant_id, id)
) PARTITION BY RANGE (tenant_id);
--> statement-breakpoint
DO $$
DECLARE digit text;
BEGIN
  FOR part IN 0..15 LOOP
    digit := to_hex(part);
    EXECUTE format('CREATE TABLE zakat.analytics_metrics_%s PARTITION OF zakat.analytics_metrics FOR VALUES FROM (%s) TO (%s)', digit,
      CASE WHEN part = 0 THEN 'MINVALUE' ELSE quote_literal(rpad(digit, 8, '0') || '-0000-0000-0000-000000000000') END,
      CASE WHEN part = 15 THEN 'MAXVALUE' ELSE quote_literal(rpad(to_hex(part + 1), 8, '0') || '-0000-0000-0000-000000000000') END);
    EXECUTE format('ALTER TABLE zakat.analytics_metrics_%s ENABLE ROW LEVEL SECURITY', digit);
    EXECUTE format('ALTER TABLE zakat.analytics_metrics_%s FORCE ROW LEVEL SECURITY', digit);
  END LOOP;
END $$;
--> statement-breakpoint
-- Pages through what is old without meeting what is not, and answers "which is the latest".
CREATE INDEX analytics_metrics_age ON zakat.analytics_metrics (tenant_id, computed_at, id);
--> statement-breakpoint
-- reminded_on is the user's local day on which it was made.
CREATE TABLE zakat.reminder_events (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  snapshot_id uuid NOT NULL,
  anniversary_on date NOT NULL,
  reminded_on date NOT NULL,
  priority text NOT NULL CHECK (priority IN ('high', 'medium', 'low')),
  title text NOT NULL,
  message text NOT NULL,
  metadata jsonb NOT NULL,
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'acknowledged', 'dismissed')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT reminder_events_once_a_day UNIQUE (tenant_id, anniversary_on, reminded_on),
  CONSTRAINT reminder_events_snapshot_fkey FOREIGN KEY (tenant_id, snapshot_id) REFERENCES zakat.snapshots (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX reminder_events_snapshot ON zakat.reminder_events (tenant_id, snapshot_id);
--> statement-breakpoint
-- The row of an envelope here is the snapshot's id.
CREATE TABLE zakat.annual_summaries (
  tenant_id uuid NOT NULL,
  snapshot_id uuid NOT NULL,
  hijri_year smallint NOT NULL,
  currency text NOT NULL,
  zakat_due_enc text NOT NULL CHECK (zakat_due_enc LIKE 'ns1.%'),
  paid_enc text NOT NULL CHECK (paid_enc LIKE 'ns1.%'),
  payments integer NOT NULL CHECK (payments >= 0),
  -- Rounded down, so that 100 is everything; null when nothing is due.
  percent_completed numeric CHECK (percent_completed >= 0),
  snapshot_revision bigint NOT NULL,
  generated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, snapshot_id),
  CONSTRAINT annual_summaries_snapshot_fkey FOREIGN KEY (tenant_id, snapshot_id) REFERENCES zakat.snapshots (tenant_id, id)
);
--> statement-breakpoint
CREATE FUNCTION zakat.note_snapshot_change() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  NEW.revision := OLD.revision + 1;
  NEW.changed_at := clock_timestamp();
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER snapshots_changed BEFORE UPDATE ON zakat.snapshots FOR EACH ROW
  WHEN ((OLD.snapshot_date, OLD.finalised, OLD.currency, OLD.reaches_nisab, OLD.wealth_enc, OLD.nisab_enc, OLD.zakat_due_enc)
    IS DISTINCT FROM (NEW.snapshot_date, NEW.finalised, NEW.currency, NEW.reaches_nisab, NEW.wealth_enc, NEW.nisab_enc, NEW.zakat_due_enc))
  EXECUTE FUNCTION zakat.note_snapshot_change();
--> statement-breakpoint
-- Once a statement, not once a row: an import of many payments touches each snapshot once.
CREATE FUNCTION zakat.note_payment_change() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    UPDATE zakat.snapshots SET revision = revision + 1, changed_at = clock_timestamp()
    WHERE (tenant_id, id) IN (SELECT tenant_id, snapshot_id FROM after_rows);
  ELSIF TG_OP = 'DELETE' THEN
    UPDATE zakat.snapshots SET revision = revision + 1, changed_at = clock_timestamp()
    WHERE (tenant_id, id) IN (SELECT tenant_id, snapshot_id FROM before_rows);
  ELSE
    UPDATE zakat.snapshots SET revision = revision + 1, changed_at = clock_timestamp()
    WHERE (tenant_id, id) IN (SELECT tenant_id, snapshot_id FROM before_rows UNION SELECT tenant_id, snapshot_id FROM after_rows);
  END IF;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER payments_inserted AFTER INSERT ON zakat.payments REFERENCING NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION zakat.note_payment_change();
--> statement-breakpoint
CREATE TRIGGER payments_edited AFTER UPDATE ON zakat.payments REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION zakat.note_payment_change();
--> statement-breakpoint
CREATE TRIGGER payments_deleted AFTER DELETE ON zakat.payments REFERENCING OLD TABLE AS before_rows
  FOR EACH STATEMENT EXECUTE FUNCTION zakat.note_payment_change();
--> statement-breakpoint
-- By name: nobody is to read a part of the cache past its parent's policies.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['users', 'snapshots', 'payments', 'analytics_metrics', 'reminder_events', 'annual_summaries'] LOOP
    EXECUTE format('ALTER TABLE zakat.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE zakat.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON zakat.%I TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))', name);
    EXECUTE format('CREATE POLICY rollup ON zakat.%I FOR SELECT TO ns_rollup USING (true)', name);
    EXECUTE format('CREATE POLICY backup ON zakat.%I FOR SELECT TO ns_backup USING (true)', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON zakat.%I TO ns_app', name);
    EXECUTE format('GRANT SELECT ON zakat.%I TO ns_rollup, ns_backup', name);
  END LOOP;
END $$;
