import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Pass } from './dispatch.ts';
import { add, closeStore, finish, openStore, ownQueue, passes, worker } from './testing/passes.ts';

// Passes alone, without BullMQ. What is urgent comes one at a time, beside a backlog that has waited past its bound, as after an outage.

const CRITICAL = 1;
const LOW = 3;
const PASSES = 60;

beforeAll(openStore);
afterAll(closeStore);
beforeEach(ownQueue);

interface Waiting {
  readonly dispatch: Pass['dispatches'][number];
  readonly priority: number;
}

/** What Redis holds, in the order in which BullMQ gives it out: by priority, what was lifted before all others. */
function broker() {
  let waiting: Waiting[] = [];
  return {
    waiting: (): readonly Waiting[] => waiting,
    receive(pass: Pass): void {
      waiting.push(...pass.dispatches.map((dispatch) => ({ dispatch, priority: dispatch.priority })));
      for (const id of pass.lifts)
        waiting = waiting.map((one) => (one.dispatch.id === id ? { ...one, priority: 0 } : one));
      waiting.sort((a, b) => a.priority - b.priority);
    },
    async execute(most: number): Promise<Waiting[]> {
      const taken = waiting.splice(0, most);
      await finish(taken.map(({ dispatch }) => dispatch));
      return taken;
    },
  };
}

test.each([1, 2])(
  'of every ten dispatches that start, one has waited past its bound, and no more, where %i start a pass',
  async (each) => {
    await worker(8);
    await add({ priority: LOW, n: 1_000, ageSeconds: 1_800 });
    const pass = passes({ msPerRun: () => 250 });
    const redis = broker();
    for (let i = 0; i < 2; i++) redis.receive(await pass());
    const fresh = new Set<string>();
    const isFresh = ({ dispatch }: Waiting) => dispatch.runs.some((id) => fresh.has(id));
    const started: Waiting[] = [];
    const ahead: number[] = [];
    for (let i = 0; i < PASSES; i++) {
      for (const id of await add({ priority: CRITICAL })) fresh.add(id);
      redis.receive(await pass());
      ahead.push(redis.waiting().filter((one) => one.priority <= CRITICAL && !isFresh(one)).length);
      started.push(...(await redis.execute(each)));
    }
    const late = started.filter((one) => one.priority <= CRITICAL && !isFresh(one)).length;
    expect(late).toBeGreaterThanOrEqual(Math.floor(started.length / 10) - 2);
    expect(late).toBeLessThanOrEqual(Math.ceil(started.length / 10) + 2);
    expect(started.filter(isFresh).length).toBeGreaterThanOrEqual(PASSES - PASSES / 10 - 2);
    // So few are before a fresh one that it starts with the next.
    expect(Math.max(...ahead)).toBeLessThanOrEqual(each === 1 ? PASSES / 10 : 3);
  },
);
