import { defineJob } from '@nightshift/engine';
import { z } from 'zod';
import { type AnnualSummary, summariesOf } from './annual-summary.ts';
import { changedSnapshots, countChangedSnapshots, recordsByUser } from './changed-snapshots.ts';

// Two runs at once: the one that read the later revision stays.
const SAVE_SUMMARIES = `
  INSERT INTO zakat.annual_summaries AS summary
    (tenant_id, snapshot_id, hijri_year, currency, zakat_due_enc, paid_enc, payments, percent_completed, snapshot_revision, generated_at)
  SELECT made.*, $10 FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::int[], $8::numeric[], $9::bigint[])
    AS made(tenant_id, snapshot_id, hijri_year, currency, zakat_due_enc, paid_enc, payments, percent_completed, snapshot_revision)
  ON CONFLICT (tenant_id, snapshot_id) DO UPDATE SET hijri_year = EXCLUDED.hijri_year, currency = EXCLUDED.currency,
    zakat_due_enc = EXCLUDED.zakat_due_enc, paid_enc = EXCLUDED.paid_enc, payments = EXCLUDED.payments,
    percent_completed = EXCLUDED.percent_completed, snapshot_revision = EXCLUDED.snapshot_revision, generated_at = EXCLUDED.generated_at
  WHERE summary.snapshot_revision <= EXCLUDED.snapshot_revision`;

export const regenerateSummaries = defineJob({
  kind: 'sweep',
  name: 'zakat.regenerate-summaries',
  title: 'Summary Regeneration',
  description:
    'Sums the payments of each snapshot that changed in the last 7 days or since its summary, and how much of the zakat due they are.',
  scope: 'system',
  priority: 'MEDIUM',
  schedule: { cron: '0 4 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 3_000,
  maxMs: 60_000,
  input: z.strictObject({}),
  inputVersion: 1,
  options: { batchSize: 100, batchDelayMs: 0 },
  decrypts: true,
  count: countChangedSnapshots,
  items: changedSnapshots,
  key: ({ tenantId, id }) => `${tenantId}/${id}`,
  tenantOf: ({ tenantId }) => tenantId,
  async process(ctx, snapshots) {
    const summaries: AnnualSummary[] = [];
    // Keys for all at once.
    await ctx.crypto.prepare([...new Set(snapshots.map(({ tenantId }) => tenantId))]);
    // One user after the other, so that one user's amounts are in memory at a time.
    for (const records of await recordsByUser(ctx, snapshots)) {
      summaries.push(...(await summariesOf(ctx.crypto, records)));
    }
    if (summaries.length === 0) return { changed: 0 };
    const { rowCount } = await ctx.client.query(SAVE_SUMMARIES, [...columns(summaries), ctx.now]);
    return { changed: rowCount ?? 0 };
  },
  summarize: ({ changed, failed }) => ({ regenerated: changed, failed }),
});

function columns(summaries: readonly AnnualSummary[]): unknown[][] {
  return [
    summaries.map((summary) => summary.tenantId),
    summaries.map((summary) => summary.snapshotId),
    summaries.map((summary) => summary.hijriYear),
    summaries.map((summary) => summary.currency),
    summaries.map((summary) => summary.zakatDueEnc),
    summaries.map((summary) => summary.paidEnc),
    summaries.map((summary) => summary.payments),
    summaries.map((summary) => summary.percent),
    summaries.map((summary) => summary.revision),
  ];
}
