import type { ROLLUP_METRICS } from '@nightshift/db/medication';
import type { SqlClient } from '@nightshift/engine';
import type { DayPart } from './rollup-days.ts';

/** What happened in part of a day. Doses count on the day they fell due; as-needed medicines have none that do. */
export interface PartCounts {
  readonly part: DayPart;
  readonly due: number;
  readonly taken: number;
  readonly sent: number;
  readonly sentTaken: number;
  readonly refills: number;
  readonly interactions: number;
}

const COUNT = `
  SELECT part.n::int AS n, doses.*, refilled.*, checked.*
  FROM unnest($2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS part(starts_at, ends_at, n)
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS due, count(taken_at)::int AS taken, (count(*) FILTER (WHERE state = 'sent'))::int AS sent,
      (count(taken_at) FILTER (WHERE state = 'sent'))::int AS "sentTaken"
    FROM medication.reminders WHERE tenant_id = $1 AND due_at >= part.starts_at AND due_at < part.ends_at) AS doses
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS refills FROM medication.refills
    WHERE tenant_id = $1 AND state = 'done' AND refilled_at >= part.starts_at AND refilled_at < part.ends_at) AS refilled
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(found), 0)::int AS interactions FROM medication.interaction_checks
    WHERE tenant_id = $1 AND checked_at >= part.starts_at AND checked_at < part.ends_at) AS checked
  ORDER BY part.n`;

export async function countParts(
  client: SqlClient,
  tenantId: string,
  parts: readonly DayPart[],
): Promise<PartCounts[]> {
  const { rows } = await client.query<Omit<PartCounts, 'part'> & { n: number }>(COUNT, [
    tenantId,
    parts.map((part) => part.startsAt),
    parts.map((part) => part.endsAt),
  ]);
  return rows.flatMap(({ n, ...counts }) => {
    const part = parts[n - 1];
    return part === undefined ? [] : [{ part, ...counts }];
  });
}

// A value that stays the same is not written: computed_at tells since when it is what it is.
const SAVE = `
  INSERT INTO medication.analytics_rollups AS kept (tenant_id, metric, starts_at, ends_at, local_day, value, counted, of_total, computed_at)
  SELECT $1, g.*, $8 FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::date[], $6::numeric[], $7::integer[], $9::integer[])
    AS g(metric, starts_at, ends_at, local_day, value, counted, of_total)
  ON CONFLICT (tenant_id, metric, starts_at, ends_at) DO UPDATE
    SET value = excluded.value, counted = excluded.counted, of_total = excluded.of_total, local_day = excluded.local_day, computed_at = excluded.computed_at
  WHERE (kept.value, kept.counted, kept.of_total, kept.local_day) IS DISTINCT FROM (excluded.value, excluded.counted, excluded.of_total, excluded.local_day)`;

type Metric = (typeof ROLLUP_METRICS)[number];

/** Rows that changed. */
export async function savePart(
  client: SqlClient,
  tenantId: string,
  metrics: readonly Metric[],
  counts: readonly PartCounts[],
  now: Date,
): Promise<number> {
  const rows = counts.flatMap((one) => metrics.map((metric) => ({ metric, ...one.part, ...figure(metric, one) })));
  const { rowCount } = await client.query(SAVE, [
    tenantId,
    rows.map((row) => row.metric),
    rows.map((row) => row.startsAt),
    rows.map((row) => row.endsAt),
    rows.map((row) => row.day),
    rows.map((row) => row.value),
    rows.map((row) => row.counted),
    now,
    rows.map((row) => row.ofTotal),
  ]);
  return rowCount ?? 0;
}

function figure(metric: Metric, counts: PartCounts): { value: number | null; counted: number; ofTotal: number | null } {
  const plain = (counted: number) => ({ value: counted, counted, ofTotal: null });
  switch (metric) {
    case 'adherence': {
      const { taken, due } = counts;
      return { value: due === 0 ? null : taken / due, counted: taken, ofTotal: due };
    }
    case 'reminders_sent':
      return plain(counts.sent);
    case 'reminders_taken':
      return plain(counts.sentTaken);
    case 'refills':
      return plain(counts.refills);
    case 'interactions':
      return plain(counts.interactions);
    default:
      return metric satisfies never;
  }
}
