import { setTimeout as wait } from 'node:timers/promises';
import { type Measured, quantile } from '../sample.ts';
import { type Bench, TENANTS, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

/** Between two single runs of the other tenant, ms. */
const EVERY_MS = 50;

/** One tenant's backlog, and now and then a single run of another's: from its call to its handler's first line. */
export function flood(bench: Bench, system: SystemName): Promise<Measured> {
  const count = bench.sizes.flood;
  return withSession(bench, system, { consumers: 1, warmUp: 'noop' }, async (session) => {
    await session.fill({ work: 'noop', count, tenants: 1 });
    await session.store.settle();
    const meter = session.meter();
    await session.start('noop');
    let asked = 0;
    await session.untilHandled(1);
    while (session.handled() < count) {
      asked += 1;
      await session.producer.call('one', 'noop', count + asked, TENANTS - 1);
      await wait(EVERY_MS);
    }
    await session.untilHandled(count + asked);
    const { otherLoad } = meter();
    const latencies = await session.latencies();
    return {
      figures: { p50: quantile(latencies, 0.5), p95: quantile(latencies, 0.95), asked: latencies.length },
      otherLoad,
    };
  });
}
