import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { remember } from './remember.ts';

const FOR_MS = 1_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A source whose every reading is answered by hand. */
function byHand() {
  const asked: { answer(value: string): void; fail(error: Error): void }[] = [];
  const value = remember(() => new Promise<string>((answer, fail) => void asked.push({ answer, fail })), FOR_MS);
  return { value, asked };
}

it('is one reading for all who ask meanwhile, and none for who asks soon after', async () => {
  const { value, asked } = byHand();
  const both = Promise.all([value(), value()]);
  asked[0]?.answer('a');
  expect(await both).toEqual(['a', 'a']);
  await vi.advanceTimersByTimeAsync(FOR_MS / 2);
  expect(await value()).toBe('a');
  expect(asked.length).toBe(1);
});

it('past half of its time is read again while who asks has what is known', async () => {
  const { value, asked } = byHand();
  const first = value();
  asked[0]?.answer('a');
  await first;
  await vi.advanceTimersByTimeAsync(FOR_MS / 2 + 1);
  expect([await value(), await value()]).toEqual(['a', 'a']);
  expect(asked.length).toBe(2);
  asked[1]?.answer('b');
  await vi.advanceTimersByTimeAsync(0);
  expect(await value()).toBe('b');
});

it('is never older than its time, counted from the question', async () => {
  const { value, asked } = byHand();
  const first = value();
  await vi.advanceTimersByTimeAsync(FOR_MS + 1);
  asked[0]?.answer('a');
  await first;
  const late = value();
  expect(asked.length).toBe(2);
  asked[1]?.answer('b');
  expect(await late).toBe('b');
});

it('tells a failure to who waited for it, and reads again for the next', async () => {
  const { value, asked } = byHand();
  const first = value();
  asked[0]?.fail(new Error('away'));
  await expect(first).rejects.toThrow('away');
  const second = value();
  asked[1]?.answer('a');
  expect(await second).toBe('a');
  // A reading ahead that fails is nobody's error while what is known will do.
  await vi.advanceTimersByTimeAsync(FOR_MS / 2 + 1);
  expect(await value()).toBe('a');
  asked[2]?.fail(new Error('away'));
  await vi.advanceTimersByTimeAsync(0);
  expect(await value()).toBe('a');
  expect(asked.length).toBe(4);
});
