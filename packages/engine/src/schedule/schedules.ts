import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import { type DefinedJob, jobForInput, queuesOfJob, type RunOptions, type TenantRef } from '../define-job.ts';
import { newId } from '../id.ts';
import { newRun } from '../new-run.ts';
import { priorityNumber } from '../priority.ts';
import { sqlState, storeErrors } from '../store-errors.ts';
import type { Tenants } from '../tenants.ts';
import { type BackFill, type BackFillRequest, backFill } from './back-fill.ts';
import { nextInstant } from './cron.ts';
import { syncDeclarations } from './declarations.ts';
import { type FireDeps, SCHEDULE_COLUMNS, type ScheduleRow } from './fire.ts';
import { audit, type LockedSchedule, lockSchedule, readSchedule, stepIfItCan } from './locked-schedule.ts';
import { type PreviewRequest, type PreviewTick, previewTicks } from './preview.ts';
import {
  type CronRights,
  checkedSchedule,
  invalidSchedule,
  type OwnSchedule,
  ownScheduleSchema,
  type SchedulePatch,
  schedulePatchSchema,
} from './schedule-input.ts';
import { servedTenants } from './selector.ts';

/** Own schedules of one tenant. */
export const OWN_SCHEDULES_MAX = 100;

export interface SchedulesDeps extends FireDeps {
  readonly ops: Pool;
  readonly tenants: Tenants;
  readonly wake: (queues: Iterable<string>) => void;
}

export function createSchedules(deps: SchedulesDeps) {
  /** Steps the schedule up to now, applies the change and records who made it, in one transaction. */
  async function change(
    id: string,
    actor: string,
    action: string,
    details: object,
    apply: (client: PoolClient, row: LockedSchedule) => Promise<void>,
  ): Promise<void> {
    const queues = await storeErrors(() =>
      inTransaction(deps.ops, [], async (client) => {
        const row = await lockSchedule(client, id);
        // One of a job that is gone can still be deleted.
        const known = action !== 'schedule.deleted' || deps.catalogue.find(row.job) !== undefined;
        // While it was disabled, nothing was due.
        const fired = row.enabled && known ? await stepIfItCan(deps, client, row, row.now) : new Set<string>();
        // Whom the job's general ones serve, what is due of them too, may change with a tenant's own.
        if (row.owner_tenant !== null && known)
          for (const queue of await stepGeneral(deps, client, row.job, row.now)) fired.add(queue);
        await apply(client, row);
        await audit(client, actor, action, { schedule: id, job: row.job, ...details }, row.owner_tenant);
        return fired;
      }),
    );
    deps.wake(queues);
  }

  return {
    /** See `syncDeclarations`. `mayFire` is false where schedules do not fire. */
    async sync({ mayFire = true }: { mayFire?: boolean } = {}): Promise<void> {
      deps.wake(await syncDeclarations(deps, mayFire));
    },

    /** Ticks are recorded as skipped until it is resumed. Errors: `UnknownScheduleError`. */
    pause: (id: string, actor: string) =>
      change(id, actor, 'schedule.paused', {}, async (client) => {
        await client.query('UPDATE ops.schedules SET paused_by = $2, paused_at = clock_timestamp() WHERE id = $1', [
          id,
          actor,
        ]);
      }),

    resume: (id: string, actor: string) =>
      change(id, actor, 'schedule.resumed', {}, async (client) => {
        await client.query('UPDATE ops.schedules SET paused_by = NULL, paused_at = NULL WHERE id = $1', [id]);
      }),

    /** Errors: `UnknownScheduleError`, `InvalidInputError` naming each field. */
    async edit(id: string, patch: SchedulePatch, actor: string, rights: CronRights = {}): Promise<void> {
      const p = checkedSchedule(schedulePatchSchema, patch, rights);
      await change(id, actor, 'schedule.edited', { patch: p }, async (client, row) => {
        if (row.owner_tenant !== null && p.tenants !== undefined)
          throw invalidSchedule([
            { pointer: '/tenants', code: 'fixed', detail: "a tenant's own schedule serves that tenant" },
          ]);
        const job = deps.catalogue.find(row.job);
        if (job !== undefined && p.options !== undefined) checkOptions(job, p.options);
        await updateSchedule(client, row, p).catch((error) => {
          if (sqlState(error) !== '23505') throw error;
          throw invalidSchedule([
            { pointer: '/cron', code: 'exists', detail: 'the tenant has another schedule of these times' },
          ]);
        });
      });
    },

    /** A tenant's own schedule, which replaces the general one of the job for it. Resolves to its id. Errors: `UnknownJobError`, `UnknownTenantError`, `InvalidInputError`. */
    async create(given: OwnSchedule, actor: string, rights: CronRights = {}): Promise<string> {
      const own = checkedSchedule(ownScheduleSchema, given, rights);
      const job = deps.catalogue.get(own.job);
      if (job.scope !== 'tenant' || job.system === 'ops')
        throw invalidSchedule([
          { pointer: '/job', code: 'invalid', detail: `'${job.name}' does not run for one tenant` },
        ]);
      if (!jobForInput(job, {}).input.safeParse({}).success)
        throw invalidSchedule([
          { pointer: '/job', code: 'needs-input', detail: `'${job.name}' cannot run without an input` },
        ]);
      checkOptions(job, own.options);
      const id = newId();
      const queues = await storeErrors(async () => {
        const tenant = await deps.tenants.resolve(job, own.tenant);
        return inTransaction(deps.ops, [], (client) => insertOwn(deps, client, id, tenant, own, actor));
      });
      deps.wake(queues);
      return id;
    },

    /** Ends a tenant's own schedule; the general one serves the tenant again. Its ticks stay. Errors: `UnknownScheduleError`, `InvalidInputError` for a general one. */
    remove: (id: string, actor: string) =>
      change(id, actor, 'schedule.deleted', {}, async (client, row) => {
        if (row.owner_tenant === null)
          throw invalidSchedule([
            { pointer: '/id', code: 'declared', detail: 'a general schedule is declared by its job; disable it' },
          ]);
        await client.query('DELETE FROM ops.schedules WHERE id = $1', [id]);
      }),

    /** Errors: `UnknownScheduleError`, `InvalidInputError` for a patch that could not be applied. */
    preview: (id: string, request: PreviewRequest, rights: CronRights = {}): Promise<PreviewTick[]> =>
      storeErrors(() => previewTicks(deps, id, request, rights)),

    /** Errors: `UnknownScheduleError`, `InvalidInputError`. */
    async backFill(id: string, request: BackFillRequest, actor: string): Promise<BackFill> {
      const done = await storeErrors(() => backFill(deps, id, request, actor));
      if (!done.dryRun) deps.wake(queuesOfJob(deps.catalogue.get(done.job)));
      return done;
    },

    /** Tenants that it serves now. Errors: `UnknownScheduleError`. */
    servedBy: (id: string): Promise<readonly TenantRef[]> =>
      storeErrors(() =>
        inTransaction(deps.ops, [], async (client) => {
          const row = await readSchedule(client, id);
          return (await servedTenants(client, deps.catalogue, [row])).get(id) ?? [];
        }),
      ),
  };
}

/** What its runs would be refused for is refused now: when they are due there is nobody to tell. Errors: `InvalidInputError`. */
function checkOptions(job: DefinedJob, options: object | undefined): void {
  newRun({ job, tenantId: '', input: {}, options: { ...job.options, ...options } as RunOptions, actor: '' });
}

type Patch = ReturnType<typeof schedulePatchSchema.parse>;

async function updateSchedule(client: PoolClient, row: LockedSchedule, p: Patch): Promise<void> {
  const [cron, zone, dst] = [p.cron ?? row.cron, p.zone ?? row.zone, p.dst ?? row.dst];
  await client.query(
    `UPDATE ops.schedules SET cron = $2, zone = $3, enabled = coalesce($4, enabled), misfire = coalesce($5, misfire),
       misfire_within_ms = CASE WHEN $6 THEN $7::bigint ELSE misfire_within_ms END, misfire_same_day = coalesce($8, misfire_same_day),
       overlap = coalesce($9, overlap), priority = CASE WHEN $10 THEN $11::smallint ELSE priority END, options = coalesce($12, options),
       tenant_selector = coalesce($13, tenant_selector), dst = $15, version = version + 1, edited = true, updated_at = clock_timestamp(), next_due_at = $14
     WHERE id = $1`,
    [
      row.id,
      cron,
      zone,
      p.enabled ?? null,
      p.misfire ?? null,
      p.misfireWithinMs !== undefined,
      p.misfireWithinMs ?? null,
      p.misfireSameDay ?? null,
      p.overlap ?? null,
      p.priority !== undefined,
      p.priority ? priorityNumber(p.priority) : null,
      p.options === undefined ? null : JSON.stringify(p.options),
      p.tenants === undefined ? null : JSON.stringify(p.tenants),
      nextInstant(cron, zone, row.now, dst),
      dst,
    ],
  );
}

async function insertOwn(
  deps: SchedulesDeps,
  client: PoolClient,
  id: string,
  tenant: TenantRef,
  own: ReturnType<typeof ownScheduleSchema.parse>,
  actor: string,
): Promise<Iterable<string>> {
  // One at a time for a tenant: the quota is exact.
  await client.query(`SELECT pg_advisory_xact_lock(hashtext('nightshift.own-schedules'), hashtext($1))`, [tenant.id]);
  const zone = own.zone ?? tenant.zone;
  const { rows } = await client.query<{ n: number; same: number; now: Date }>(
    `SELECT count(*)::integer AS n, (count(*) FILTER (WHERE (job, cron, zone) = ($2, $3, $4)))::integer AS same, clock_timestamp() AS now
     FROM ops.schedules WHERE owner_tenant = $1`,
    [tenant.id, own.job, own.cron, zone],
  );
  const { n, same, now } = rows[0] ?? { n: 0, same: 0, now: new Date() };
  if (n >= OWN_SCHEDULES_MAX)
    throw invalidSchedule([
      {
        pointer: '/tenant',
        code: 'quota',
        detail: `has ${n} schedules of its own, the most that a tenant may have; delete one`,
      },
    ]);
  if (same > 0)
    throw invalidSchedule([{ pointer: '/cron', code: 'exists', detail: 'the tenant has this schedule already' }]);
  const queues = await stepGeneral(deps, client, own.job, now);
  const dst = own.dst ?? 'once';
  await client.query(
    `INSERT INTO ops.schedules (id, job, tenant_selector, owner_tenant, cron, zone, dst, misfire, misfire_within_ms, misfire_same_day, overlap, priority,
       options, enabled, edited, next_due_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, true, $15)`,
    [
      ...[id, own.job, JSON.stringify({ only: [tenant.id] }), tenant.id, own.cron, zone, dst, own.misfire ?? 'latest'],
      ...[own.misfireWithinMs ?? null, own.misfireSameDay ?? false, own.overlap ?? 'skip'],
      ...[own.priority ? priorityNumber(own.priority) : null, JSON.stringify(own.options ?? {}), own.enabled ?? true],
      nextInstant(own.cron, zone, now, dst),
    ],
  );
  await audit(client, actor, 'schedule.created', { schedule: id, ...own }, tenant.id);
  return queues;
}

/** What is due of the job's general schedules still includes the tenant that now leaves them. */
async function stepGeneral(deps: SchedulesDeps, client: PoolClient, job: string, now: Date): Promise<Set<string>> {
  const { rows } = await client.query<ScheduleRow>(
    `SELECT ${SCHEDULE_COLUMNS} FROM ops.schedules WHERE job = $1 AND owner_tenant IS NULL AND enabled AND next_due_at <= $2 ORDER BY id FOR UPDATE`,
    [job, now],
  );
  const queues = new Set<string>();
  for (const row of rows) for (const queue of await stepIfItCan(deps, client, row, now)) queues.add(queue);
  return queues;
}

export type Schedules = ReturnType<typeof createSchedules>;
