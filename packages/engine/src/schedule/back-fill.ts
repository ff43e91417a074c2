import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import type { TenantRef } from '../define-job.ts';
import { newId } from '../id.ts';
import { insertRuns } from '../insert-runs.ts';
import { type NewRun, newRun } from '../new-run.ts';
import { priorityName } from '../priority.ts';
import { localDate, nextInstant } from './cron.ts';
import type { FireDeps } from './fire.ts';
import { inLine, openLine } from './in-line.ts';
import { audit, type LockedSchedule, lockSchedule, stepUpTo } from './locked-schedule.ts';
import { invalidSchedule } from './schedule-input.ts';
import { servedTenants } from './selector.ts';

/** Runs that one call may make. */
export const BACK_FILL_RUNS_MAX = 1_000;
/** Instants that one call may look at. */
export const BACK_FILL_TICKS_MAX = 1_000;

export interface BackFillRequest {
  /** The first instant is at `from` or later, the last one before `to`; `to` is not in the future. */
  readonly from: Date;
  readonly to: Date;
  /** Default true: only tell what would be made. */
  readonly dryRun?: boolean | undefined;
  /** More instants than this in the range are refused; default 100, at most `BACK_FILL_TICKS_MAX`. */
  readonly maxTicks?: number | undefined;
  /** True: tenants whose run of an instant was made before get another. */
  readonly again?: boolean | undefined;
  /** Ids; default all that the schedule serves. */
  readonly tenants?: readonly string[] | undefined;
}

export interface BackFillTick {
  readonly dueAt: Date;
  /** Local date that its runs carry. */
  readonly date: string;
  /** What the clock recorded of the instant, if anything. */
  readonly recorded: { readonly state: string; readonly reason: string | null } | null;
  readonly triggerId: string | null;
  /** `runId`: of the run that is made, or (a dry run) would be: null. `earlier`: the run that stands in its way. */
  readonly tenants: readonly {
    readonly tenantId: string;
    readonly tenant: string;
    readonly runId: string | null;
    readonly earlier: string | null;
  }[];
}

export interface BackFill {
  readonly job: string;
  readonly dryRun: boolean;
  /** Runs that were made; of a dry run: that would be. */
  readonly runs: number;
  readonly ticks: readonly BackFillTick[];
}

/**
 * Runs for instants that passed: a trigger `back-fill` for each, with a run for each tenant that has none of that instant. Each run carries
 * the instant's date and waits until the tenant's run of the instant before has ended. Ticks stay as they were recorded.
 */
export async function backFill(
  deps: FireDeps & { ops: Pool },
  id: string,
  request: BackFillRequest,
  actor: string,
): Promise<BackFill> {
  const dryRun = request.dryRun ?? true;
  return inTransaction(deps.ops, [], async (client) => {
    const row = await lockSchedule(client, id);
    const job = deps.catalogue.get(row.job);
    const instants = instantsOf(row, request);
    // What is due and nobody has fired yet would get a second run of the clock's.
    if (!dryRun && row.enabled) await stepUpTo(deps, client, row, row.now);
    const served = (await servedTenants(client, deps.catalogue, [row])).get(id) ?? [];
    const tenants = served.filter((tenant) => request.tenants?.includes(tenant.id) ?? true);
    const known = await earlierRuns(client, row, instants);
    const wanted = instants.map((dueAt) => ({
      dueAt,
      triggerId: newId(),
      tenants: tenants.filter((t) => request.again === true || !known.runs.has(key(dueAt, t.id))),
    }));
    const runs = wanted.reduce((sum, one) => sum + one.tenants.length, 0);
    if (runs > BACK_FILL_RUNS_MAX) {
      throw invalidSchedule([
        {
          pointer: '/to',
          code: 'too-many',
          detail: `${runs} runs are more than ${BACK_FILL_RUNS_MAX} at once; narrow the range`,
        },
      ]);
    }
    const made = dryRun ? new Map<string, string>() : await makeRuns(deps, client, row, wanted, actor);
    if (!dryRun) {
      const details = {
        schedule: id,
        job: row.job,
        from: request.from,
        to: request.to,
        ticks: instants.length,
        runs: made.size,
        again: request.again === true,
      };
      await audit(client, actor, 'schedule.back-filled', details, row.owner_tenant);
    }
    return {
      job: job.name,
      dryRun,
      runs,
      ticks: wanted.map(({ dueAt, triggerId, tenants: fresh }) => ({
        dueAt,
        date: localDate(dueAt, row.zone),
        recorded: known.ticks.get(dueAt.getTime()) ?? null,
        triggerId: dryRun || fresh.length === 0 ? null : triggerId,
        tenants: tenants.map((tenant) => ({
          tenantId: tenant.id,
          tenant: tenant.slug,
          runId: made.get(key(dueAt, tenant.id)) ?? null,
          earlier: known.runs.get(key(dueAt, tenant.id)) ?? null,
        })),
      })),
    };
  });
}

const key = (dueAt: Date, tenantId: string) => `${dueAt.getTime()} ${tenantId}`;

/** Errors: `InvalidInputError` for a range that is empty, in the future or too long. */
function instantsOf(row: LockedSchedule, { from, to, maxTicks = 100 }: BackFillRequest): Date[] {
  const problem = (pointer: string, code: string, detail: string) => invalidSchedule([{ pointer, code, detail }]);
  if (from.getTime() < 0) throw problem('/from', 'invalid', 'must not be before 1970');
  if (from >= to) throw problem('/to', 'invalid', "must be later than 'from'");
  if (to > row.now) throw problem('/to', 'future', 'must not be in the future: a back-fill is for what has passed');
  const most = Math.min(maxTicks, BACK_FILL_TICKS_MAX);
  const instants: Date[] = [];
  let at = nextInstant(row.cron, row.zone, new Date(from.getTime() - 1), row.dst);
  for (; at < to; at = nextInstant(row.cron, row.zone, at, row.dst)) {
    if (instants.length === most)
      throw problem(
        '/to',
        'too-many',
        `the range has more than ${most} instants; narrow it or raise maxTicks (${BACK_FILL_TICKS_MAX} at most)`,
      );
    instants.push(at);
  }
  return instants;
}

/** Runs of the job's instants by tenant, whichever schedule or back-fill made them, and what the clock recorded. */
async function earlierRuns(client: PoolClient, row: LockedSchedule, instants: readonly Date[]) {
  const runs = await client.query<{ due_at: Date; tenant_id: string; id: string }>(
    `SELECT g.due_at, r.tenant_id, r.id FROM ops.triggers g CROSS JOIN LATERAL (
       SELECT tenant_id, id FROM ops.open_runs WHERE trigger_id = g.id AND parent_id IS NULL
       UNION ALL SELECT tenant_id, id FROM ops.runs WHERE trigger_id = g.id AND parent_id IS NULL) r
     WHERE g.job = $1 AND g.due_at = ANY ($2::timestamptz[]) AND g.kind IN ('tick', 'back-fill')`,
    [row.job, instants],
  );
  const ticks = await client.query<{ due_at: Date; state: string; reason: string | null }>(
    'SELECT due_at, state, reason FROM ops.ticks WHERE schedule_id = $1 AND due_at = ANY ($2::timestamptz[])',
    [row.id, instants],
  );
  return {
    runs: new Map(runs.rows.map((run) => [key(run.due_at, run.tenant_id), run.id])),
    ticks: new Map(ticks.rows.map(({ due_at, state, reason }) => [due_at.getTime(), { state, reason }])),
  };
}

type Wanted = { readonly dueAt: Date; readonly triggerId: string; readonly tenants: readonly TenantRef[] };

async function makeRuns(
  deps: FireDeps,
  client: PoolClient,
  row: LockedSchedule,
  wanted: readonly Wanted[],
  actor: string,
): Promise<Map<string, string>> {
  const job = deps.catalogue.get(row.job);
  const asked = [...new Set(wanted.flatMap(({ tenants }) => tenants.map((tenant) => tenant.id)))];
  const line = await openLine(
    client,
    asked.map((tenantId) => ({ job: row.job, tenantId })),
    'back-fill',
  );
  const made = new Map<string, string>();
  const runs: NewRun[] = [];
  for (const { dueAt, triggerId, tenants } of wanted) {
    for (const tenant of tenants) {
      const run = newRun({
        job,
        tenantId: tenant.id,
        input: {},
        options: await deps.settings.effective(job, tenant.id, row.options),
        actor,
        triggerId,
        tickDate: localDate(dueAt, row.zone),
        uniqueKey: null,
        ...(row.priority === null ? {} : { priority: priorityName(row.priority) }),
      });
      runs.push(line.has(run) ? inLine(run) : run);
      line.add(run);
      made.set(key(dueAt, tenant.id), run.id);
    }
  }
  await insertRuns(client, runs);
  const filled = wanted.filter(({ tenants }) => tenants.length > 0);
  await client.query(
    `INSERT INTO ops.triggers (id, kind, job, actor, schedule_id, due_at, expected_runs)
     SELECT id, 'back-fill', $1, $2, $3, due_at, n FROM unnest($4::uuid[], $5::timestamptz[], $6::integer[]) AS g(id, due_at, n)`,
    [
      row.job,
      actor,
      row.id,
      filled.map((one) => one.triggerId),
      filled.map((one) => one.dueAt),
      filled.map((one) => one.tenants.length),
    ],
  );
  return made;
}
