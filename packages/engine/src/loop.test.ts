import { pino } from 'pino';
import { expect, it } from 'vitest';
import { createLoop } from './loop.ts';

const log = pino({ level: 'silent' });

/** Resolves with each round as it happens. */
function rounds() {
  const seen: (() => void)[] = [];
  let count = 0;
  return {
    happened() {
      count += 1;
      for (const resolve of seen.splice(0)) resolve();
    },
    async until(n: number) {
      while (count < n) await new Promise<void>((resolve) => seen.push(resolve));
    },
    get count() {
      return count;
    },
  };
}

it('sleeps until it is woken', async () => {
  const round = rounds();
  const loop = createLoop('test', log, async () => {
    round.happened();
    return 1_000_000;
  });
  await round.until(1);
  await new Promise(setImmediate);
  loop.wake();
  await round.until(2);
  await loop.stop();
  expect(round.count).toBe(2);
});

it('does not lose a wake-up that comes during a round', async () => {
  const round = rounds();
  let finish: () => void = () => undefined;
  const loop = createLoop('test', log, async () => {
    round.happened();
    if (round.count === 1) await new Promise<void>((resolve) => (finish = resolve));
    return 1_000_000;
  });
  await round.until(1);
  loop.wake();
  finish();
  await round.until(2);
  await loop.stop();
});

it('goes on after a round that threw', async () => {
  const round = rounds();
  const loop = createLoop('test', log, async () => {
    round.happened();
    if (round.count === 1) throw new Error('on purpose');
    return 1_000_000;
  });
  await round.until(1);
  await new Promise(setImmediate);
  loop.wake();
  await round.until(2);
  await loop.stop();
});

it('stops only when the round under way is over, and begins none after', async () => {
  const round = rounds();
  let finish: () => void = () => undefined;
  let over = false;
  const loop = createLoop('test', log, async () => {
    round.happened();
    await new Promise<void>((resolve) => (finish = resolve));
    over = true;
    return 0;
  });
  await round.until(1);
  const stopped = loop.stop().then(() => over);
  finish();
  expect(await stopped).toBe(true);
  loop.wake();
  await new Promise(setImmediate);
  expect(round.count).toBe(1);
});
