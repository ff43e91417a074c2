import type { Pool } from '@nightshift/db';
import type { Logger } from 'pino';
import type { Broker, DispatchData } from './broker.ts';
import type { Catalogue } from './catalogue.ts';
import { createLoop, type Loop } from './loop.ts';

/** How often a process looks whether a probe is due, ms. */
const LOOK_EVERY_MS = 1_000;

const PROBE: DispatchData = { runs: [], job: 'probe', tenantIds: [], tenant: '', priority: 1, probe: true };

/** Who has just been asked is left out before its row is locked: every process looks each second, and nearly always in vain. */
const ASK = `
INSERT INTO ops.queues AS q (queue, probe_asked_at)
SELECT name, clock_timestamp() FROM unnest($1::text[]) AS name
WHERE NOT EXISTS (SELECT 1 FROM ops.queues WHERE queue = name AND probe_asked_at >= clock_timestamp() - make_interval(secs => $2)) ORDER BY name
ON CONFLICT (queue) DO UPDATE SET probe_asked_at = clock_timestamp(), probe_answered_at = NULL, probe_worker = NULL
WHERE q.probe_asked_at IS NULL OR q.probe_asked_at < clock_timestamp() - make_interval(secs => $2)
RETURNING queue`;

/**
 * A sign of life from each queue: an empty dispatch, every `everySeconds` by one process of the fleet. The worker that takes it writes the
 * answer (`answerProbe`). It costs one BullMQ job a queue and interval, and goes past pauses, which are Postgres' alone.
 */
export function createProbes(deps: {
  ops: Pool;
  broker: Broker;
  catalogue: Catalogue;
  log: Logger;
  everySeconds: number;
}): Loop {
  return createLoop('probe', deps.log, async () => {
    if (!deps.broker.isReady()) return LOOK_EVERY_MS;
    const { rows } = await deps.ops.query<{ queue: string }>(ASK, [
      deps.catalogue.queues.map((queue) => queue.name),
      deps.everySeconds,
    ]);
    for (const { queue } of rows) {
      // One waits at a time: an id that is taken is not added again.
      await deps.broker
        .queue(queue)
        .add('probe', PROBE, { jobId: 'probe', removeOnComplete: true, removeOnFail: true, attempts: 1 });
    }
    return Math.min(LOOK_EVERY_MS, deps.everySeconds * 1_000);
  });
}

export async function answerProbe(ops: Pool, queue: string, worker: string): Promise<void> {
  await ops.query(
    'UPDATE ops.queues SET probe_answered_at = clock_timestamp(), probe_worker = $2 WHERE queue = $1 AND probe_asked_at IS NOT NULL',
    [queue, worker],
  );
}
