import type { Admin } from './admin.ts';

// What the database saw, written by triggers of ours and read by nobody else: the platform's own tables cannot vouch for themselves.
//
// The job leaves a score alone that stays the same, so doing a batch twice would not show. The trigger therefore lets the scoring
// happen and keeps the old score: whoever scores a member again is seen again.
const SINK = `
CREATE SCHEMA sink;
CREATE TABLE sink.scored (tenant_id uuid NOT NULL, member_id uuid NOT NULL, score smallint, tx xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE TABLE sink.ended (run_id uuid NOT NULL, tx xid8 NOT NULL DEFAULT pg_current_xact_id());
-- A backup that cannot read every table is refused.
GRANT USAGE ON SCHEMA sink TO ns_backup;
GRANT SELECT ON sink.scored, sink.ended TO ns_backup;
CREATE FUNCTION sink.see_score() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO sink.scored (tenant_id, member_id, score) VALUES (NEW.tenant_id, NEW.id, NEW.commitment_score);
  NEW.commitment_score := OLD.commitment_score;
  RETURN NEW;
END $$;
CREATE FUNCTION sink.see_end() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO sink.ended (run_id) VALUES (NEW.run_id);
  RETURN NULL;
END $$;
CREATE TRIGGER sink_scored BEFORE UPDATE OF commitment_score ON gym.members FOR EACH ROW EXECUTE FUNCTION sink.see_score();
CREATE TRIGGER sink_ended AFTER INSERT ON ops.audit_log FOR EACH ROW WHEN (NEW.action = 'run.ended') EXECUTE FUNCTION sink.see_end();`;

/** How often members were scored. */
export interface Scorings {
  readonly activeMembers: number;
  /** Active members scored less often than asked for, summed. */
  readonly missing: number;
  /** Scorings beyond what was asked for, members who are not active included. */
  readonly extra: number;
}

export interface Effects {
  install(): Promise<void>;
  /** Forgets what was seen so far. */
  reset(): Promise<void>;
  /** `times`: how often each active member of the tenant must have been scored. */
  scorings(tenantId: string, times: number): Promise<Scorings>;
  /** Ends that were written for these runs, by run id. */
  ends(runIds: readonly string[]): Promise<ReadonlyMap<string, number>>;
}

export function createEffects(admin: Admin): Effects {
  return {
    async install() {
      await admin.rows(SINK);
    },
    async reset() {
      await admin.rows('TRUNCATE sink.scored, sink.ended');
    },
    async scorings(tenantId, times) {
      const [row] = await admin.rows<Scorings>(
        `WITH seen AS (SELECT member_id, count(*)::int AS n FROM sink.scored WHERE tenant_id = $1 GROUP BY member_id),
         active AS (SELECT id FROM gym.members WHERE tenant_id = $1 AND status = 'active'),
         judged AS (SELECT coalesce(seen.n, 0) - CASE WHEN active.id IS NULL THEN 0 ELSE $2::int END AS over FROM active FULL JOIN seen ON seen.member_id = active.id)
         SELECT (SELECT count(*)::int FROM active) AS "activeMembers",
           coalesce(sum(greatest(0, -over)), 0)::int AS missing, coalesce(sum(greatest(0, over)), 0)::int AS extra FROM judged`,
        [tenantId, times],
      );
      if (row === undefined) throw new Error('the sink did not answer');
      return row;
    },
    async ends(runIds) {
      const rows = await admin.rows<{ run_id: string; n: number }>(
        'SELECT run_id, count(*)::int AS n FROM sink.ended WHERE run_id = ANY ($1) GROUP BY run_id',
        [runIds],
      );
      return new Map(rows.map((row) => [row.run_id, row.n]));
    },
  };
}
