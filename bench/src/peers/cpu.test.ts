import { expect, test } from 'vitest';
import { parseStat, startMeter } from './cpu.ts';

test('CPU of a process, its children that ended included, whatever its name is', () => {
  const stat = '4242 (post) gres (x) S 17 4242 4242 0 -1 4194304 900 0 0 0 150 50 30 20 20 0 1 0 100 1000 10';
  expect(parseStat(stat, 100)).toEqual({ parent: 17, cpuSeconds: 2.5 });
});

test('a meter tells what each part used since it was started, and nothing of what was before', () => {
  const used = { producer: 1, worker: 2, redis: 3, postgres: 4 };
  const stop = startMeter({
    producer: () => used.producer,
    worker: () => used.worker,
    redis: () => used.redis,
    postgres: () => used.postgres,
  });
  used.worker += 0.5;
  used.postgres += 0.25;
  expect(stop().cpu).toEqual({ producer: 0, worker: 0.5, redis: 0, postgres: 0.25 });
});
