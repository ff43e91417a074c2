import { defineJob, type NewNotification, type SweepContext } from '@nightshift/engine';
import { z } from 'zod';
import { addressesOf } from './addresses.ts';
import { appUrl } from './app-url.ts';
import { type DueHearing, dueHearings, HEARINGS_A_RUN, WANTED } from './due-hearings.ts';
import { firmOf } from './firm-of.ts';
import { calendarDay, clockTime } from './local-time.ts';
import { MESSAGES_A_RUN } from './plan-rules.ts';
import { hearingReminder } from './templates.ts';

const REMEMBER = `
WITH wanted AS (${WANTED} AND h.id = ANY ($4::uuid[])), told AS (
  INSERT INTO litigation.hearing_reminders AS r (tenant_id, hearing_id, user_id, channel, hearing_date, court_id, run_id, reminded_at)
  SELECT $1, hearing_id, user_id, channel, hearing_date, court_id, $5, $2 FROM wanted ORDER BY hearing_id, user_id, channel
  ON CONFLICT (tenant_id, hearing_id, user_id, channel) DO UPDATE
    SET hearing_date = excluded.hearing_date, court_id = excluded.court_id, revision = r.revision + 1, run_id = excluded.run_id, reminded_at = excluded.reminded_at
    WHERE (r.hearing_date, r.court_id) IS DISTINCT FROM (excluded.hearing_date, excluded.court_id)
  RETURNING hearing_id, user_id, channel, hearing_date, court_id, revision
)
SELECT told.hearing_id AS "hearingId", told.user_id AS "userId", told.channel, told.hearing_date AS at, told.revision, c.case_number AS "caseNumber",
  c.title AS "caseTitle", court.name AS court, court.city, court.address, coalesce(h.checklist, f.preparation_checklists -> court.forum, '[]') AS checklist
FROM told
JOIN litigation.hearings h ON h.tenant_id = $1 AND h.id = told.hearing_id
JOIN litigation.cases c ON c.tenant_id = $1 AND c.id = h.case_id
JOIN litigation.courts court ON court.tenant_id = $1 AND court.id = told.court_id
JOIN litigation.firms f ON f.tenant_id = $1
ORDER BY told.hearing_date, told.hearing_id, told.user_id, told.channel`;

interface Reminder {
  readonly hearingId: string;
  readonly userId: string;
  readonly channel: 'email' | 'whatsapp';
  readonly at: Date;
  readonly revision: number;
  readonly caseNumber: string;
  readonly caseTitle: string;
  readonly court: string;
  readonly city: string;
  readonly address: string | null;
  readonly checklist: unknown;
}

export const sendHearingReminders = defineJob({
  kind: 'sweep',
  name: 'litigation.send-hearing-reminders',
  title: 'Hearing reminders',
  description:
    'Reminds case owner and advocate of hearings today and tomorrow, once for each time and court that a hearing has.',
  scope: 'tenant',
  priority: 'HIGH',
  schedule: { cron: '0 8 * * *', zone: 'tenant', misfire: { policy: 'latest', within: 'same-day' }, overlap: 'skip' },
  typicalMs: 15_000,
  maxMs: 30_000,
  /** `after`: key of the last hearing that the run before took, for a follow-up run. */
  input: z.strictObject({
    after: z
      .string()
      .max(100)
      .regex(/^[^/]+\/[0-9a-f-]{36}$/)
      .optional(),
  }),
  inputVersion: 1,
  options: { batchSize: HEARINGS_A_RUN },
  decrypts: true,
  maxNotifications: MESSAGES_A_RUN,
  async count(ctx) {
    return (await dueHearings(ctx, ctx.input.after ?? null, HEARINGS_A_RUN)).taken.length;
  },
  async items(ctx, after, limit) {
    const from = after ?? ctx.input.after ?? null;
    const { taken, more } = await dueHearings(ctx, from, limit);
    // Asked for before they are processed: one that fails must not keep the rest from being told.
    if (more) await ctx.followUp({ input: { after: taken.at(-1)?.key ?? from ?? undefined } });
    return taken;
  },
  key: (hearing) => hearing.key,
  async process(ctx, hearings: readonly DueHearing[]) {
    const firm = firmOf(ctx);
    const { rows } = await ctx.client.query<Reminder>(REMEMBER, [
      firm.id,
      ctx.now,
      firm.zone,
      hearings.map((hearing) => hearing.id),
      ctx.runId,
    ]);
    const emails = await notificationsOf(ctx, 'email', rows);
    const whatsapps = await notificationsOf(ctx, 'whatsapp', rows);
    if (rows.length > 0) await ctx.notify([...emails, ...whatsapps]);
    return { changed: rows.length, tally: { emails: emails.length, whatsapps: whatsapps.length } };
  },
  summarize: ({ processed, tally }) => ({
    hearingsProcessed: processed,
    emailsCreated: tally.emails ?? 0,
    whatsappsCreated: tally.whatsapps ?? 0,
  }),
});

async function notificationsOf(
  ctx: SweepContext<unknown>,
  channel: 'email' | 'whatsapp',
  reminders: readonly Reminder[],
): Promise<NewNotification[]> {
  const firm = firmOf(ctx);
  const chosen = reminders.filter((reminder) => reminder.channel === channel);
  const userIds = chosen.map((reminder) => reminder.userId);
  const addresses = await addressesOf(ctx, firm.id, channel, userIds);
  return chosen.map((reminder) => ({
    tenantId: firm.id,
    dedupeKey: `hearing-reminder:${reminder.hearingId}:${reminder.userId}:${channel}:${reminder.at.toISOString()}:${reminder.revision}`,
    channel,
    to: addresses.get(reminder.userId) ?? '',
    template: hearingReminder.name,
    data: {
      caseNumber: reminder.caseNumber,
      caseTitle: reminder.caseTitle,
      date: calendarDay(reminder.at, firm.zone),
      time: clockTime(reminder.at, firm.zone),
      court: reminder.court,
      city: reminder.city,
      address: reminder.address,
      checklist: textsOf(reminder.checklist),
      rescheduled: reminder.revision > 1,
      url: appUrl(`/hearings/${reminder.hearingId}`),
    },
    notAfter: reminder.at,
    userKey: reminder.userId,
  }));
}

/** The entries of a stored list that are texts. */
function textsOf(list: unknown): string[] {
  return Array.isArray(list) ? list.filter((entry) => typeof entry === 'string' && entry !== '') : [];
}
