import { type Catalogue, type DefinedJob, nextInstant, type TenantRef } from '@nightshift/engine';

/** A row of ops.schedules, as far as a night needs it. */
export interface NightSchedule {
  readonly id: string;
  readonly job: string;
  readonly cron: string;
  /** IANA zone in which the cron is read. */
  readonly zone: string;
  /** Set where the schedule serves the tenants of one zone alone. */
  readonly tenantZone: string | null;
  readonly selector: TenantSelector;
  readonly enabled: boolean;
  readonly pausedBy: string | null;
}

/** By tenant id. */
export type TenantSelector =
  | { readonly all: true }
  | { readonly only: readonly string[] }
  | { readonly except: readonly string[] };

/** One line of a night: a job and, where its schedules leave tenants out, the tenants it runs for. */
export interface NightStep {
  readonly job: DefinedJob;
  readonly scheduleId: string;
  /** Of that schedule, in its own zone. */
  readonly cron: string;
  /** Why it does not run tonight, or null. */
  readonly skipped: string | null;
  readonly serves: (tenant: TenantRef) => boolean;
}

/** Tonight's jobs in the order of their schedules; a job never stands before the one it runs `after`. */
export function planNight(catalogue: Catalogue, schedules: readonly NightSchedule[]): NightStep[] {
  const steps = new Map<string, NightStep & { firstMinute: number }>();
  for (const job of catalogue.jobs) {
    const ofJob = schedules.filter((schedule) => schedule.job === job.name);
    const first = ofJob[0];
    if (first === undefined) continue;
    const active = ofJob.filter((schedule) => schedule.enabled && schedule.pausedBy === null);
    steps.set(job.name, {
      job,
      scheduleId: (active[0] ?? first).id,
      cron: (active[0] ?? first).cron,
      skipped: active.length > 0 ? null : whySkipped(first),
      serves: (tenant) => active.some((schedule) => serves(schedule, tenant, ofJob)),
      firstMinute: Math.min(...ofJob.map((schedule) => firstMinute(schedule.cron))),
    });
  }
  const byTime = [...steps.values()].sort(
    (a, b) => a.firstMinute - b.firstMinute || a.job.name.localeCompare(b.job.name),
  );
  const ordered: NightStep[] = [];
  for (const step of byTime) place(step, steps, ordered);
  return ordered;
}

function place(step: NightStep, steps: ReadonlyMap<string, NightStep>, ordered: NightStep[]): void {
  if (ordered.includes(step)) return;
  const upstream = steps.get(step.job.schedule?.after ?? '');
  if (upstream !== undefined) place(upstream, steps, ordered);
  ordered.push(step);
}

/** Minute of the day of the cron's first instant: local time, so that schedules of different zones still stand in their order. */
function firstMinute(cron: string): number {
  const midnight = Date.UTC(2024, 0, 1);
  const first = nextInstant(cron, 'UTC', new Date(midnight - 1));
  return Math.floor(((first.getTime() - midnight) % 86_400_000) / 60_000);
}

function whySkipped(schedule: NightSchedule): string {
  return schedule.pausedBy === null ? 'its schedule is disabled' : `its schedule is paused by ${schedule.pausedBy}`;
}

/** A tenant that has a schedule of its own for the job is that one's, not the general one's, even while it is paused. */
function serves(schedule: NightSchedule, tenant: TenantRef, ofJob: readonly NightSchedule[]): boolean {
  if (schedule.tenantZone !== null && schedule.tenantZone !== tenant.zone) return false;
  const { selector } = schedule;
  if ('only' in selector) return selector.only.includes(tenant.id);
  if ('except' in selector && selector.except.includes(tenant.id)) return false;
  return !ofJob.some((other) => other.enabled && 'only' in other.selector && other.selector.only.includes(tenant.id));
}
