import { defineJob, PermanentError } from '@nightshift/engine';
import { z } from 'zod';

const COUNT_EXPIRED = `
  SELECT count(*)::int AS count FROM zakat.analytics_metrics
  WHERE tenant_id = ANY ($1::uuid[]) AND computed_at < $2::timestamptz - make_interval(hours => $3)`;

// Oldest first for each user, read from the index: entries that stay are not met, and no page is longer than a batch.
const PAGE_OF_EXPIRED = `
  SELECT tenant_id AS "tenantId", computed_at::text AS "computedAt", id FROM zakat.analytics_metrics
  WHERE tenant_id = ANY ($1::uuid[]) AND computed_at < $2::timestamptz - make_interval(hours => $3)
    AND ($4::uuid IS NULL OR (tenant_id, computed_at, id) > ($4::uuid, $5::timestamptz, $6::uuid))
  ORDER BY tenant_id, computed_at, id LIMIT $7`;

const DELETE_EXPIRED = `
  DELETE FROM zakat.analytics_metrics AS entry
  USING unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS old(tenant_id, computed_at, id)
  WHERE entry.tenant_id = old.tenant_id AND entry.computed_at = old.computed_at AND entry.id = old.id`;

export const cleanupCache = defineJob({
  kind: 'sweep',
  name: 'zakat.cleanup-cache',
  title: 'Cache Cleanup',
  description: 'Deletes entries of the analytics cache that are older than a day.',
  scope: 'system',
  priority: 'LOW',
  schedule: { cron: '0 2 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 500,
  maxMs: 60_000,
  input: z.strictObject({ maxAgeHours: z.int().min(1).max(8_760).default(24) }),
  inputVersion: 1,
  options: { batchSize: 10_000, batchDelayMs: 0 },
  async count(ctx) {
    const { rows } = await ctx.client.query<{ count: number }>(COUNT_EXPIRED, [
      ctx.tenantIds,
      ctx.now,
      ctx.input.maxAgeHours,
    ]);
    return rows[0]?.count ?? 0;
  },
  async items(ctx, after, limit) {
    const { rows } = await ctx.client.query<Entry>(PAGE_OF_EXPIRED, [
      ctx.tenantIds,
      ctx.now,
      ctx.input.maxAgeHours,
      ...(after === null ? [null, null, null] : place(after)),
      limit,
    ]);
    return rows;
  },
  key: ({ tenantId, computedAt, id }) => `${tenantId}/${computedAt}/${id}`,
  tenantOf: ({ tenantId }) => tenantId,
  async process(ctx, entries) {
    const { rowCount } = await ctx.client.query(DELETE_EXPIRED, [
      entries.map((entry) => entry.tenantId),
      entries.map((entry) => entry.computedAt),
      entries.map((entry) => entry.id),
    ]);
    return { changed: rowCount ?? 0 };
  },
  summarize: ({ changed }) => ({ deleted: changed }),
});

interface Entry {
  readonly tenantId: string;
  /** As Postgres writes it, to the microsecond. */
  readonly computedAt: string;
  readonly id: string;
}

function place(key: string): string[] {
  const parts = key.split('/');
  if (parts.length !== 3) throw new PermanentError(`'${key}' is no place in the cache: start the run again`);
  return parts;
}
