import { setFlagsFromString } from 'node:v8';
import { afterEach, expect, test, vi } from 'vitest';
import { createStopper, orAborted, StopSignal } from './signals.ts';

const unhandled = vi.fn();
process.on('unhandledRejection', unhandled);

afterEach(() => {
  unhandled.mockClear();
});

/** Rejections count as unhandled once the microtasks of their turn are over. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('work that began although the worker is stopping rejects quietly', async () => {
  const shutdown = AbortSignal.abort();
  const stopper = createStopper(60_000, shutdown);
  const work = Promise.reject(new Error('aborted as well'));
  await expect(orAborted(work, stopper.signal)).rejects.toEqual(new StopSignal('shutdown'));
  await turn();
  expect(unhandled).not.toHaveBeenCalled();
  stopper.dispose();
});

test('work that loses to the signal rejects quietly later', async () => {
  const controller = new AbortController();
  let fail: (error: Error) => void = () => undefined;
  const work = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const raced = orAborted(work, controller.signal);
  controller.abort(new StopSignal('timeout'));
  await expect(raced).rejects.toEqual(new StopSignal('timeout'));
  fail(new Error('too late'));
  await turn();
  expect(unhandled).not.toHaveBeenCalled();
});

test('work that wins is what the caller gets', async () => {
  const { signal } = new AbortController();
  await expect(orAborted(Promise.resolve(7), signal)).resolves.toBe(7);
  await expect(orAborted(Promise.reject(new Error('its own')), signal)).rejects.toThrow('its own');
});

test('a signal that is asked for late says why the run was to stop', () => {
  const stopper = createStopper(60_000, new AbortController().signal);
  stopper.stop('cancelled');
  stopper.stop('lost');
  expect(stopper.reason).toBe('cancelled');
  expect(stopper.signal.reason).toEqual(new StopSignal('cancelled'));
  expect(stopper.deadline.aborted).toBe(false);
  stopper.dispose();
});

test('the timeout ends the wait for work, also of a run that was asked to stop before', async () => {
  vi.useFakeTimers();
  try {
    const stopper = createStopper(1_000, new AbortController().signal);
    stopper.stop('cancelled');
    const raced = orAborted(new Promise(() => undefined), stopper.deadline);
    vi.advanceTimersByTime(1_000);
    await expect(raced).rejects.toEqual(new StopSignal('timeout'));
    await expect(orAborted(Promise.resolve(7), stopper.deadline)).rejects.toEqual(new StopSignal('timeout'));
    expect(stopper.reason).toBe('cancelled');
    stopper.dispose();
  } finally {
    vi.useRealTimers();
  }
});

test('what stops an attempt is no dictionary to V8, as a literal with a getter is', () => {
  setFlagsFromString('--allow-natives-syntax');
  const isFast = new Function('object', 'return %HasFastProperties(object)') as (object: object) => boolean;
  setFlagsFromString('--no-allow-natives-syntax');
  const stopper = createStopper(1_000, new AbortController().signal);
  expect(isFast(stopper)).toBe(true);
  stopper.dispose();
  const literal = {
    get reason() {
      return stopper.reason;
    },
  };
  expect(isFast(literal)).toBe(false);
});
