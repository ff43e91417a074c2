import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { activeMemberBounds, activeMembers, countActiveMembers, gymOf, MEMBERS_A_SHARD } from './active-members.ts';
import { COMMITMENT_HISTORY_DAYS, commitmentScore } from './commitment-score.ts';
import { withVisitDays } from './visit-days.ts';

// A score that stays the same is not written: a second run changes nothing, and `commitment_scored_at` tells when it became this.
const SAVE_SCORES = `
  UPDATE gym.members AS member SET commitment_score = scored.score, commitment_scored_at = $4
  FROM unnest($2::uuid[], $3::smallint[]) AS scored(id, score)
  WHERE member.tenant_id = $1 AND member.id = scored.id AND member.status = 'active'
    AND member.commitment_score IS DISTINCT FROM scored.score`;

export const commitmentScores = defineJob({
  kind: 'sweep',
  name: 'gym.commitment-scores',
  title: 'Commitment scores',
  description:
    'Scores how committed each active member is, 0 to 100, from frequency, weekly rhythm, recency and trend of visits.',
  scope: 'tenant',
  priority: 'MEDIUM',
  schedule: { cron: '0 2 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 5_000,
  maxMs: 600_000,
  input: z.strictObject({}),
  inputVersion: 1,
  count: countActiveMembers,
  items: activeMembers,
  key: (member) => member.id,
  shards: { items: MEMBERS_A_SHARD, bounds: activeMemberBounds },
  async process(ctx, members) {
    const scored = await withVisitDays(ctx, members, COMMITMENT_HISTORY_DAYS);
    const ids = scored.map((member) => member.id);
    const { rowCount } = await ctx.client.query(SAVE_SCORES, [
      gymOf(ctx).id,
      ids,
      scored.map(commitmentScore),
      ctx.now,
    ]);
    return { changed: rowCount ?? 0 };
  },
  summarize: ({ processed, changed }) => ({ membersProcessed: processed, membersUpdated: changed }),
});
