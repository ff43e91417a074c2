import { setTimeout as wait } from 'node:timers/promises';
import { cpuOf, type Metered, startMeter } from './cpu.ts';
import { monotonicMs, type Work } from './payload.ts';
import type { Platform } from './platform.ts';
import { type RoleProcess, startConsumer, startProducer } from './role-process.ts';
import type { ConsumerCalls, Order, ProducerCalls } from './roles.ts';
import type { Sizes } from './sizes.ts';
import type { Store } from './stores.ts';
import type { SystemName } from './system.ts';

export interface Bench {
  readonly platform: Platform;
  readonly sizes: Sizes;
  readonly profileDir: string | null;
}

/** Payloads a bulk call, and bulk calls at once: the same for every system. With two at once up to a fifth of the machine stood idle. */
export const BULK = { chunk: 1_000, inFlight: 4 };
/** Tenants among whom runs are spread unless a measure says otherwise. */
export const TENANTS = 10;
const PATIENCE_MS = 300_000;
const LOOK_EVERY_MS = 3;
/** How often workers tell their progress, ms: how exactly a beginning and an end are seen. What they tell costs the cores that the measured need. */
const TELL_EVERY_MS = 25;

/** One system with an empty store, a producer's process and workers' processes that have not started to take jobs. */
export interface Session {
  readonly system: SystemName;
  readonly store: Store;
  readonly producer: RoleProcess<ProducerCalls>;
  readonly consumers: readonly RoleProcess<ConsumerCalls>[];
  fill(order: Partial<Order> & { work: Work; count: number }): Promise<number>;
  start(work: Work): Promise<void>;
  stop(): Promise<void>;
  handled(): number;
  /** Errors: it took longer than five minutes. */
  untilHandled(count: number): Promise<void>;
  /** Nothing is left in the store. Resolves to when that was seen. Errors: as above. */
  untilEmpty(): Promise<number>;
  firstAt(): number;
  lastAt(): number;
  latencies(): Promise<number[]>;
  meter(): () => Metered;
}

interface SessionOptions {
  readonly consumers: number;
  readonly warmUp: Work | null;
  /** Default 25 ms. */
  readonly tellEveryMs?: number;
}

/** Opens a session, warms its workers up with `work` (null: not) and stops them, and takes everything away afterwards. */
export async function withSession<T>(
  bench: Bench,
  system: SystemName,
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const store = bench.platform.store(system);
  await store.reset();
  const { profileDir } = bench;
  const { tellEveryMs = TELL_EVERY_MS } = options;
  const role = { system, target: bench.platform.target(system), profileDir, tellEveryMs };
  const producer = await startProducer(role);
  const consumers: RoleProcess<ConsumerCalls>[] = [];
  try {
    for (let i = 0; i < options.consumers; i++) consumers.push(await startConsumer(role));
    const session = createSession(bench, system, { store, producer, consumers });
    if (options.warmUp !== null && consumers.length > 0) {
      await warmUp(session, warmUpCount(system, bench.sizes, consumers.length), options.warmUp);
    }
    return await work(session);
  } finally {
    await Promise.all(consumers.map((consumer) => consumer.call('stop').catch(() => undefined)));
    await producer.call('close').catch(() => undefined);
    await Promise.all([producer, ...consumers].map((one) => one.exit()));
    // Else the next session vacuums after this one, and finds the buffers full of its pages.
    await store.reset();
  }
}

async function warmUp(session: Session, count: number, work: Work): Promise<void> {
  await session.fill({ work, count });
  await session.start(work);
  await session.untilHandled(count);
  await session.untilEmpty();
  await session.stop();
}

/** Each worker its share; BullMQ on Postgres takes ten times as long for one. */
export function warmUpCount(system: SystemName, sizes: Sizes, consumers: number): number {
  return system === 'bullmq-postgres' ? Math.ceil(sizes.warmUp / 10) : sizes.warmUp * consumers;
}

function createSession(
  bench: Bench,
  system: SystemName,
  parts: Pick<Session, 'store' | 'producer' | 'consumers'>,
): Session {
  const { store, producer, consumers } = parts;
  const times = (pick: 'firstAt' | 'lastAt') =>
    consumers.map((consumer) => consumer.progress()[pick]).filter((at) => at !== null);
  const handled = () => consumers.reduce((sum, consumer) => sum + consumer.progress().handled, 0);
  const sum = (pids: readonly number[]) => pids.reduce((total, pid) => total + cpuOf(pid), 0);
  return {
    system,
    ...parts,
    fill: (order) => producer.call('fill', { from: 0, tenants: TENANTS, ...BULK, ...order }),
    async start(work) {
      await Promise.all(consumers.map((consumer) => consumer.call('start', work)));
    },
    async stop() {
      await Promise.all(consumers.map((consumer) => consumer.call('stop')));
    },
    handled,
    untilHandled: (count) =>
      untilTold(
        consumers,
        () => handled() >= count,
        () => `${system}: ${handled()} of ${count} jobs began`,
      ),
    async untilEmpty() {
      const until = monotonicMs() + PATIENCE_MS;
      while (!(await store.isEmpty())) {
        if (monotonicMs() > until) throw new Error(`${system}: ${await store.left()} jobs never ended`);
        await wait(LOOK_EVERY_MS);
      }
      return monotonicMs();
    },
    firstAt: () => Math.min(...times('firstAt')),
    lastAt: () => Math.max(...times('lastAt')),
    latencies: async () => (await Promise.all(consumers.map((consumer) => consumer.call('latencies')))).flat(),
    meter: () =>
      startMeter({
        producer: () => cpuOf(producer.pid),
        worker: () => sum(consumers.map((consumer) => consumer.pid)),
        redis: bench.platform.redisCpu,
        postgres: bench.platform.postgresCpu,
      }),
  };
}

/** Resolves when `done` says so after a worker told its progress. Errors: after five minutes, with what `state` says. */
async function untilTold(consumers: Session['consumers'], done: () => boolean, state: () => string): Promise<void> {
  if (done()) return;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => end(new Error(`${state()} within ${PATIENCE_MS / 1_000} s`)), PATIENCE_MS);
    const offs = consumers.map((consumer) => consumer.onProgress(() => done() && end(null)));
    function end(error: Error | null): void {
      clearTimeout(timer);
      for (const off of offs) off();
      if (error === null) resolve();
      else reject(error);
    }
  });
}
