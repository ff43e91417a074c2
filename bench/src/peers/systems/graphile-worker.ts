import { createEffect } from '../effect.ts';
import type { Payload, Work } from '../payload.ts';
import { importPeer } from '../peer-packages.ts';
import type { Driver, Target } from '../system.ts';

/** What we use of graphile-worker 0.18. */
interface Job {
  readonly identifier: Work;
  readonly payload: Payload;
}

interface GraphileWorker {
  makeWorkerUtils(options: object): Promise<{
    migrate(): Promise<void>;
    addJob(identifier: Work, payload: Payload): Promise<unknown>;
    addJobs(jobs: readonly Job[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
  run(options: object): Promise<{ stop(): Promise<void> }>;
  readonly Logger: new (factory: () => () => void) => object;
}

/** The configuration of its performance page, which is its fastest. */
const BATCHED = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const EFFECT_CONNECTIONS = 20;

async function load(target: Target) {
  const graphile = await importPeer<GraphileWorker>('graphile-worker');
  const logger = new graphile.Logger(() => () => undefined);
  const preset = { worker: { ...BATCHED, connectionString: target.databaseUrl, logger } };
  return { graphile, preset };
}

export const graphileWorker: Driver = {
  async produce(target) {
    const { graphile, preset } = await load(target);
    const utils = await graphile.makeWorkerUtils({ preset });
    await utils.migrate();
    return {
      add: (work, payload) => utils.addJob(work, payload),
      addMany: (work, payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: work, payload }))),
      close: () => utils.release(),
    };
  },
  async consume(target, _work, tally) {
    const { graphile, preset } = await load(target);
    const effect = createEffect(target.databaseUrl, EFFECT_CONNECTIONS);
    const taskList = {
      noop: async (payload: Payload) => tally.begin([payload]),
      update: async (payload: Payload) => {
        tally.begin([payload]);
        await effect.update(payload.i);
      },
    };
    const runner = await graphile.run({ preset, taskList, noHandleSignals: true });
    return {
      async stop() {
        await runner.stop();
        await effect.close();
      },
    };
  },
};
