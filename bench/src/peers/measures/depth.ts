import type { Redis } from 'ioredis';
import type { Measured } from '../sample.ts';
import { type Bench, type Session, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

/** How often Redis is asked for its size, ms. */
const LOOK_EVERY_MS = 50;

/** Drain rates with few and with very many waiting, and what the many cost Redis. */
export function depth(bench: Bench, system: SystemName): Promise<Measured> {
  const { shallow, shallowTimes, deep, deepWindow } = bench.sizes;
  return withSession(bench, system, { consumers: 1, warmUp: 'noop' }, async (session) => {
    const meter = session.meter();
    const shallowRates: number[] = [];
    for (let i = 0; i < shallowTimes; i++) {
      await session.fill({ work: 'noop', count: shallow });
      await session.store.settle();
      await session.start('noop');
      await session.untilHandled(shallow);
      shallowRates.push(rateOf(session));
      await session.untilEmpty();
      await session.stop();
    }
    const emptyBytes = await usedMemory(bench.platform.redis);
    const fillSeconds = await session.fill({ work: 'noop', count: deep });
    await session.store.settle();
    const watch = watchMemory(bench.platform.redis);
    await session.start('noop');
    await session.untilHandled(deepWindow);
    const deepRate = rateOf(session);
    const mostBytes = await watch.stop();
    const shallowRate = shallowRates.reduce((sum, rate) => sum + rate, 0) / shallowRates.length;
    return {
      figures: { shallowRate, deepRate, redisMb: (mostBytes - emptyBytes) / 1e6, fillRate: deep / fillSeconds },
      otherLoad: meter().otherLoad,
    };
  });
}

/** From the first job begun to the last: the ends of the queue, where it starts and stops, are in it for both depths. */
function rateOf(session: Session): number {
  return session.handled() / ((session.lastAt() - session.firstAt()) / 1_000);
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}

function watchMemory(redis: Redis) {
  let most = 0;
  const look = async () => {
    most = Math.max(most, await usedMemory(redis));
  };
  const timer = setInterval(() => void look().catch(() => undefined), LOOK_EVERY_MS);
  return {
    async stop(): Promise<number> {
      clearInterval(timer);
      await look();
      return most;
    },
  };
}
