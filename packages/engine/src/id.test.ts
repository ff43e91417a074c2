import { afterEach, expect, it, vi } from 'vitest';
import { newId } from './id.ts';

afterEach(() => {
  vi.useRealTimers();
});

it('ascends, within a millisecond and when the clock steps back', () => {
  vi.useFakeTimers({ now: 2_000_000_000_000 });
  const ids = Array.from({ length: 10_000 }, (_, i) => {
    if (i === 3_000) vi.setSystemTime(1_999_999_000_000);
    if (i === 6_000) vi.setSystemTime(2_000_000_000_001);
    return newId();
  });
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
});

it('is of now again once a clock is put right that was days ahead', () => {
  const now = 2_050_000_000_000;
  const day = 86_400_000;
  vi.useFakeTimers({ now: now + 60 * day });
  const ahead = newId();
  vi.setSystemTime(now);
  const ids = [newId(), newId()];
  expect(ids.toSorted()).toEqual(ids);
  expect(ids.every((id) => id < ahead)).toBe(true);
  expect(ids.map((id) => Number.parseInt(id.replace('-', '').slice(0, 12), 16))).toEqual([now, now]);
});

it('begins each millisecond anywhere, so that the ids of several processes differ in more than their tail', () => {
  vi.useFakeTimers({ now: 2_100_000_000_000 });
  const counts = Array.from({ length: 100 }, (_, i) => {
    vi.setSystemTime(2_100_000_000_000 + i);
    return newId().slice(14, 26);
  });
  expect(new Set(counts).size).toBe(100);
});
