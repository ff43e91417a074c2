import type { PoolClient } from '@nightshift/db';
import type { Logger } from 'pino';
import type { Catalogue } from '../catalogue.ts';
import type { DefinedJob, RunOptions, TenantRef } from '../define-job.ts';
import { newId } from '../id.ts';
import { insertRuns } from '../insert-runs.ts';
import type { JobSettings } from '../job-settings.ts';
import { type NewRun, newRun } from '../new-run.ts';
import { priorityName } from '../priority.ts';
import { localDate } from './cron.ts';
import { type PlannedTick, planTicks } from './plan-ticks.ts';

/** A row of `ops.schedules` as the clock loop reads it. */
export interface ScheduleRow {
  readonly id: string;
  readonly job: string;
  readonly tenant_selector: TenantSelector;
  readonly cron: string;
  readonly zone: string;
  readonly tenant_zone: string | null;
  readonly misfire: 'skip' | 'latest' | 'all';
  readonly misfire_within_ms: number | null;
  readonly misfire_same_day: boolean;
  readonly overlap: 'skip' | 'queue';
  readonly priority: number | null;
  readonly options: Partial<RunOptions>;
  readonly version: number;
  readonly next_due_at: Date;
  readonly paused_by: string | null;
}

/** Which tenants a schedule serves, by id. */
export type TenantSelector =
  | { readonly all: true }
  | { readonly only: readonly string[] }
  | { readonly except: readonly string[] };

/** How long a run waits for its `after:` job when that has no run of the date. */
export const AFTER_WAIT_MS = 60 * 60_000;

export interface FireDeps {
  readonly catalogue: Catalogue;
  readonly settings: JobSettings;
  readonly log: Logger;
}

interface Fired {
  readonly schedule: ScheduleRow;
  readonly job: DefinedJob;
  readonly tick: PlannedTick;
  readonly triggerId: string;
  readonly runs: readonly NewRun[];
}

/**
 * Steps these locked schedules up to `now`: a tick for every instant, a trigger and its runs for those that fire, all in the caller's
 * transaction. Resolves to the queues that got runs.
 */
export async function fireSchedules(
  deps: FireDeps,
  client: PoolClient,
  schedules: readonly ScheduleRow[],
  now: Date,
): Promise<Set<string>> {
  const fired: Fired[] = [];
  const other: { schedule: ScheduleRow; tick: PlannedTick }[] = [];
  const next: { id: string; nextDueAt: Date; lastDueAt: Date | null }[] = [];
  const known = schedules.filter((schedule) => deps.catalogue.find(schedule.job) !== undefined);
  const taken = await recordedTicks(client, known);
  for (const schedule of known) {
    const job = deps.catalogue.get(schedule.job);
    const plan = planTicks(rulesOf(schedule), schedule.next_due_at, now);
    next.push({ id: schedule.id, nextDueAt: plan.nextDueAt, lastDueAt: plan.ticks.at(-1)?.dueAt ?? null });
    for (const tick of plan.ticks) {
      // Recorded before: this schedule's next_due_at was set back, or another process had another clock.
      if (taken.has(`${schedule.id} ${tick.dueAt.getTime()}`)) continue;
      if (tick.state === 'fired') fired.push(await runsOfTick(deps, client, schedule, job, tick));
      else other.push({ schedule, tick });
    }
  }
  const made = await insertRuns(
    client,
    fired.flatMap((f) => f.runs),
  );
  const ticks = [
    ...other.map(({ schedule, tick }) => ({ schedule, tick, triggerId: null })),
    ...fired.map((f) => afterOverlap(f, made)),
  ];
  await insertTriggers(client, fired, made);
  await insertTicks(client, ticks);
  await client.query(
    `UPDATE ops.schedules s SET next_due_at = g.next_due_at, last_due_at = coalesce(g.last_due_at, s.last_due_at)
     FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS g(id, next_due_at, last_due_at) WHERE s.id = g.id`,
    [next.map((n) => n.id), next.map((n) => n.nextDueAt), next.map((n) => n.lastDueAt)],
  );
  for (const { schedule, tick } of other) {
    if (tick.state === 'missed')
      deps.log.warn(
        { job: schedule.job, schedule: schedule.id, dueAt: tick.dueAt, reason: tick.reason },
        'tick missed',
      );
  }
  return new Set(fired.filter((f) => f.runs.some((run) => made.has(run.id))).map((f) => f.job.queue));
}

function rulesOf(schedule: ScheduleRow) {
  return {
    cron: schedule.cron,
    zone: schedule.zone,
    misfire: schedule.misfire,
    misfireWithinMs: schedule.misfire_within_ms,
    misfireSameDay: schedule.misfire_same_day,
    paused: schedule.paused_by !== null,
  };
}

async function recordedTicks(client: PoolClient, schedules: readonly ScheduleRow[]): Promise<Set<string>> {
  const { rows } = await client.query<{ schedule_id: string; due_at: Date }>(
    `SELECT t.schedule_id, t.due_at FROM unnest($1::uuid[], $2::timestamptz[]) AS s(id, due_at) JOIN ops.ticks t ON t.schedule_id = s.id AND t.due_at >= s.due_at`,
    [schedules.map((s) => s.id), schedules.map((s) => s.next_due_at)],
  );
  return new Set(rows.map((row) => `${row.schedule_id} ${row.due_at.getTime()}`));
}

async function runsOfTick(
  deps: FireDeps,
  client: PoolClient,
  schedule: ScheduleRow,
  job: DefinedJob,
  tick: PlannedTick,
): Promise<Fired> {
  const triggerId = newId();
  const after = job.schedule?.after;
  const runs: NewRun[] = [];
  for (const tenant of await tenantsOf(client, schedule, job)) {
    const options = await deps.settings.effective(job, tenant.id, schedule.options);
    runs.push(
      newRun({
        job,
        tenantId: tenant.id,
        input: {},
        options,
        actor: 'clock',
        triggerId,
        tickDate: localDate(tick.dueAt, schedule.zone),
        uniqueKey: schedule.overlap === 'skip' ? job.name : null,
        ...(schedule.priority === null ? {} : { priority: priorityName(schedule.priority) }),
        ...(after === undefined
          ? {}
          : { after: { job: after, until: new Date(tick.dueAt.getTime() + AFTER_WAIT_MS) } }),
      }),
    );
  }
  return { schedule, job, tick, triggerId, runs };
}

/** A tenant with a schedule of its own for the job is that schedule's, not the general one's. */
async function tenantsOf(client: PoolClient, schedule: ScheduleRow, job: DefinedJob): Promise<TenantRef[]> {
  const kind = job.scope === 'system' ? 'system' : 'tenant';
  const only = 'only' in schedule.tenant_selector ? schedule.tenant_selector.only : null;
  const except = 'except' in schedule.tenant_selector ? schedule.tenant_selector.except : [];
  const { rows } = await client.query<TenantRef>(
    `SELECT id, slug, name, zone FROM ops.tenants WHERE system = $1 AND kind = $2 AND ($3::uuid[] IS NULL OR id = ANY ($3)) AND id <> ALL ($4::uuid[])
       AND ($5::text IS NULL OR zone = $5)
       AND ($3::uuid[] IS NOT NULL OR id::text NOT IN (
         SELECT jsonb_array_elements_text(tenant_selector -> 'only') FROM ops.schedules WHERE job = $6 AND enabled AND tenant_selector ? 'only' AND id <> $7))
     ORDER BY id`,
    [job.system, kind, only, except, schedule.tenant_zone, job.name, schedule.id],
  );
  return rows;
}

type TickRecord = { readonly schedule: ScheduleRow; readonly tick: PlannedTick; readonly triggerId: string | null };

/** A tick none of whose runs could start, because each tenant's earlier run is still open, did not fire. */
function afterOverlap(fired: Fired, made: ReadonlyMap<string, unknown>): TickRecord {
  const started = fired.runs.filter((run) => made.has(run.id)).length;
  const skipped = fired.runs.length - started;
  if (fired.runs.length === 0) return { ...fired, tick: { ...fired.tick, reason: 'no tenant to run for' } };
  if (skipped === 0) return fired;
  const reason = `overlap: the earlier run of ${skipped} of ${fired.runs.length} tenants is still open`;
  if (started > 0) return { ...fired, tick: { ...fired.tick, reason } };
  return { schedule: fired.schedule, triggerId: null, tick: { ...fired.tick, state: 'skipped', reason } };
}

async function insertTriggers(
  client: PoolClient,
  fired: readonly Fired[],
  made: ReadonlyMap<string, unknown>,
): Promise<void> {
  const started = fired.filter((f) => f.runs.length === 0 || f.runs.some((run) => made.has(run.id)));
  if (started.length === 0) return;
  await client.query(
    `INSERT INTO ops.triggers (id, kind, job, actor, schedule_id, due_at, expected_runs)
     SELECT id, 'tick', job, 'clock', schedule_id, due_at, n FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::integer[]) AS g(id, job, schedule_id, due_at, n)`,
    [
      started.map((f) => f.triggerId),
      started.map((f) => f.job.name),
      started.map((f) => f.schedule.id),
      started.map((f) => f.tick.dueAt),
      started.map((f) => f.runs.filter((run) => made.has(run.id)).length),
    ],
  );
}

async function insertTicks(client: PoolClient, ticks: readonly TickRecord[]): Promise<void> {
  if (ticks.length === 0) return;
  await client.query(
    `INSERT INTO ops.ticks (schedule_id, due_at, job, state, reason, schedule_version, lateness_ms, trigger_id)
     SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::bigint[], $8::uuid[])`,
    [
      ticks.map((t) => t.schedule.id),
      ticks.map((t) => t.tick.dueAt),
      ticks.map((t) => t.schedule.job),
      ticks.map((t) => t.tick.state),
      ticks.map((t) => t.tick.reason),
      ticks.map((t) => t.schedule.version),
      ticks.map((t) => t.tick.latenessMs),
      ticks.map((t) => t.triggerId),
    ],
  );
}
