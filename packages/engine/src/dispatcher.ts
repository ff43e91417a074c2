import type { Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import type { Broker } from './broker.ts';
import type { Catalogue } from './catalogue.ts';
import { createPass } from './dispatch.ts';
import { createLoop, type Loop } from './loop.ts';
import type { Tenants } from './tenants.ts';

/** The net below every wake-up that was lost, ms. */
const POLL_MS = 500;
/** Another process is making the pass: what it may have missed is looked for after this, ms. */
const AFTER_OTHER_MS = 25;
/** Share of the newest measurement in a job's running mean. */
const NEWEST = 0.2;

export interface Dispatcher {
  wake(queues: Iterable<string>): void;
  /** A run of this job took so long, ms. */
  measured(job: string, msPerRun: number): void;
  stop(): Promise<void>;
}

/** A loop per queue: pass, add to BullMQ, sleep until woken. */
export function createDispatcher(deps: {
  ops: Pool;
  catalogue: Catalogue;
  broker: Broker;
  tenants: Tenants;
  log: Logger;
}): Dispatcher {
  const means = new Map<string, number>();
  const kinds = new Map(deps.catalogue.queues.map((queue) => [queue.name, queue.kind]));
  const pass = createPass({
    ops: deps.ops,
    kindOf: (queue) => kinds.get(queue) ?? 'short',
    msPerRun: (job) => means.get(job),
  });
  const slugOf = async (tenantId: string) => (await deps.tenants.byId(tenantId)).slug;

  /** One round. Runs whose BullMQ job could not be added go back at once: nothing else would take them for 15 s. */
  async function round(queue: string): Promise<number> {
    // Without Redis runs wait in Postgres, where nothing is lost.
    if (!deps.broker.isReady()) return POLL_MS;
    const made = await pass(queue);
    if (made === null) return AFTER_OTHER_MS;
    if (made.lifts.length > 0) await deps.broker.lift(queue, made.lifts).catch(() => undefined);
    if (made.dispatches.length === 0) return POLL_MS;
    try {
      await deps.broker.add(queue, made.dispatches, slugOf);
    } catch (error) {
      deps.log.warn(
        { queue, err: { message: (error as Error).message } },
        'Redis did not take the dispatches; their runs are queued again',
      );
      await deps.ops.query(
        `UPDATE ops.open_runs SET state = 'queued', dispatch_id = NULL, dispatched_at = NULL WHERE dispatch_id = ANY ($1) AND state = 'dispatched'`,
        [made.dispatches.map((dispatch) => dispatch.id)],
      );
      return POLL_MS;
    }
    return made.more ? 0 : POLL_MS;
  }

  const loops = new Map<string, Loop>();
  for (const { name } of deps.catalogue.queues) {
    loops.set(
      name,
      createLoop(`dispatch ${name}`, deps.log, () => round(name)),
    );
  }
  return {
    wake(queues) {
      for (const queue of queues) loops.get(queue)?.wake();
    },
    measured(job, msPerRun) {
      const mean = means.get(job);
      means.set(job, mean === undefined ? msPerRun : mean * (1 - NEWEST) + msPerRun * NEWEST);
    },
    async stop() {
      await Promise.all([...loops.values()].map((loop) => loop.stop()));
    },
  };
}
