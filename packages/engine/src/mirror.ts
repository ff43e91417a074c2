import type { Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import { type Broker, DISPATCH_OPTIONS, type DispatchData, type MirrorRepeat } from './broker.ts';
import type { Catalogue } from './catalogue.ts';
import { createLoop, type Loop } from './loop.ts';
import { SCHEDULES_QUEUE } from './redis-names.ts';
import type { DstRule } from './schedule/cron.ts';
import type { Tenants } from './tenants.ts';

/** Retries of a queue that Bull Board shows as delayed. */
const MIRRORED = 200;
const EVERY_MS = 2_000;
/** Schedules change seldom: they are compared every so many rounds. */
const SCHEDULES_EVERY = 10;

interface ScheduledRow {
  readonly id: string;
  readonly job: string;
  readonly tenant_id: string;
  readonly priority: number;
  readonly attempt: number;
  readonly delay_ms: number;
}

/**
 * Shows in Bull Board what waits in Postgres: the next retries as delayed jobs, the schedules as job schedulers. Both only wake the clock
 * when they fire, so a mirror that is early, late, doubled or lost does no harm. One process at a time does it.
 */
export function createMirror(deps: {
  ops: Pool;
  broker: Broker;
  catalogue: Catalogue;
  tenants: Tenants;
  log: Logger;
  schedules: boolean;
}): Loop {
  let round = 0;
  return createLoop('mirror', deps.log, async () => {
    if (!deps.broker.isReady()) return EVERY_MS;
    const { rows } = await deps.ops.query<{ busy: boolean }>(
      `SELECT (SELECT true FROM ops.open_runs WHERE state = 'scheduled' ORDER BY due_at LIMIT 1) IS NOT NULL AS busy`,
    );
    for (const { name } of deps.catalogue.queues) await mirrorRetries(deps, name, rows[0]?.busy === true);
    if (deps.schedules && round++ % SCHEDULES_EVERY === 0) await mirrorSchedules(deps);
    return EVERY_MS;
  });
}

async function mirrorRetries(
  deps: { ops: Pool; broker: Broker; tenants: Tenants },
  queueName: string,
  some: boolean,
): Promise<void> {
  const queue = deps.broker.queue(queueName);
  const shown = (await queue.getDelayed(0, MIRRORED * 2)).filter(
    (job) => (job?.data as DispatchData | undefined)?.mirror === true,
  );
  if (!some && shown.length === 0) return;
  const { rows } = await deps.ops.query<ScheduledRow>(
    `SELECT id, job, tenant_id, priority, attempt, greatest(0, extract(epoch FROM due_at - clock_timestamp()) * 1000)::float8 AS delay_ms
     FROM ops.open_runs WHERE state = 'scheduled' AND queue = $1 ORDER BY due_at LIMIT $2`,
    [queueName, MIRRORED],
  );
  const wanted = new Map(rows.map((row) => [`mirror-${row.id}-${row.attempt}`, row]));
  for (const job of shown) {
    if (job.id !== undefined && !wanted.delete(job.id)) await job.remove().catch(() => undefined);
  }
  const jobs = await Promise.all(
    [...wanted].map(async ([jobId, row]) => {
      const { slug } = await deps.tenants.byId(row.tenant_id);
      const data: DispatchData = {
        runs: [row.id],
        job: row.job,
        tenantIds: [row.tenant_id],
        tenant: slug,
        priority: row.priority,
        mirror: true,
      };
      return {
        name: row.job,
        data,
        opts: { ...DISPATCH_OPTIONS, jobId, delay: Math.ceil(row.delay_ms), removeOnComplete: true },
      };
    }),
  );
  if (jobs.length > 0) await queue.addBulk(jobs);
}

async function mirrorSchedules(deps: { ops: Pool; broker: Broker }): Promise<void> {
  const queue = deps.broker.queue(SCHEDULES_QUEUE);
  const { rows } = await deps.ops.query<{ id: string; job: string; cron: string; zone: string; dst: DstRule }>(
    'SELECT id, job, cron, zone, dst FROM ops.schedules WHERE enabled AND paused_by IS NULL',
  );
  const shown = new Map((await queue.getJobSchedulers(0, -1)).map((scheduler) => [scheduler.key, scheduler]));
  for (const row of rows) {
    const scheduler = shown.get(row.id);
    shown.delete(row.id);
    const sameRule = (scheduler?.template?.data as { dst?: string } | undefined)?.dst === row.dst;
    if (scheduler?.pattern === row.cron && scheduler.tz === row.zone && sameRule) continue;
    const template = { name: row.job, data: { schedule: row.id, dst: row.dst }, opts: DISPATCH_OPTIONS };
    const repeat: MirrorRepeat = { pattern: row.cron, tz: row.zone, dst: row.dst };
    await queue.upsertJobScheduler(row.id, repeat, template);
  }
  for (const key of shown.keys()) await queue.removeJobScheduler(key);
}
