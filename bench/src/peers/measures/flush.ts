import { setTimeout as wait } from 'node:timers/promises';
import { monotonicMs } from '../payload.ts';
import type { Measured } from '../sample.ts';
import { type Bench, type Session, withSession } from '../session.ts';
import type { SystemName } from '../system.ts';

/** Without a job for so long: nothing will come any more, ms; when the store has none left either, much sooner. */
const GIVE_UP_MS = 60_000;
const QUIET_MS = 3_000;
const LOOK_EVERY_MS = 5;

/** FLUSHALL in the middle of a backlog: how long nothing runs, and what is never run. */
export function flush(bench: Bench, system: SystemName): Promise<Measured> {
  const waiting = bench.sizes.flush;
  const before = Math.ceil(waiting / 10);
  return withSession(bench, system, { consumers: 1, warmUp: 'noop' }, async (session) => {
    await session.fill({ work: 'noop', count: waiting + before });
    await session.store.settle();
    const meter = session.meter();
    await session.start('noop');
    await session.untilHandled(before);
    await bench.platform.redis.flushall();
    const flushedAt = monotonicMs();
    const { goesOnAt, endedAt } = await watchRecovery(session, flushedAt, waiting + before);
    const lost = Math.max(0, waiting + before - session.handled());
    return {
      figures: {
        lost,
        again: Math.max(0, session.handled() - waiting - before),
        // Nothing goes on when all is lost.
        ...(lost === 0 ? { recovery: (goesOnAt - flushedAt) / 1_000, drained: (endedAt - flushedAt) / 1_000 } : {}),
      },
      otherLoad: meter().otherLoad,
    };
  });
}

/** `goesOnAt`: the end of the longest time without a job begun. */
async function watchRecovery(session: Session, flushedAt: number, all: number) {
  let longest = 0;
  let goesOnAt = flushedAt;
  let changedAt = flushedAt;
  let seen = session.handled();
  while (session.handled() < all && monotonicMs() - changedAt < GIVE_UP_MS) {
    await wait(LOOK_EVERY_MS);
    if (session.handled() === seen) {
      if (monotonicMs() - changedAt > QUIET_MS && (await session.store.isEmpty())) break;
      continue;
    }
    const now = monotonicMs();
    if (now - changedAt > longest) {
      longest = now - changedAt;
      goesOnAt = now;
    }
    seen = session.handled();
    changedAt = now;
  }
  return { goesOnAt, endedAt: monotonicMs() };
}
