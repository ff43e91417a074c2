import { createCatalogue } from '@nightshift/engine';
import { type AcceptRequest, createProducer } from '@nightshift/engine/accept';
import { startWorker } from '@nightshift/engine/worker';
import { pino } from 'pino';
import { benchJobs } from '../bench-jobs.ts';
import type { Payload, Work } from '../payload.ts';
import type { Driver, Target } from '../system.ts';
import { createTally, type Tally } from '../tally.ts';

const NAMESPACE = 'bench';
const ACTOR = 'bench';
/** The worker's own default. */
const CANARY_SECONDS = 60;
const log = pino({ level: 'warn' }, pino.destination(2));

function shared(target: Target, tally: Tally) {
  return {
    databaseUrl: target.databaseUrl,
    redisUrl: target.redisUrl,
    namespace: NAMESPACE,
    catalogue: createCatalogue(benchJobs(tally)),
    log,
  };
}

/** As it is shipped: every default, schedules on. */
export const nightshift: Driver = {
  async produce(target) {
    const producer = createProducer(shared(target, createTally()));
    const request = (work: Work, input: Payload, tenant: number): AcceptRequest => ({
      job: work === 'noop' ? 'bench.noop' : 'bench.update',
      tenant: target.tenants[tenant] ?? null,
      input,
    });
    return {
      add: (work, payload, tenant) => producer.accept(request(work, payload, tenant), ACTOR),
      addMany: (work, payloads, tenantOf) =>
        producer.acceptMany(
          payloads.map((payload) => request(work, payload, tenantOf(payload))),
          ACTOR,
        ),
      close: () => producer.close(),
    };
  },
  async consume(target, _work, tally) {
    const worker = await startWorker({ ...shared(target, tally), canarySeconds: CANARY_SECONDS });
    await worker.consuming;
    return { stop: () => worker.stop() };
  },
};
