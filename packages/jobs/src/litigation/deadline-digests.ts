import { localDate, type SweepContext } from '@nightshift/engine';
import { addressesOf } from './addresses.ts';
import { APPROACHING } from './approaching.ts';
import { type Deadline, deadlineLines } from './deadline-lines.ts';
import { firmOf } from './firm-of.ts';
import type { Phase } from './phases.ts';
import { MESSAGES_A_RUN } from './plan-rules.ts';
import { deadlineDigest } from './templates.ts';

/** Id of the last user that the run before wrote to, for a follow-up run. */
interface DigestInput {
  readonly after?: string | undefined;
}

// Whose it is: a task is its assignee's, else the case owner's; a hearing is the owner's and the advocate's.
const THEIRS = `
  SELECT u.id AS user_id, a.kind, a.id, a.due, t.priority, coalesce(t.statutory, false) AS statutory,
    coalesce(t.title, c.case_number || ' ' || c.title) AS title, court.name || ' ' || court.city AS court
  FROM (${APPROACHING}) AS a
  LEFT JOIN litigation.tasks t ON t.tenant_id = $1 AND a.kind = 'task' AND t.id = a.id
  LEFT JOIN litigation.hearings h ON h.tenant_id = $1 AND a.kind = 'hearing' AND h.id = a.id
  LEFT JOIN litigation.courts court ON court.tenant_id = $1 AND court.id = h.court_id
  LEFT JOIN litigation.cases c ON c.tenant_id = $1 AND c.id = coalesce(t.case_id, h.case_id)
  JOIN litigation.users u ON u.tenant_id = $1 AND u.active AND u.email_enc IS NOT NULL
    AND CASE a.kind WHEN 'task' THEN u.id = coalesce(t.assigned_to, c.owner_id) ELSE u.id IN (c.owner_id, c.assigned_to) END
  LEFT JOIN litigation.notification_preferences p ON p.tenant_id = $1 AND p.user_id = u.id
  WHERE coalesce(p.deadline_email, true)`;

const PAGE = `
SELECT DISTINCT user_id AS id FROM (${THEIRS}) AS theirs
WHERE ($4::uuid IS NULL OR user_id > $4::uuid)
  AND NOT EXISTS (SELECT FROM litigation.deadline_digests d WHERE d.tenant_id = $1 AND d.user_id = theirs.user_id AND d.digest_date = $3)
ORDER BY user_id LIMIT $5`;

const REMEMBER = `
WITH theirs AS (${THEIRS} AND u.id = ANY ($4::uuid[])), digest AS (
  INSERT INTO litigation.deadline_digests (tenant_id, user_id, digest_date, tasks, hearings, run_id)
  SELECT $1, user_id, $3, count(*) FILTER (WHERE kind = 'task'), count(*) FILTER (WHERE kind = 'hearing'), $5 FROM theirs GROUP BY user_id ORDER BY user_id
  ON CONFLICT DO NOTHING RETURNING user_id
)
SELECT theirs.user_id AS "userId", kind, id, due, priority, statutory, title, court FROM theirs JOIN digest USING (user_id) ORDER BY user_id, due, id`;

const MADE = `
SELECT (SELECT count(*) FROM litigation.deadline_digests WHERE tenant_id = $1 AND run_id = $2)::int AS digests,
  (SELECT coalesce(sum(messages), 0) FROM litigation.events WHERE tenant_id = $1 AND processed_by = $2 AND messages > 0)::int AS others`;

/** Digests that a run has made. */
export async function digestsOf(ctx: SweepContext<unknown>): Promise<number> {
  return (await made(ctx)).digests;
}

async function made(ctx: SweepContext<unknown>): Promise<{ digests: number; others: number }> {
  const { rows } = await ctx.client.query<{ digests: number; others: number }>(MADE, [firmOf(ctx).id, ctx.runId]);
  return rows[0] ?? { digests: 0, others: 0 };
}

/** Users whom this run may still write to, and whether that leaves some over. */
async function dueUsers(ctx: SweepContext<DigestInput>, after: string | null, limit: number) {
  const { digests, others } = await made(ctx);
  const room = Math.max(0, Math.min(limit, MESSAGES_A_RUN - digests - others));
  const { rows } = await ctx.client.query<{ id: string }>(PAGE, [...basis(ctx), after, room + 1]);
  const ids = rows.slice(0, room).map((row) => row.id);
  return { ids, more: room < limit && rows.length > room };
}

function basis(ctx: SweepContext<unknown>) {
  const firm = firmOf(ctx);
  return [firm.id, ctx.now, localDate(ctx.now, firm.zone)];
}

/** One message a user and local day with all that is due to them. */
export const deadlineDigests: Phase<DigestInput> = {
  async count(ctx) {
    return (await dueUsers(ctx, ctx.input.after ?? null, MESSAGES_A_RUN)).ids.length;
  },
  async page(ctx, after, limit) {
    const from = after ?? ctx.input.after ?? null;
    const { ids, more } = await dueUsers(ctx, from, limit);
    if (more) await ctx.followUp({ input: { after: ids.at(-1) ?? from ?? undefined } });
    return ids;
  },
  async process(ctx, ids) {
    const firm = firmOf(ctx);
    const { rows } = await ctx.client.query<Deadline & { userId: string }>(REMEMBER, [...basis(ctx), ids, ctx.runId]);
    const byUser = new Map<string, Deadline[]>();
    for (const row of rows) byUser.set(row.userId, [...(byUser.get(row.userId) ?? []), row]);
    const addresses = await addressesOf(ctx, firm.id, 'email', [...byUser.keys()]);
    const day = localDate(ctx.now, firm.zone);
    const messages = [...byUser].map(([userId, deadlines]) => ({
      tenantId: firm.id,
      dedupeKey: `deadline-digest:${userId}:${day}`,
      channel: 'email' as const,
      to: addresses.get(userId) ?? '',
      template: deadlineDigest.name,
      data: deadlineLines(deadlines, ctx.now, firm.zone),
      userKey: userId,
    }));
    if (messages.length > 0) await ctx.notify(messages);
    return { changed: messages.length, tally: { digests: messages.length } };
  },
};
