import type { PoolClient } from '@nightshift/db';
import type { DefinedJob } from '../define-job.ts';
import type { Inserted } from '../insert-runs.ts';
import type { NewRun } from '../new-run.ts';
import type { ScheduleRow } from './fire.ts';
import type { PlannedTick } from './plan-ticks.ts';

/** A tick that fires, with a run for each tenant it serves. */
export interface Fired {
  readonly schedule: ScheduleRow;
  readonly job: DefinedJob;
  readonly tick: PlannedTick;
  readonly triggerId: string;
  readonly runs: readonly NewRun[];
}

export interface TickRecord {
  readonly schedule: ScheduleRow;
  readonly tick: PlannedTick;
  readonly triggerId: string | null;
}

/** A tick none of whose runs could start, because each tenant's earlier run is still open, did not fire. */
export function afterOverlap(fired: Fired, made: Inserted): TickRecord {
  const { schedule, triggerId } = fired;
  const started = fired.runs.filter((run) => made.has(run.id)).length;
  const skipped = fired.runs.length - started;
  if (fired.runs.length === 0) return { schedule, triggerId, tick: { ...fired.tick, reason: 'no tenant to run for' } };
  if (skipped === 0) return { schedule, triggerId, tick: fired.tick };
  const reason = `overlap: the earlier run of ${skipped} of ${fired.runs.length} tenants is still open`;
  if (started > 0) return { schedule, triggerId, tick: { ...fired.tick, reason } };
  return { schedule, triggerId: null, tick: { ...fired.tick, state: 'skipped', reason } };
}

export async function insertTriggers(client: PoolClient, fired: readonly Fired[], made: Inserted): Promise<void> {
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

export async function insertTicks(client: PoolClient, ticks: readonly TickRecord[]): Promise<void> {
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
