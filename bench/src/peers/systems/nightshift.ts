import { createCatalogue } from '@nightshift/engine';
import { type AcceptRequest, createProducer, type Producer } from '@nightshift/engine/accept';
import { startWorker } from '@nightshift/engine/worker';
import { pino } from 'pino';
import { benchJobs } from '../bench-jobs.ts';
import type { Payload, Work } from '../payload.ts';
import type { Driver, Target } from '../system.ts';
import { createTally, type Tally } from '../tally.ts';

const NAMESPACE = 'bench';
const ACTOR = 'bench';
const log = pino({ level: 'warn' }, pino.destination(2));

type Bulk = { acceptMany?: (requests: readonly AcceptRequest[], actor: string) => Promise<unknown> };

function acceptMany(producer: Producer & Bulk, requests: readonly AcceptRequest[]): Promise<unknown> {
  if (producer.acceptMany !== undefined) return producer.acceptMany(requests, ACTOR);
  return Promise.all(requests.map((request) => producer.accept(request, ACTOR)));
}

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
        acceptMany(
          producer,
          payloads.map((payload) => request(work, payload, tenantOf(payload))),
        ),
      close: () => producer.close(),
    };
  },
  async consume(target, _work, tally) {
    const worker = await startWorker(shared(target, tally));
    await worker.consuming;
    return { stop: () => worker.stop() };
  },
};
