import type { SweepContext } from '@nightshift/engine';
import { firmOf } from './firm-of.ts';
import { MESSAGES_A_RUN } from './plan-rules.ts';

/** SPEC 3.3: hearings that one run takes at most. */
export const HEARINGS_A_RUN = 100;

/** A hearing that somebody has yet to be told about. */
export interface DueHearing {
  /** Its time (UTC, microseconds) and id: the order in which they are taken, soonest first. */
  readonly key: string;
  readonly id: string;
  /** Recipients and channels that are missing. */
  readonly messages: number;
}

/**
 * Who is to be told what: owner and advocate of hearings today and tomorrow (the firm's days) that are not past, on each channel that the firm
 * and the person have, unless what they were last told is still so. `$1` firm, `$2` now, `$3` zone.
 */
export const WANTED = `
  SELECT h.id AS hearing_id, h.hearing_date, h.court_id, u.id AS user_id, via.channel
  FROM litigation.hearings h
  JOIN litigation.cases c ON c.tenant_id = h.tenant_id AND c.id = h.case_id
  JOIN litigation.firms f ON f.tenant_id = h.tenant_id
  JOIN litigation.users u ON u.tenant_id = h.tenant_id AND u.id IN (c.owner_id, c.assigned_to) AND u.active
  LEFT JOIN litigation.notification_preferences p ON p.tenant_id = u.tenant_id AND p.user_id = u.id
  CROSS JOIN (VALUES ('email'), ('whatsapp')) AS via(channel)
  LEFT JOIN litigation.hearing_reminders told ON told.tenant_id = h.tenant_id AND told.hearing_id = h.id AND told.user_id = u.id AND told.channel = via.channel
  WHERE h.tenant_id = $1 AND h.status = 'Scheduled' AND h.hearing_date > $2::timestamptz
    AND h.hearing_date < (($2::timestamptz AT TIME ZONE $3)::date + 2)::timestamp AT TIME ZONE $3
    AND CASE via.channel WHEN 'email' THEN u.email_enc IS NOT NULL AND coalesce(p.hearing_email, true)
                         ELSE f.whatsapp_enabled AND u.phone_enc IS NOT NULL AND coalesce(p.hearing_whatsapp, true) END
    AND (told.hearing_id IS NULL OR told.hearing_date <> h.hearing_date OR told.court_id <> h.court_id)`;

const PAGE = `
SELECT to_char(hearing_date AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '/' || hearing_id AS key, hearing_id AS id, count(*)::int AS messages
FROM (${WANTED}) AS wanted
WHERE $4::timestamptz IS NULL OR (hearing_date, hearing_id) > ($4::timestamptz, $5::uuid)
GROUP BY hearing_date, hearing_id ORDER BY hearing_date, hearing_id LIMIT $6`;

const TAKEN = `
SELECT count(*)::int AS messages, count(DISTINCT hearing_id)::int AS hearings FROM litigation.hearing_reminders WHERE tenant_id = $1 AND run_id = $2`;

/** What this run may still take after `after`, and whether that leaves any over. */
export async function dueHearings(
  ctx: SweepContext<unknown>,
  after: string | null,
  limit: number,
): Promise<{ readonly taken: readonly DueHearing[]; readonly more: boolean }> {
  const firm = firmOf(ctx);
  const { rows: made } = await ctx.client.query<{ messages: number; hearings: number }>(TAKEN, [firm.id, ctx.runId]);
  const hearings = Math.min(limit, HEARINGS_A_RUN - (made[0]?.hearings ?? 0));
  const [time = null, id = null] = after?.split('/') ?? [];
  const values = [firm.id, ctx.now, firm.zone, time, id, Math.max(0, hearings) + 1];
  const { rows } = await ctx.client.query<DueHearing>(PAGE, values);
  let room = MESSAGES_A_RUN - (made[0]?.messages ?? 0);
  const taken: DueHearing[] = [];
  for (const hearing of rows.slice(0, Math.max(0, hearings))) {
    room -= hearing.messages;
    if (room < 0) break;
    taken.push(hearing);
  }
  // A page that is full of what fits is followed by the next page, not by another run.
  const cut = room < 0 || hearings < limit;
  return { taken, more: cut && rows.length > taken.length };
}
