import { cpuFigures, type Measured } from '../sample.ts';
import { type Bench, TENANTS, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

const IN_FLIGHT = 100;

/** The system's way to add many at once. */
export function bulk(bench: Bench, system: SystemName): Promise<Measured> {
  const count = bench.sizes.bulk;
  return withSession(bench, system, { consumers: 0, warmUp: null }, async (session) => {
    await session.fill({ work: 'noop', count: bench.sizes.warmUp });
    await session.store.settle();
    const meter = session.meter();
    const seconds = await session.fill({ work: 'noop', count });
    const metered = meter();
    return { figures: { rate: count / seconds, ...cpuFigures(metered, count) }, otherLoad: metered.otherLoad };
  });
}

/** Some take ten times as long for one. */
const SHARE: Readonly<Record<SystemName, number>> = {
  nightshift: 1,
  bullmq: 1,
  'bullmq-postgres': 0.2,
  'pg-boss': 0.2,
  'pg-boss-batch': 0.2,
  'graphile-worker': 0.15,
};

/** One call a job, a hundred calls under way. */
export function singles(bench: Bench, system: SystemName): Promise<Measured> {
  const count = Math.ceil(bench.sizes.singles * SHARE[system]);
  const order = { work: 'noop', from: 0, tenants: TENANTS, inFlight: IN_FLIGHT } as const;
  return withSession(bench, system, { consumers: 0, warmUp: null }, async (session) => {
    await session.producer.call('singles', { ...order, count: Math.ceil(count / 5) });
    await session.store.settle();
    const meter = session.meter();
    const seconds = await session.producer.call('singles', { ...order, count });
    const metered = meter();
    return { figures: { rate: count / seconds, ...cpuFigures(metered, count) }, otherLoad: metered.otherLoad };
  });
}
