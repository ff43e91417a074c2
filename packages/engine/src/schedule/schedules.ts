import { createHash } from 'node:crypto';
import { inTransaction, isUuid, type Pool, type PoolClient } from '@nightshift/db';
import { z } from 'zod';
import { storeErrors } from '../accept.ts';
import type { Catalogue } from '../catalogue.ts';
import { type DefinedJob, runOptionsSchema } from '../define-job.ts';
import { InvalidInputError, UnknownScheduleError } from '../errors.ts';
import { fieldProblems } from '../new-run.ts';
import { PRIORITIES, priorityNumber } from '../priority.ts';
import { SYSTEM_SLUG } from '../tenants.ts';
import { cronProblem, nextInstant, zoneProblem } from './cron.ts';
import { type FireDeps, fireSchedules, type ScheduleRow } from './fire.ts';

/** What a person may change of a schedule at run time. Times in ms. */
export const schedulePatchSchema = z.strictObject({
  cron: z.string().max(100).optional(),
  zone: z.string().max(64).optional(),
  enabled: z.boolean().optional(),
  misfire: z.enum(['skip', 'latest', 'all']).optional(),
  misfireWithinMs: z.int().min(1_000).nullable().optional(),
  misfireSameDay: z.boolean().optional(),
  overlap: z.enum(['skip', 'queue']).optional(),
  priority: z.enum(PRIORITIES).nullable().optional(),
  options: runOptionsSchema.optional(),
  tenants: z
    .union([
      z.strictObject({ all: z.literal(true) }),
      z.strictObject({ only: z.array(z.uuid()).min(1).max(1_000) }),
      z.strictObject({ except: z.array(z.uuid()).min(1).max(1_000) }),
    ])
    .optional(),
});
export type SchedulePatch = z.input<typeof schedulePatchSchema>;

/** An id that every process derives alike, so that declaring twice meets a key. */
function derivedId(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export function createSchedules(
  deps: FireDeps & { ops: Pool; catalogue: Catalogue; wake: (queues: Iterable<string>) => void },
) {
  /** Declares one schedule of a job. A row that a person edited is left alone; a changed declaration is a new version. */
  async function declare(client: PoolClient, job: DefinedJob, zone: string, tenantZone: string | null): Promise<void> {
    const { schedule } = job;
    if (schedule === undefined) return;
    const within = schedule.misfire?.within;
    const values = [
      derivedId(`schedule ${job.name} ${tenantZone ?? ''}`),
      job.name,
      schedule.cron,
      zone,
      tenantZone,
      schedule.misfire?.policy ?? 'latest',
      typeof within === 'number' ? within : null,
      within === 'same-day',
      schedule.overlap ?? 'skip',
      nextInstant(schedule.cron, zone, new Date()),
    ];
    await client.query(
      `INSERT INTO ops.schedules AS s (id, job, cron, zone, tenant_zone, misfire, misfire_within_ms, misfire_same_day, overlap, next_due_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
       ON CONFLICT (id) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, misfire = excluded.misfire, misfire_within_ms = excluded.misfire_within_ms,
         misfire_same_day = excluded.misfire_same_day, overlap = excluded.overlap, version = s.version + 1, updated_at = clock_timestamp(),
         next_due_at = CASE WHEN (s.cron, s.zone) = (excluded.cron, excluded.zone) THEN s.next_due_at ELSE least(s.next_due_at, excluded.next_due_at) END
       WHERE NOT s.edited AND (s.cron, s.zone, s.misfire, s.misfire_within_ms, s.misfire_same_day, s.overlap)
         IS DISTINCT FROM (excluded.cron, excluded.zone, excluded.misfire, excluded.misfire_within_ms, excluded.misfire_same_day, excluded.overlap)`,
      values,
    );
  }

  async function change(
    id: string,
    actor: string,
    action: string,
    details: object,
    apply: (client: PoolClient, row: ScheduleRow & { readonly now: Date }) => Promise<void>,
  ): Promise<void> {
    if (!isUuid(id)) throw new UnknownScheduleError(id);
    const queues = await storeErrors(() =>
      inTransaction(deps.ops, [], async (client) => {
        const { rows } = await client.query<ScheduleRow & { now: Date; enabled: boolean }>(
          'SELECT *, clock_timestamp() AS now FROM ops.schedules WHERE id = $1 FOR UPDATE',
          [id],
        );
        const [row] = rows;
        if (row === undefined) throw new UnknownScheduleError(id);
        // What was due until now was due under the version in force until now; while it was disabled, nothing was.
        const fired =
          row.enabled && row.next_due_at <= row.now
            ? await fireSchedules(deps, client, [row], row.now)
            : new Set<string>();
        await apply(client, row);
        await client.query(`INSERT INTO ops.audit_log (actor, action, details) VALUES ($1, $2, $3)`, [
          actor,
          action,
          JSON.stringify({ schedule: id, job: row.job, ...details }),
        ]);
        return fired;
      }),
    );
    deps.wake(queues);
  }

  return {
    /** Writes the catalogue's schedules and the tenants of kind `system` that own system-scope runs. Safe to call at every start. */
    async sync(): Promise<void> {
      await inTransaction(deps.ops, [], async (client) => {
        await client.query(`SELECT pg_advisory_xact_lock(hashtext('nightshift.schedules'))`);
        for (const system of new Set(
          deps.catalogue.jobs.filter((job) => job.scope === 'system').map((job) => job.system),
        )) {
          await client.query(
            `INSERT INTO ops.tenants (id, system, slug, name, kind) VALUES ($1, $2, $3, $2, 'system') ON CONFLICT DO NOTHING`,
            [derivedId(`system ${system}`), system, SYSTEM_SLUG],
          );
        }
        for (const job of deps.catalogue.jobs) {
          if (job.schedule === undefined) continue;
          if (job.schedule.zone !== 'tenant') {
            await declare(client, job, job.schedule.zone, null);
            continue;
          }
          const { rows } = await client.query<{ zone: string }>(
            `SELECT DISTINCT zone FROM ops.tenants WHERE system = $1 AND kind = 'tenant'`,
            [job.system],
          );
          for (const { zone } of rows) await declare(client, job, zone, zone);
        }
      });
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
    async edit(id: string, patch: SchedulePatch, actor: string): Promise<void> {
      const parsed = schedulePatchSchema.safeParse(patch);
      if (!parsed.success)
        throw new InvalidInputError('The schedule cannot be changed so', fieldProblems(parsed.error));
      const p = parsed.data;
      const problems = [
        { pointer: '/cron', detail: p.cron === undefined ? null : cronProblem(p.cron) },
        { pointer: '/zone', detail: p.zone === undefined ? null : zoneProblem(p.zone) },
      ].flatMap(({ pointer, detail }) => (detail === null ? [] : [{ pointer, code: 'invalid', detail }]));
      if (problems.length > 0) throw new InvalidInputError('The schedule cannot be changed so', problems);
      await change(id, actor, 'schedule.edited', { patch: p }, async (client, row) => {
        const cron = p.cron ?? row.cron;
        const zone = p.zone ?? row.zone;
        await client.query(
          `UPDATE ops.schedules SET cron = $2, zone = $3, enabled = coalesce($4, enabled), misfire = coalesce($5, misfire),
             misfire_within_ms = CASE WHEN $6 THEN $7::bigint ELSE misfire_within_ms END, misfire_same_day = coalesce($8, misfire_same_day),
             overlap = coalesce($9, overlap), priority = CASE WHEN $10 THEN $11::smallint ELSE priority END, options = coalesce($12, options),
             tenant_selector = coalesce($13, tenant_selector), version = version + 1, edited = true, updated_at = clock_timestamp(), next_due_at = $14
           WHERE id = $1`,
          [
            id,
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
            nextInstant(cron, zone, row.now),
          ],
        );
      });
    },
  };
}
