import { inTransaction, type Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import { raiseAlert } from '../alerts/raise-alert.ts';
import type { Catalogue } from '../catalogue.ts';
import type { JobSettings } from '../job-settings.ts';
import { createLoop, type Loop } from '../loop.ts';
import { isPassing, scrubbed } from '../store-errors.ts';
import { unblock } from './after.ts';
import { fireSchedules, SCHEDULE_COLUMNS, type ScheduleRow } from './fire.ts';

/** Schedules in one transaction. */
const SCHEDULES_A_PASS = 500;
/** Retries and delayed runs that become due in one statement. */
const PROMOTED_A_PASS = 5_000;
const UNBLOCK_EVERY_MS = 1_000;
/** The loop never sleeps longer: what Redis would have told it, it finds by itself. */
const LONGEST_SLEEP_MS = 500;
/** Nor shorter: what is due may be in another worker's hands just now. */
const SHORTEST_SLEEP_MS = 5;

/** A schedule that could not be fired is left alone for so long. */
const FAILING_REST_MS = 30_000;

interface Pass {
  readonly schedules: number;
  readonly queues: ReadonlySet<string>;
}

export interface ClockDeps {
  /** See `FireDeps`. */
  readonly app?: Pool;
  readonly ops: Pool;
  readonly catalogue: Catalogue;
  readonly settings: JobSettings;
  readonly log: Logger;
  readonly wake: (queues: Iterable<string>) => void;
  /** False: no schedule fires here; due retries and blocked runs go on. */
  readonly fireSchedules: boolean;
  /** The time by which schedules fire; default the database's clock. Tests set their own. */
  readonly now?: () => Promise<Date>;
}

export interface Clock extends Loop {
  /** Fires what is due, once. Resolves to the number of schedules stepped. */
  fire(): Promise<number>;
}

/** One of the loops that every worker runs; rows are locked with SKIP LOCKED, so that any number of them share the work. */
export function createClock(deps: ClockDeps): Clock {
  const now = deps.now ?? (() => databaseNow(deps.ops));
  let unblockedAt = 0;
  // A schedule that nobody here fires may be long overdue: it is no reason to wake.
  const fired = deps.fireSchedules ? deps.catalogue.jobs.map((job) => job.name) : [];

  /** Those that could not be fired, and when they are tried again: they hold up no other. */
  const failing = new Map<string, number>();
  const failingNow = () => {
    for (const [id, until] of failing) if (until <= Date.now()) failing.delete(id);
    return [...failing.keys()];
  };

  /** One pass. Null: nothing is due. */
  async function firePass(): Promise<Pass | null> {
    const at = await now();
    const seen: ScheduleRow[] = [];
    try {
      return await fireDue(at, null, seen);
    } catch (error) {
      if (seen.length === 0 || isPassing(error)) throw error;
    }
    // One of them cannot be fired: each by itself, so that the others are.
    const queues = new Set<string>();
    for (const { id, job } of seen) {
      try {
        const alone = await fireDue(at, id, []);
        for (const queue of alone?.queues ?? []) queues.add(queue);
      } catch (error) {
        if (isPassing(error)) throw error;
        failing.set(id, Date.now() + FAILING_REST_MS);
        const reason = scrubbed(error);
        deps.log.error({ job, schedule: id, reason }, 'a schedule cannot be fired');
        await raiseAlert(deps.ops, {
          key: `schedule-failing:${id}`,
          severity: 'CRITICAL',
          job,
          message: `A schedule of ${job} cannot be fired: ${reason}`,
        });
      }
    }
    return { schedules: seen.length, queues };
  }

  /** In one transaction; `seen` is filled with what was due. */
  function fireDue(at: Date, only: string | null, seen: ScheduleRow[]): Promise<Pass | null> {
    return inTransaction(deps.ops, [], async (client) => {
      const { rows } = await client.query<ScheduleRow>({
        name: 'ns-due-schedules',
        text: `SELECT ${SCHEDULE_COLUMNS} FROM ops.schedules WHERE enabled AND next_due_at <= $1 AND job = ANY ($2)
            AND ($4::uuid IS NULL OR id = $4) AND id <> ALL ($5::uuid[])
          ORDER BY next_due_at LIMIT $3 FOR UPDATE SKIP LOCKED`,
        values: [at, deps.catalogue.jobs.map((job) => job.name), SCHEDULES_A_PASS, only, failingNow()],
      });
      seen.push(...rows);
      if (rows.length === 0) return null;
      return { schedules: rows.length, queues: await fireSchedules(deps, client, rows, at) };
    });
  }

  async function fire(): Promise<number> {
    const pass = await firePass();
    if (pass === null) return 0;
    deps.wake(pass.queues);
    return pass.schedules;
  }

  /** All that is due. Nobody is woken before it is on record: runs that begin meanwhile would make the ticks behind them late. */
  async function fireAll(): Promise<void> {
    const queues = new Set<string>();
    const passes = async (): Promise<boolean> => {
      const pass = await firePass();
      for (const queue of pass?.queues ?? []) queues.add(queue);
      return pass?.schedules === SCHEDULES_A_PASS;
    };
    const untilDone = async () => {
      while (await passes());
    };
    try {
      // Two at once where one was not enough: while Postgres writes for the one, the other is planned.
      if (!(await passes())) return;
      const [one, other] = await Promise.allSettled([untilDone(), untilDone()]);
      for (const ended of [one, other]) if (ended.status === 'rejected') throw ended.reason;
    } finally {
      if (queues.size > 0) deps.wake(queues);
    }
  }

  async function promote(): Promise<void> {
    const { rows } = await deps.ops.query<{ queue: string }>({
      name: 'ns-promote',
      text: `UPDATE ops.open_runs SET state = 'queued' WHERE id IN (
          SELECT id FROM ops.open_runs WHERE state = 'scheduled' AND due_at <= clock_timestamp() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING queue`,
      values: [PROMOTED_A_PASS],
    });
    if (rows.length > 0) deps.wake(new Set(rows.map((row) => row.queue)));
  }

  /** The one question that is asked at rest. Of time left: ms, less than nothing for what is overdue; null: nothing is planned. */
  async function look(): Promise<{ scheduleMs: number | null; runMs: number | null; blocked: boolean }> {
    // Planned each time, and by an order that an index has: a plan from when hardly anything was open, or for many blocked runs where there are
    // none, would read the whole table.
    const { rows } = await deps.ops.query<{ scheduleMs: number | null; runMs: number | null; blocked: boolean }>(
      `SELECT (extract(epoch FROM (SELECT min(next_due_at) FROM ops.schedules WHERE enabled AND job = ANY ($1) AND id <> ALL ($2::uuid[])) - clock_timestamp()) * 1000)::float8 AS "scheduleMs",
        (extract(epoch FROM (SELECT min(due_at) FROM ops.open_runs WHERE state = 'scheduled') - clock_timestamp()) * 1000)::float8 AS "runMs",
        (SELECT true FROM ops.open_runs WHERE state = 'blocked' ORDER BY tenant_id, job LIMIT 1) IS NOT NULL AS blocked`,
      [fired, failingNow()],
    );
    return rows[0] ?? { scheduleMs: null, runMs: null, blocked: false };
  }

  const loop = createLoop('clock', deps.log, async () => {
    const { scheduleMs, runMs, blocked } = await look();
    const isDue = (ms: number | null) => ms !== null && ms <= 0;
    // What is due by another clock than the database's is found by looking for it.
    if (deps.fireSchedules && (deps.now !== undefined || isDue(scheduleMs))) await fireAll();
    if (isDue(runMs)) await promote();
    if (blocked && Date.now() - unblockedAt >= UNBLOCK_EVERY_MS) {
      unblockedAt = Date.now();
      const queues = await unblock(deps.ops, await now());
      if (queues.size > 0) deps.wake(queues);
    }
    const nextMs = Math.min(scheduleMs ?? LONGEST_SLEEP_MS, runMs ?? LONGEST_SLEEP_MS, LONGEST_SLEEP_MS);
    return Math.max(SHORTEST_SLEEP_MS, Math.ceil(nextMs));
  });
  return { ...loop, fire };
}

async function databaseNow(ops: Pool): Promise<Date> {
  const { rows } = await ops.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  return rows[0]?.now ?? new Date();
}
