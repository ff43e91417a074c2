import { type Logger, pino } from 'pino';
import { createCatalogue } from '../catalogue.ts';
import type { DefinedJob } from '../define-job.ts';
import type { Template } from '../notifications/template.ts';
import { createProducer, type Producer } from '../producer.ts';
import { type RunningWorker, startWorker, type WorkerOptions } from '../worker.ts';
import { type TestStore, testStore } from './test-store.ts';

/** Keys of every test engine; a test of the keys themselves makes its own. */
export const TEST_ENCRYPTION_KEYS = `test1:${Buffer.from('a key of tests, of no other use!').toString('base64')}`;

export interface TestEngineOptions {
  readonly jobs: readonly DefinedJob[];
  /** What `ctx.notify` may name. */
  readonly templates?: readonly Template[];
  /** Default 1; 0 leaves starting them to the test. */
  readonly workers?: number;
  readonly slots?: WorkerOptions['slots'];
  /** Default false: schedules don't fire by themselves. */
  readonly fireSchedules?: boolean;
  readonly now?: () => Promise<Date>;
  /** A store to share; then `close` leaves it open. */
  readonly store?: TestStore;
}

/** The real engine over a store of its own. */
export interface TestEngine {
  readonly store: TestStore;
  readonly producer: Producer;
  readonly workers: readonly RunningWorker[];
  /** Starts another worker, stopped by `close` unless it was stopped before. */
  addWorker(options?: Partial<WorkerOptions>): Promise<RunningWorker>;
  close(): Promise<void>;
}

export async function testEngine(options: TestEngineOptions): Promise<TestEngine> {
  const store = options.store ?? (await testStore());
  const log: Logger = pino({ level: process.env.NIGHTSHIFT_TEST_LOG ?? 'silent' });
  const catalogue = createCatalogue(options.jobs, options.templates);
  const shared = {
    databaseUrl: store.databaseUrl,
    redisUrl: store.redisUrl,
    namespace: store.namespace,
    catalogue,
    log,
    encryptionKeys: TEST_ENCRYPTION_KEYS,
  };
  const producer = createProducer(shared);
  const workers: RunningWorker[] = [];
  const addWorker = async (more: Partial<WorkerOptions> = {}) => {
    const worker = await startWorker({
      ...shared,
      slots: options.slots ?? { short: 2, long: 2 },
      fireSchedules: options.fireSchedules ?? false,
      ...(options.now === undefined ? {} : { now: options.now }),
      ...more,
    });
    workers.push(worker);
    await worker.consuming;
    return worker;
  };
  for (let i = 0; i < (options.workers ?? 1); i++) await addWorker();
  return {
    store,
    producer,
    workers,
    addWorker,
    async close() {
      await Promise.all(workers.map((worker) => worker.stop(2_000)));
      await producer.close();
      if (options.store === undefined) await store.close();
    },
  };
}
