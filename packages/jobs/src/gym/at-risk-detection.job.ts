import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { activeMemberBounds, activeMembers, countActiveMembers, gymOf, MEMBERS_A_SHARD } from './active-members.ts';
import { churnRisk, RISK_HISTORY_DAYS } from './churn-risk.ts';
import { medianNewcomerWeekly } from './median-newcomer.ts';
import { withVisitDays } from './visit-days.ts';

const SAVE_RISKS = `
  UPDATE gym.members AS member SET churn_risk = judged.risk, risk_level = judged.level, risk_scored_at = $5
  FROM unnest($2::uuid[], $3::smallint[], $4::text[]) AS judged(id, risk, level)
  WHERE member.tenant_id = $1 AND member.id = judged.id AND member.status = 'active'
    AND (member.churn_risk, member.risk_level) IS DISTINCT FROM (judged.risk, judged.level)`;

export const atRiskDetection = defineJob({
  kind: 'sweep',
  name: 'gym.at-risk-detection',
  title: 'At-risk detection',
  description: "Compares each active member's last 30 days with their own habit: churn risk 0 to 100, LOW to CRITICAL.",
  scope: 'tenant',
  priority: 'MEDIUM',
  schedule: {
    cron: '0 3 * * *',
    zone: 'UTC',
    misfire: { policy: 'latest' },
    overlap: 'skip',
    after: 'gym.commitment-scores',
  },
  typicalMs: 5_000,
  maxMs: 600_000,
  input: z.strictObject({}),
  inputVersion: 1,
  count: countActiveMembers,
  items: activeMembers,
  key: (member) => member.id,
  shards: { items: MEMBERS_A_SHARD, bounds: activeMemberBounds },
  async process(ctx, members) {
    const newcomerWeekly = await medianNewcomerWeekly(ctx);
    const histories = await withVisitDays(ctx, members, RISK_HISTORY_DAYS);
    const risks = histories.map((member) => churnRisk(member, newcomerWeekly));
    const { rowCount } = await ctx.client.query(SAVE_RISKS, [
      gymOf(ctx).id,
      histories.map((member) => member.id),
      risks.map(({ risk }) => risk),
      risks.map(({ level }) => level),
      ctx.now,
    ]);
    return { changed: rowCount ?? 0 };
  },
  summarize: ({ processed, changed }) => ({ membersProcessed: processed, membersUpdated: changed }),
});
