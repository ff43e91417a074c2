import { setTimeout as wait } from 'node:timers/promises';
import { type Measured, quantile } from '../sample.ts';
import { type Bench, type Session, TENANTS, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

/** Between two that come one after the other, ms, at random up to twice that: the system must come to rest. */
const PAUSE_MS = 15;
/** The next is asked for when it was told that the one before began. */
const TELL_EVERY_MS = 5;

/** One at a time, nothing else going on: from the call to the handler's first line. */
export function idle(bench: Bench, system: SystemName): Promise<Measured> {
  return withSession(bench, system, { consumers: 1, warmUp: 'noop', tellEveryMs: TELL_EVERY_MS }, async (session) => {
    // What emptying the store left to write must not be written during the measurement.
    await session.store.settle();
    await session.start('noop');
    // The first ones still open connections and plan statements.
    await oneByOne(session, Math.ceil(bench.sizes.idle / 10));
    await Promise.all(session.consumers.map((consumer) => consumer.call('clear')));
    const meter = session.meter();
    await oneByOne(session, bench.sizes.idle);
    const { otherLoad } = meter();
    const latencies = await session.latencies();
    return { figures: { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }, otherLoad };
  });
}

async function oneByOne(session: Session, count: number): Promise<void> {
  for (let i = 1; i <= count; i++) {
    await session.producer.call('one', 'noop', i, i % TENANTS);
    await session.untilHandled(i);
    await wait(Math.random() * 2 * PAUSE_MS);
  }
}

/** At fixed rates, whatever comes back: from when each was to be asked for to its handler's first line. */
export function atRates(bench: Bench, system: SystemName): Promise<Measured> {
  const { ratesPerSecond, rateSeconds } = bench.sizes;
  return withSession(bench, system, { consumers: 1, warmUp: 'noop', tellEveryMs: TELL_EVERY_MS }, async (session) => {
    await session.store.settle();
    await session.start('noop');
    const figures: Record<string, number> = {};
    const meter = session.meter();
    for (const perSecond of ratesPerSecond) {
      await Promise.all(session.consumers.map((consumer) => consumer.call('clear')));
      const accepted = await session.producer.call('atRate', 'noop', perSecond, rateSeconds, TENANTS);
      await session.untilHandled(accepted);
      const latencies = await session.latencies();
      figures[`p50 at ${perSecond}`] = quantile(latencies, 0.5);
      figures[`p99 at ${perSecond}`] = quantile(latencies, 0.99);
    }
    return { figures, otherLoad: meter().otherLoad };
  });
}
