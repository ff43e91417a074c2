import { ROLLUP_METRICS } from '@nightshift/db/medication';
import { defineJob, localDate, type TaskContext } from '@nightshift/engine';
import { z } from 'zod';
import { addDays, daysBetween } from './calendar-day.ts';
import { rollUpInput } from './inputs.ts';
import { countParts, type PartCounts, savePart } from './rollup-counts.ts';
import { type DayPart, dayParts, rangeEdge } from './rollup-days.ts';

/** Days in one transaction. */
const PARTS_AT_ONCE = 31;

const shape = rollUpInput.shape;

/** Without a range: yesterday, everything. */
const input = z
  .strictObject({ time_range: shape.time_range.optional(), metrics_types: shape.metrics_types.optional() })
  .refine((given) => (given.time_range === undefined) === (given.metrics_types === undefined), {
    error: 'give time_range and metrics_types, or neither',
  });

export const analyticsRollUp = defineJob({
  kind: 'task',
  name: 'medication.analytics-roll-up',
  title: 'Analytics roll-up',
  description: "Adds up adherence, reminders, refills and interactions by the organisation's local days.",
  scope: 'tenant',
  priority: 'LOW',
  schedule: { cron: '30 0 * * *', zone: 'UTC', misfire: { policy: 'latest' }, overlap: 'skip' },
  typicalMs: 10_000,
  maxMs: 60_000,
  input,
  inputVersion: 1,
  async run(ctx, given) {
    const { zone } = ctx.tenant;
    const range = given.time_range ?? yesterday(ctx);
    const [start, end] = [rangeEdge(range.start, zone), rangeEdge(range.end, zone)];
    const metrics = [...new Set(given.metrics_types ?? ROLLUP_METRICS)];
    const parts = dayParts(start, end, zone);
    const counts: PartCounts[] = [];
    let updated = 0;
    for (let from = 0; from < parts.length; from += PARTS_AT_ONCE) {
      ctx.signal.throwIfAborted();
      const some: readonly DayPart[] = parts.slice(from, from + PARTS_AT_ONCE);
      updated += await ctx.transaction(async ({ client }) => {
        const counted = await countParts(client, ctx.tenant.id, some);
        counts.push(...counted);
        return savePart(client, ctx.tenant.id, metrics, counted, ctx.now);
      });
    }
    return {
      time_range: { start: start.toISOString(), end: end.toISOString(), zone },
      days: parts.length,
      metrics: Object.fromEntries(metrics.map((metric) => [metric, total(metric, counts)])),
      rollupsUpdated: updated,
    };
  },
});

/** The local day before the run's; a back-fill's is the one before its date. */
function yesterday({ now, tickDate, tenant }: TaskContext): { start: string; end: string } {
  const today = localDate(now, tenant.zone);
  const end = tickDate === null || Math.abs(daysBetween(tickDate, today)) <= 1 ? today : tickDate;
  return { start: addDays(end, -1), end };
}

type Metric = (typeof ROLLUP_METRICS)[number];

function total(metric: Metric, counts: readonly PartCounts[]): number | null {
  const sum = (pick: (part: PartCounts) => number) => counts.reduce((all, part) => all + pick(part), 0);
  switch (metric) {
    case 'adherence': {
      const due = sum((part) => part.due);
      return due === 0 ? null : sum((part) => part.taken) / due;
    }
    case 'reminders_sent':
      return sum((part) => part.sent);
    case 'reminders_taken':
      return sum((part) => part.sentTaken);
    case 'refills':
      return sum((part) => part.refills);
    case 'interactions':
      return sum((part) => part.interactions);
    default:
      return metric satisfies never;
  }
}
