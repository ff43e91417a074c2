import type { Pool, PoolClient } from '@nightshift/db';
import type { Logger } from 'pino';
import { raiseAlert } from '../alerts/raise-alert.ts';
import type { Catalogue } from '../catalogue.ts';
import type { RunOptions, TenantRef } from '../define-job.ts';
import { newId } from '../id.ts';
import { insertRuns } from '../insert-runs.ts';
import type { JobSettings } from '../job-settings.ts';
import { type NewRun, newRun } from '../new-run.ts';
import { priorityName } from '../priority.ts';
import { type DstRule, localDate } from './cron.ts';
import { inLine, type Line, openLine, waitsInLine } from './in-line.ts';
import { cutPlan, type PlannedTick, planTicks, TICKS_A_PASS, type TickPlan, type TickRules } from './plan-ticks.ts';
import { servedTenants, type TenantSelector } from './selector.ts';
import { afterOverlap, type Fired, insertTicks, insertTriggers } from './tick-records.ts';
import { withWork } from './with-work.ts';

/** A row of `ops.schedules` as the clock loop reads it. */
export interface ScheduleRow {
  readonly id: string;
  readonly job: string;
  readonly tenant_selector: TenantSelector;
  readonly cron: string;
  readonly zone: string;
  readonly tenant_zone: string | null;
  readonly owner_tenant: string | null;
  readonly dst: DstRule;
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

/** Columns of a `ScheduleRow`. */
export const SCHEDULE_COLUMNS = `id, job, tenant_selector, cron, zone, tenant_zone, owner_tenant, dst, misfire, misfire_within_ms, misfire_same_day, overlap, priority,
  options, version, next_due_at, paused_by`;

/** Instants of all schedules in one transaction, and runs: after a long stop neither its statements nor its planning may outlast its limits. */
const INSTANTS_A_PASS = 20_000;
const RUNS_A_PASS = 20_000;

/** How long a run waits for its `after:` job when that has no run of the date. */
export const AFTER_WAIT_MS = 60 * 60_000;

export interface FireDeps {
  readonly catalogue: Catalogue;
  readonly settings: JobSettings;
  readonly log: Logger;
  /** As ns_app: in which jobs are asked for `schedule.tenants`. Without it every tenant that a tick serves gets its run. */
  readonly app?: Pool;
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
  const known = schedules.filter((schedule) => deps.catalogue.find(schedule.job) !== undefined);
  const { plans, served } = await plansOf(deps, client, known, now);
  const taken = await recordedTicks(client, known);
  // Recorded before: this schedule's next_due_at was set back, or another process had another clock.
  const fresh = plans.flatMap(({ schedule, ticks }) =>
    ticks
      .filter((tick) => !taken.has(`${schedule.id} ${tick.dueAt.getTime()}`))
      .map((tick) => ({ schedule, tick, triggerId: null })),
  );
  const other = fresh.filter(({ tick }) => tick.state !== 'fired');
  const firing = fresh.filter(({ tick }) => tick.state === 'fired');
  const { fired, runs } = await runsOfTicks(deps, client, firing, served, now);
  const made = await insertRuns(client, runs);
  // Sent together; a connection carries them out in this order.
  await Promise.all([
    insertTriggers(client, fired, made),
    insertTicks(client, [...other, ...fired.map((f) => afterOverlap(f, made))]),
    client.query(
      `UPDATE ops.schedules s SET next_due_at = g.next_due_at, last_due_at = coalesce(g.last_due_at, s.last_due_at)
       FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS g(id, next_due_at, last_due_at) WHERE s.id = g.id`,
      [
        plans.map((plan) => plan.schedule.id),
        plans.map((plan) => plan.nextDueAt),
        plans.map((plan) => plan.ticks.at(-1)?.dueAt ?? null),
      ],
    ),
  ]);
  await reportMissed(
    deps,
    client,
    other.filter(({ tick }) => tick.state === 'missed'),
  );
  return new Set(fired.flatMap((f) => f.runs.filter((run) => made.has(run.id)).map((run) => run.queue)));
}

type Plan = TickPlan & { readonly schedule: ScheduleRow };

/** What becomes of the instants of each schedule, as many as one transaction bears, and whom those serve that fire. */
async function plansOf(
  deps: FireDeps,
  client: PoolClient,
  schedules: readonly ScheduleRow[],
  now: Date,
): Promise<{ plans: Plan[]; served: Map<string, TenantRef[]> }> {
  const most = Math.min(TICKS_A_PASS, Math.max(1, Math.floor(INSTANTS_A_PASS / schedules.length)));
  const plans = schedules.map((schedule) => ({
    schedule,
    ...planTicks(rulesOf(schedule), schedule.next_due_at, now, most),
  }));
  const firing = plans.filter(({ ticks }) => ticks.some((tick) => tick.state === 'fired'));
  if (firing.length === 0) return { plans, served: new Map() };
  const served = await servedTenants(
    client,
    deps.catalogue,
    firing.map(({ schedule }) => schedule),
  );
  const runs = Math.floor(RUNS_A_PASS / firing.length);
  const cut = plans.map(({ schedule, ...plan }) => {
    const tenants = Math.max(1, served.get(schedule.id)?.length ?? 0);
    return { schedule, ...cutPlan(plan, Math.max(1, Math.floor(runs / tenants))) };
  });
  return { plans: cut, served };
}

/** One alert a schedule, however many of its ticks were missed. */
async function reportMissed(deps: FireDeps, client: PoolClient, missed: readonly Firing[]): Promise<void> {
  for (const schedule of new Set(missed.map((one) => one.schedule))) {
    const ticks = missed.filter((one) => one.schedule === schedule).map((one) => one.tick);
    const [first, last] = [ticks[0], ticks.at(-1)];
    if (first === undefined || last === undefined) continue;
    const range = { from: first.dueAt, to: last.dueAt, ticks: ticks.length, reason: last.reason };
    deps.log.warn({ job: schedule.job, schedule: schedule.id, ...range }, 'ticks missed');
    await raiseAlert(client, {
      key: `tick-missed:${schedule.id}`,
      severity: 'CRITICAL',
      job: schedule.job,
      message: `${schedule.job} missed ${ticks.length === 1 ? 'its tick' : `${ticks.length} ticks, the last one`} of ${last.dueAt.toISOString()}: ${last.reason}.`,
    });
  }
}

/** Rules of a schedule as `planTicks` takes them. */
export function rulesOf(schedule: ScheduleRow): TickRules {
  return {
    cron: schedule.cron,
    zone: schedule.zone,
    dst: schedule.dst,
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

type Firing = { readonly schedule: ScheduleRow; readonly tick: PlannedTick };

/** Every run of these ticks, and those of them that are to be inserted: the others give way to an earlier one. */
async function runsOfTicks(
  deps: FireDeps,
  client: PoolClient,
  firing: readonly Firing[],
  all: ReadonlyMap<string, TenantRef[]>,
  now: Date,
): Promise<{ fired: Fired[]; runs: NewRun[] }> {
  const schedules = [...new Set(firing.map(({ schedule }) => schedule))];
  if (schedules.length === 0) return { fired: [], runs: [] };
  const served = await withWork(deps, schedules, all, now);
  const line = await openLine(
    client,
    schedules.flatMap(({ id, job }) => (served.get(id) ?? []).map((tenant) => ({ job, tenantId: tenant.id }))),
    'tick',
  );
  const fired: Fired[] = [];
  const runs: NewRun[] = [];
  for (const { schedule, tick } of firing) {
    const job = deps.catalogue.get(schedule.job);
    const triggerId = newId();
    const wanted: NewRun[] = [];
    for (const tenant of served.get(schedule.id) ?? [])
      wanted.push(await runOfTick(deps, { schedule, tick, triggerId, tenant }));
    for (const run of wanted) runs.push(...place(run, line, waitsInLine(schedule, tick)));
    fired.push({ schedule, job, tick, triggerId, runs: wanted });
  }
  return { fired, runs };
}

/** The run as it is to be inserted: at once, behind an earlier one, or not at all. */
function place(run: NewRun, line: Line, waits: boolean): NewRun[] {
  const behind = line.has(run);
  if (!waits) return behind ? [] : [run];
  line.add(run);
  return [behind ? inLine(run) : run];
}

async function runOfTick(
  deps: FireDeps,
  { schedule, tick, triggerId, tenant }: Firing & { triggerId: string; tenant: TenantRef },
): Promise<NewRun> {
  const job = deps.catalogue.get(schedule.job);
  const after = job.schedule?.after;
  return newRun({
    job,
    tenantId: tenant.id,
    input: {},
    options: await deps.settings.effective(job, tenant.id, schedule.options),
    actor: 'clock',
    triggerId,
    tickDate: localDate(tick.dueAt, schedule.zone),
    // Without a key it neither joins nor is joined: each instant has a run of its own.
    uniqueKey: waitsInLine(schedule, tick) ? null : job.name,
    ...(schedule.priority === null ? {} : { priority: priorityName(schedule.priority) }),
    ...(after === undefined ? {} : { after: { job: after, until: new Date(tick.dueAt.getTime() + AFTER_WAIT_MS) } }),
  });
}
