import { createEffect } from '../effect.ts';
import type { Payload } from '../payload.ts';
import { importPeer } from '../peer-packages.ts';
import type { Driver, Target } from '../system.ts';

/** What we use of pg-boss 12. */
interface Boss {
  on(event: 'error', listener: (error: Error) => void): void;
  start(): Promise<unknown>;
  stop(options: { graceful: boolean; timeout: number }): Promise<void>;
  createQueue(name: string, options: object): Promise<void>;
  send(name: string, data: Payload): Promise<unknown>;
  insert(name: string, jobs: readonly { data: Payload }[]): Promise<unknown>;
  work(name: string, options: object, handler: (jobs: readonly { data: Payload }[]) => Promise<void>): Promise<unknown>;
}

interface PgBossModule {
  readonly PgBoss: new (options: object) => Boss;
}

const QUEUE = 'bench';
/** Batches fetched back to back, two workers in the process: the fastest that its documentation has. */
const WORK = { batchSize: 100, burstWhenBatchFull: true, localConcurrency: 2, pollingIntervalSeconds: 0.5 };
const EFFECT_CONNECTIONS = 20;

async function start(target: Target): Promise<Boss> {
  const { PgBoss } = await importPeer<PgBossModule>('pg-boss');
  const boss = new PgBoss({ connectionString: target.databaseUrl, max: 20, useListenNotify: true });
  boss.on('error', () => undefined);
  await boss.start();
  await boss.createQueue(QUEUE, { notify: true });
  return boss;
}

const stop = (boss: Boss) => boss.stop({ graceful: true, timeout: 10_000 });

export const pgBoss: Driver = {
  async produce(target) {
    const boss = await start(target);
    return {
      add: (_work, payload) => boss.send(QUEUE, payload),
      addMany: (_work, payloads) =>
        boss.insert(
          QUEUE,
          payloads.map((data) => ({ data })),
        ),
      close: () => stop(boss),
    };
  },
  async consume(target, work, tally) {
    const boss = await start(target);
    const effect = work === 'noop' ? null : createEffect(target.databaseUrl, EFFECT_CONNECTIONS);
    await boss.work(QUEUE, WORK, async (jobs) => {
      tally.begin(jobs.map((job) => job.data));
      if (work === 'update-batch') await effect?.updateMany(jobs.map((job) => job.data.i));
      else if (effect !== null) await Promise.all(jobs.map((job) => effect.update(job.data.i)));
    });
    return {
      async stop() {
        await stop(boss);
        await effect?.close();
      },
    };
  },
};
