import { setTimeout as wait } from 'node:timers/promises';
import { monotonicMs, type Payload, payload, type Work } from './payload.ts';
import type { Consuming, Driver, Producing, Target } from './system.ts';
import { createTally, type Tally } from './tally.ts';

/** Payloads `from` to `from + count`, spread over `tenants` tenants in turn, beginning with `firstTenant`. */
export interface Order {
  readonly work: Work;
  readonly from: number;
  readonly count: number;
  readonly tenants: number;
  readonly firstTenant?: number;
}

/** What a benchmark asks of a producer's process. Seconds are from the first call to the last answer. */
export interface ProducerCalls {
  /** Bulk calls of `chunk` payloads, `inFlight` of them at once. */
  fill(order: Order & { readonly chunk: number; readonly inFlight: number }): Promise<number>;
  /** One call a payload, `inFlight` of them at once. */
  singles(order: Order & { readonly inFlight: number }): Promise<number>;
  /** One that says when it was asked for. */
  one(work: Work, i: number, tenant: number): Promise<void>;
  /** At a fixed rate whatever comes back; each says when it was to be asked for. Resolves to how many were accepted. */
  atRate(work: Work, perSecond: number, seconds: number, tenants: number): Promise<number>;
  close(): Promise<void>;
}

export interface ConsumerCalls {
  /** Begins with a clean tally. */
  start(work: Work): Promise<void>;
  stop(): Promise<void>;
  latencies(): Promise<number[]>;
  clear(): Promise<void>;
}

export async function producerCalls(driver: Driver, target: Target): Promise<ProducerCalls> {
  const producing = await driver.produce(target);
  return {
    async fill(order) {
      const starts = Array.from(
        { length: Math.ceil(order.count / order.chunk) },
        (_, i) => order.from + i * order.chunk,
      );
      const end = order.from + order.count;
      return timed(() =>
        inParallel(order.inFlight, starts, (from) => {
          const length = Math.min(order.chunk, end - from);
          const payloads = Array.from({ length }, (_, i) => payload(from + i));
          return producing.addMany(order.work, payloads, (one) => tenantOf(order, one.i));
        }),
      );
    },
    async singles(order) {
      const ids = Array.from({ length: order.count }, (_, i) => order.from + i);
      return timed(() =>
        inParallel(order.inFlight, ids, (i) => producing.add(order.work, payload(i), tenantOf(order, i))),
      );
    },
    async one(work, i, tenant) {
      await producing.add(work, payload(i, monotonicMs()), tenant);
    },
    atRate: (work, perSecond, seconds, tenants) => atRate(producing, work, { perSecond, seconds, tenants }),
    close: () => producing.close(),
  };
}

function tenantOf(order: Order, i: number): number {
  return (order.firstTenant ?? 0) + (i % order.tenants);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = monotonicMs();
  await work();
  return (monotonicMs() - startedAt) / 1_000;
}

async function inParallel<T>(many: number, items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const item = items[next++] as T;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: many }, lane));
}

async function atRate(
  producing: Producing,
  work: Work,
  pace: { perSecond: number; seconds: number; tenants: number },
): Promise<number> {
  const total = pace.perSecond * pace.seconds;
  const startedAt = monotonicMs();
  const answers: Promise<boolean>[] = [];
  while (answers.length < total) {
    const due = Math.min(total, Math.floor(((monotonicMs() - startedAt) / 1_000) * pace.perSecond) + 1);
    while (answers.length < due) {
      const i = answers.length;
      const one: Payload = payload(i, startedAt + (i * 1_000) / pace.perSecond);
      answers.push(
        producing.add(work, one, i % pace.tenants).then(
          () => true,
          () => false,
        ),
      );
    }
    await wait(1);
  }
  return (await Promise.all(answers)).filter(Boolean).length;
}

export interface Consumer extends ConsumerCalls {
  readonly tally: Tally;
}

export function consumerCalls(driver: Driver, target: Target): Consumer {
  const tally = createTally();
  let consuming: Consuming | null = null;
  return {
    tally,
    async start(work) {
      tally.clear();
      consuming = await driver.consume(target, work, tally);
    },
    async stop() {
      await consuming?.stop();
      consuming = null;
    },
    latencies: async () => tally.latencies(),
    clear: async () => tally.clear(),
  };
}
