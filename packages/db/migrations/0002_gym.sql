-- The gym system: who trains where, when they came, and what the nightly jobs concluded. Run by ns_owner.
-- A gym's zone is its tenant's (ops.tenants.zone): one place, so that rules, schedules and imports cannot disagree.
CREATE SCHEMA IF NOT EXISTS gym;
--> statement-breakpoint
GRANT USAGE ON SCHEMA gym TO ns_app, ns_rollup, ns_backup;
--> statement-breakpoint
CREATE TABLE gym.gyms (
  tenant_id uuid PRIMARY KEY REFERENCES ops.tenants (id),
  opened_on date NOT NULL CHECK (opened_on BETWEEN '1900-01-01' AND '9999-12-31'),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
--> statement-breakpoint
-- No index on a score or level: nightly updates then stay heap-only (HOT), which the fillfactor leaves room for.
CREATE TABLE gym.members (
  tenant_id uuid NOT NULL REFERENCES gym.gyms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  number text NOT NULL CHECK (length(number) BETWEEN 1 AND 40),
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'frozen', 'left')),
  -- Finite and of four digits, so that day arithmetic over a page of members cannot fail for all of them. A date far ahead is
  -- admitted and rejected by the rules, for that member alone.
  joined_on date NOT NULL CHECK (joined_on BETWEEN '1900-01-01' AND '9999-12-31'),
  commitment_score smallint CHECK (commitment_score BETWEEN 0 AND 100),
  commitment_scored_at timestamptz,
  churn_risk smallint CHECK (churn_risk BETWEEN 0 AND 100),
  risk_level text CHECK (risk_level IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL')),
  risk_scored_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT members_number_key UNIQUE (tenant_id, number)
) WITH (fillfactor = 70);
--> statement-breakpoint
-- A visit that was booked and missed (a no-show) has attended = false.
CREATE TABLE gym.visits (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  member_id uuid NOT NULL,
  visited_at timestamptz NOT NULL CHECK (isfinite(visited_at)),
  attended boolean NOT NULL DEFAULT true,
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT visits_member_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES gym.members (tenant_id, id)
);
--> statement-breakpoint
-- Answers "on which days did these members come" from the index alone.
CREATE UNIQUE INDEX visits_member_time ON gym.visits (tenant_id, member_id, visited_at) INCLUDE (attended);
--> statement-breakpoint
CREATE TABLE gym.coaches (
  tenant_id uuid NOT NULL REFERENCES gym.gyms (tenant_id),
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  number text NOT NULL CHECK (length(number) BETWEEN 1 AND 40),
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT coaches_number_key UNIQUE (tenant_id, number)
);
--> statement-breakpoint
CREATE TABLE gym.coach_members (
  tenant_id uuid NOT NULL,
  coach_id uuid NOT NULL,
  member_id uuid NOT NULL,
  assigned_on date NOT NULL DEFAULT current_date,
  PRIMARY KEY (tenant_id, coach_id, member_id),
  CONSTRAINT coach_members_coach_fkey FOREIGN KEY (tenant_id, coach_id) REFERENCES gym.coaches (tenant_id, id),
  CONSTRAINT coach_members_member_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES gym.members (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX coach_members_member ON gym.coach_members (tenant_id, member_id);
--> statement-breakpoint
-- What a coach is asked to do on one local day of the gym, with the risk that was the reason.
CREATE TABLE gym.coach_actions (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  coach_id uuid NOT NULL,
  member_id uuid NOT NULL,
  action_date date NOT NULL,
  kind text NOT NULL CHECK (kind IN ('call', 'message')),
  churn_risk smallint NOT NULL CHECK (churn_risk BETWEEN 0 AND 100),
  risk_level text NOT NULL CHECK (risk_level IN ('HIGH', 'CRITICAL')),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'dismissed')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CONSTRAINT coach_actions_once_a_day UNIQUE (tenant_id, coach_id, member_id, action_date),
  CONSTRAINT coach_actions_coach_fkey FOREIGN KEY (tenant_id, coach_id) REFERENCES gym.coaches (tenant_id, id),
  CONSTRAINT coach_actions_member_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES gym.members (tenant_id, id)
);
--> statement-breakpoint
CREATE INDEX coach_actions_member ON gym.coach_actions (tenant_id, member_id);
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['gyms', 'members', 'visits', 'coaches', 'coach_members', 'coach_actions'] LOOP
    EXECUTE format('ALTER TABLE gym.%I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE gym.%I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY tenant ON gym.%I TO ns_app USING (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[])) WITH CHECK (tenant_id = ANY ((SELECT ops.current_tenants())::uuid[]))', name);
    EXECUTE format('CREATE POLICY rollup ON gym.%I FOR SELECT TO ns_rollup USING (true)', name);
    EXECUTE format('CREATE POLICY backup ON gym.%I FOR SELECT TO ns_backup USING (true)', name);
  END LOOP;
END $$;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA gym TO ns_app;
--> statement-breakpoint
GRANT SELECT ON ALL TABLES IN SCHEMA gym TO ns_rollup, ns_backup;
