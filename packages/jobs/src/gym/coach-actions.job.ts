import { RISK_LEVELS } from '@nightshift/db/gym';
import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { gymOf } from './active-members.ts';
import { coachAction } from './coach-action.ts';

const COUNT_COACHES = 'SELECT count(*)::int AS count FROM gym.coaches WHERE tenant_id = $1 AND active';

const PAGE_OF_COACHES = `
  SELECT id FROM gym.coaches
  WHERE tenant_id = $1 AND active AND ($2::uuid IS NULL OR id > $2::uuid)
  ORDER BY id LIMIT $3`;

// The members of a coach, thousands perhaps, never leave Postgres.
const MAKE_ACTIONS = `
  INSERT INTO gym.coach_actions (tenant_id, coach_id, member_id, action_date, kind, churn_risk, risk_level)
  SELECT member.tenant_id, assigned.coach_id, member.id, ($3::timestamptz AT TIME ZONE $4)::date, advice.kind, member.churn_risk, member.risk_level
  FROM gym.coach_members AS assigned
  JOIN gym.members AS member ON member.tenant_id = assigned.tenant_id AND member.id = assigned.member_id AND member.status = 'active'
  JOIN unnest($5::text[], $6::text[]) AS advice(level, kind) ON advice.level = member.risk_level
  WHERE assigned.tenant_id = $1 AND assigned.coach_id = ANY ($2::uuid[])
  ORDER BY assigned.coach_id, member.id
  ON CONFLICT ON CONSTRAINT coach_actions_once_a_day DO NOTHING`;

const ADVICE = RISK_LEVELS.flatMap((level) => {
  const kind = coachAction(level);
  return kind === null ? [] : [{ level, kind }];
});

export const coachActions = defineJob({
  kind: 'sweep',
  name: 'gym.coach-actions',
  title: 'Coach actions',
  description: 'Gives each coach one action for each assigned active member at risk, once per local day of the gym.',
  scope: 'tenant',
  priority: 'HIGH',
  schedule: {
    cron: '0 4 * * *',
    zone: 'UTC',
    misfire: { policy: 'latest', within: 'same-day' },
    overlap: 'skip',
    after: 'gym.at-risk-detection',
  },
  typicalMs: 5_000,
  maxMs: 600_000,
  input: z.strictObject({}),
  inputVersion: 1,
  async count(ctx) {
    const { rows } = await ctx.client.query<{ count: number }>(COUNT_COACHES, [gymOf(ctx).id]);
    return rows[0]?.count ?? 0;
  },
  async items(ctx, after, limit) {
    const { rows } = await ctx.client.query<{ id: string }>(PAGE_OF_COACHES, [gymOf(ctx).id, after, limit]);
    return rows;
  },
  key: (coach) => coach.id,
  async process(ctx, coaches) {
    const gym = gymOf(ctx);
    const { rowCount } = await ctx.client.query(MAKE_ACTIONS, [
      gym.id,
      coaches.map((coach) => coach.id),
      ctx.now,
      gym.zone,
      ADVICE.map(({ level }) => level),
      ADVICE.map(({ kind }) => kind),
    ]);
    return { changed: rowCount ?? 0 };
  },
  summarize: ({ processed, changed }) => ({ coachesProcessed: processed, actionsCreated: changed }),
});
