import type { ReminderMetadata } from '@nightshift/db/zakat';
import { defineJob, localDate } from '@nightshift/engine';
import { z } from 'zod';
import { type LatestSnapshot, type Reminder, reminderFor } from './reminder.ts';

// Row-level security confines each statement to the users of the batch.
const COUNT_USERS = 'SELECT count(DISTINCT tenant_id)::int AS count FROM zakat.snapshots WHERE finalised';

const PAGE_OF_USERS = `
  SELECT users.tenant_id AS "tenantId", users.day_offset AS "dayOffset", latest.id AS "snapshotId",
         latest.snapshot_date::text AS "snapshotDate", latest.reaches_nisab AS "reachesNisab"
  FROM zakat.users, LATERAL (
    SELECT id, snapshot_date, reaches_nisab FROM zakat.snapshots AS snapshot
    WHERE snapshot.tenant_id = users.tenant_id AND snapshot.finalised
    ORDER BY snapshot_date DESC, id DESC LIMIT 1
  ) AS latest
  WHERE $1::uuid IS NULL OR users.tenant_id > $1::uuid
  ORDER BY users.tenant_id LIMIT $2`;

// Days and not hours, so that a daily run some seconds early or late does not turn every 7 days into every 8. The lateral limit keeps the
// planner from reading all reminders there are for each batch, which it would while its figures say that there are few.
const SAVE_REMINDERS = `
  INSERT INTO zakat.reminder_events (tenant_id, snapshot_id, anniversary_on, reminded_on, priority, title, message, metadata, created_at)
  SELECT due.tenant_id, due.snapshot_id, due.anniversary_on, due.today, due.priority, due.title, due.message, due.metadata, $9
  FROM unnest($1::uuid[], $2::uuid[], $3::date[], $4::date[], $5::text[], $6::text[], $7::text[], $8::jsonb[])
    AS due(tenant_id, snapshot_id, anniversary_on, today, priority, title, message, metadata)
  LEFT JOIN LATERAL (
    SELECT true AS made FROM zakat.reminder_events AS event
    WHERE event.tenant_id = due.tenant_id AND event.anniversary_on = due.anniversary_on AND event.reminded_on > due.today - 7 LIMIT 1
  ) AS recent ON true
  WHERE recent.made IS NULL
  ON CONFLICT ON CONSTRAINT reminder_events_once_a_day DO NOTHING`;

interface User extends LatestSnapshot {
  readonly tenantId: string;
  readonly snapshotId: string;
}

interface Due extends Reminder {
  readonly user: User;
  readonly today: string;
}

export const generateReminders = defineJob({
  kind: 'sweep',
  name: 'zakat.generate-reminders',
  title: 'Reminder Generation',
  description:
    'Reminds users whose latest snapshot has its Hijri anniversary within 30 days, at most once in 7 days for each anniversary.',
  scope: 'system',
  priority: 'MEDIUM',
  schedule: {
    cron: '0 3 * * *',
    zone: 'UTC',
    misfire: { policy: 'latest', within: 'same-day' },
    overlap: 'skip',
  },
  typicalMs: 2_000,
  maxMs: 60_000,
  input: z.strictObject({}),
  inputVersion: 1,
  options: { batchSize: 500, batchDelayMs: 0 },
  async count(ctx) {
    const { rows } = await ctx.client.query<{ count: number }>(COUNT_USERS);
    return rows[0]?.count ?? 0;
  },
  async items(ctx, after, limit) {
    const { rows } = await ctx.client.query<User>(PAGE_OF_USERS, [after, limit]);
    return rows;
  },
  key: (user) => user.tenantId,
  tenantOf: (user) => user.tenantId,
  async process(ctx, users) {
    const zones = new Map(ctx.tenants.map((tenant) => [tenant.id, tenant.zone]));
    const due = users.flatMap((user): Due[] => {
      const today = localDate(ctx.now, zones.get(user.tenantId) ?? 'UTC');
      const reminder = reminderFor(user, today);
      return reminder === null ? [] : [{ ...reminder, user, today }];
    });
    if (due.length === 0) return { changed: 0 };
    const { rowCount } = await ctx.client.query(SAVE_REMINDERS, [...columns(due), ctx.now]);
    const changed = rowCount ?? 0;
    return { changed, tally: { skipped: due.length - changed } };
  },
  summarize: ({ changed, tally }) => ({ created: changed, skipped: tally.skipped ?? 0 }),
});

function columns(due: readonly Due[]): unknown[][] {
  return [
    due.map(({ user }) => user.tenantId),
    due.map(({ user }) => user.snapshotId),
    due.map(({ anniversaryOn }) => anniversaryOn),
    due.map(({ today }) => today),
    due.map(({ priority }) => priority),
    due.map(({ title }) => title),
    due.map(({ message }) => message),
    due.map((one) => JSON.stringify(metadata(one))),
  ];
}

function metadata({ user, hijriDate, anniversaryOn, daysLeft }: Due): ReminderMetadata {
  return { snapshotId: user.snapshotId, hijriDate, gregorianDate: anniversaryOn, daysLeft };
}
