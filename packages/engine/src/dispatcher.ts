import type { Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import type { Broker } from './broker.ts';
import type { Catalogue } from './catalogue.ts';
import { createPass } from './dispatch.ts';
import { type NewDispatch, queuesWaiting } from './dispatch-queries.ts';
import { mayShare } from './execute/together.ts';
import { giveBack } from './give-back.ts';
import { createLimits } from './limits/limits.ts';
import { createLoop, type Loop } from './loop.ts';
import type { Tenants } from './tenants.ts';

/** The net below every wake-up that was lost: queues with runs to hand out are looked for so often, ms. */
const LOOK_EVERY_MS = 500;
/** A queue sleeps until it is woken, or looked for because runs wait in it: a pass that finds nothing costs as much as one question about all queues. */
const AT_REST_MS = 60_000;
/**
 * Another process makes the passes: this one asks again when no dispatch has ended here for so long, ms. While they end there is enough to do, and passes
 * are cheapest where the last was made: there it is known how far it came (floors.ts).
 */
const AFTER_OTHER_MS = 100;
/** Under a backlog a pass is made when this share of the window has ended, since a pass costs nearly as much for one as for many. */
const REFILL_AT = 0.5;
/** … or when none has come free for so long, ms. */
const REFILL_AFTER_MS = 10;
/** Whoever made the last pass refills; no count of ends has the others do it. */
const OTHERS = Number.POSITIVE_INFINITY;
/** Share of the newest measurement in a job's running mean. */
const NEWEST = 0.2;
/** After bundles of several tenants had to be executed again, one by one, those of their job are dispatched so for this long, ms. */
const APART_MS = 30_000;

export interface Dispatcher {
  wake(queues: Iterable<string>): void;
  /** A dispatch of the queue ended in this process, which has so many slots for it. */
  freed(queue: string, slots: number): void;
  /** A run of this job took so long, ms. */
  measured(job: string, msPerRun: number): void;
  /** Bundles of several tenants could not be executed together: for a time each goes alone. */
  failedTogether(job: string): void;
  stop(): Promise<void>;
}

/** A loop per queue: pass, add to BullMQ, sleep until woken; and one that looks whether a wake-up was lost. */
export function createDispatcher(deps: {
  ops: Pool;
  catalogue: Catalogue;
  broker: Broker;
  tenants: Tenants;
  log: Logger;
}): Dispatcher {
  const means = new Map<string, number>();
  /** Until when a job's bundles go alone, ms. */
  const apart = new Map<string, number>();
  /** Queues with a backlog: the dispatches a slot after whose end this process makes a pass. */
  const refills = new Map<string, number>();
  const freed = new Map<string, { count: number; timer: NodeJS.Timeout }>();
  const kinds = new Map(deps.catalogue.queues.map((queue) => [queue.name, queue.kind]));
  const pass = createPass({
    ops: deps.ops,
    kindOf: (queue) => kinds.get(queue) ?? 'short',
    msPerRun: (job) => means.get(job),
    mayShare: (job) => mayShare(deps.catalogue.find(job)) && (apart.get(job) ?? 0) < Date.now(),
    limits: createLimits({ ops: deps.ops, catalogue: deps.catalogue }),
  });

  /** Resolves to the error with which it failed. */
  async function add(queue: string, dispatches: readonly NewDispatch[]): Promise<Error | null> {
    try {
      const tenants = await deps.tenants.byIds(dispatches.flatMap((dispatch) => dispatch.tenantIds));
      await deps.broker.add(queue, dispatches, tenants);
      return null;
    } catch (error) {
      return error as Error;
    }
  }

  /** One round. Runs whose BullMQ job could not be added go back at once: nothing else would take them for 15 s. */
  async function round(queue: string): Promise<number> {
    // Without Redis runs wait in Postgres, where nothing is lost.
    if (!deps.broker.isReady()) return AT_REST_MS;
    const early: Promise<Error | null>[] = [];
    const made = await pass(queue, (dispatches) => early.push(add(queue, dispatches)));
    if (made === null) {
      refills.set(queue, OTHERS);
      wakeAfter(queue, 0, AFTER_OTHER_MS);
      return AT_REST_MS;
    }
    if (made.lifts.length > 0) await deps.broker.lift(queue, made.lifts).catch(() => undefined);
    if (made.more) refills.set(queue, made.window * REFILL_AT);
    else refills.delete(queue);
    if (made.dispatches.length === 0) return AT_REST_MS;
    const refused = await (early[0] ?? add(queue, made.dispatches));
    if (refused !== null) {
      deps.log.warn(
        { queue, err: { message: refused.message } },
        'Redis did not take the dispatches; their runs are queued again',
      );
      await giveBack(deps.ops, 'dispatches', [made.dispatches.map((dispatch) => dispatch.id)]);
      return AT_REST_MS;
    }
    // Runs that are left wait for room: `freed` tells.
    return made.again ? 0 : AT_REST_MS;
  }

  const loops = new Map<string, Loop>();
  for (const { name } of deps.catalogue.queues) {
    loops.set(
      name,
      createLoop(`dispatch ${name}`, deps.log, () => round(name)),
    );
  }

  /** Wakes the queue unless a dispatch of it ends before, of which so many have since the last wake-up. */
  function wakeAfter(queue: string, count: number, ms: number): void {
    clearTimeout(freed.get(queue)?.timer);
    const timer = setTimeout(() => {
      freed.delete(queue);
      loops.get(queue)?.wake();
    }, ms);
    freed.set(queue, { count, timer });
  }

  const look = createLoop('look', deps.log, async () => {
    // Without Redis nobody could hand them out.
    if (deps.broker.isReady())
      // Who waits for another process asks by itself, once nothing ends here any more.
      for (const queue of await queuesWaiting(deps.ops, [...kinds.keys()]))
        if (!(refills.get(queue) === OTHERS && freed.has(queue))) loops.get(queue)?.wake();
    return LOOK_EVERY_MS;
  });
  return {
    wake(queues) {
      for (const queue of queues) loops.get(queue)?.wake();
    },
    freed(queue, slots) {
      const refill = refills.get(queue);
      if (refill === undefined) return;
      const known = freed.get(queue);
      const count = (known?.count ?? 0) + 1;
      if (count < slots * refill) return wakeAfter(queue, count, refill === OTHERS ? AFTER_OTHER_MS : REFILL_AFTER_MS);
      clearTimeout(known?.timer);
      freed.delete(queue);
      loops.get(queue)?.wake();
    },
    measured(job, msPerRun) {
      const mean = means.get(job);
      means.set(job, mean === undefined ? msPerRun : mean * (1 - NEWEST) + msPerRun * NEWEST);
    },
    failedTogether(job) {
      apart.set(job, Date.now() + APART_MS);
    },
    async stop() {
      await Promise.all([look, ...loops.values()].map((loop) => loop.stop()));
      for (const { timer } of freed.values()) clearTimeout(timer);
    },
  };
}
