import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createRest } from './rest.ts';

const REST_MS = 5;
const MUCH = 4 * 1_024 * 1_024;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watched(young: number) {
  const collect = vi.fn();
  return { collect, rest: createRest(collect as unknown as NodeJS.GCFunction, () => young) };
}

it('collects what is young once the last run in hand has ended for a moment', () => {
  const { collect, rest } = watched(MUCH);
  rest.began();
  rest.began();
  rest.ended();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).not.toHaveBeenCalled();
  rest.ended();
  vi.advanceTimersByTime(REST_MS - 1);
  expect(collect).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(collect.mock.calls).toEqual([[{ type: 'minor' }]]);
});

it('does not while the next run is in hand, and does after that', () => {
  const { collect, rest } = watched(MUCH);
  rest.began();
  rest.ended();
  vi.advanceTimersByTime(REST_MS - 1);
  rest.began();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).not.toHaveBeenCalled();
  rest.ended();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).toHaveBeenCalledOnce();
});

it('lets V8 choose where there is little to collect', () => {
  const { collect, rest } = watched(MUCH - 1);
  rest.began();
  rest.ended();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).not.toHaveBeenCalled();
});

it('does nothing in a process whose collector is not exposed', () => {
  const rest = createRest(undefined);
  rest.began();
  rest.ended();
  expect(vi.getTimerCount()).toBe(0);
});
