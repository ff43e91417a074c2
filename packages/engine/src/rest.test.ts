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
  rest.began(1);
  rest.began(1);
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
  rest.began(1);
  rest.ended();
  vi.advanceTimersByTime(REST_MS - 1);
  rest.began(1);
  vi.advanceTimersByTime(REST_MS);
  expect(collect).not.toHaveBeenCalled();
  rest.ended();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).toHaveBeenCalledOnce();
});

it('lets V8 choose where there is little to collect', () => {
  const { collect, rest } = watched(MUCH - 1);
  rest.began(1);
  rest.ended();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).not.toHaveBeenCalled();
});

it('lets V8 choose between the dispatches of a backlog, and collects after the next lone run', () => {
  const { collect, rest } = watched(MUCH);
  for (let i = 0; i < 2; i++) {
    rest.began(60);
    rest.began(60);
    rest.ended();
    rest.ended();
    vi.advanceTimersByTime(REST_MS);
    expect(collect).not.toHaveBeenCalled();
  }
  rest.began(1);
  rest.ended();
  vi.advanceTimersByTime(REST_MS);
  expect(collect).toHaveBeenCalledOnce();
});

it('does nothing in a process whose collector is not exposed', () => {
  const rest = createRest(undefined);
  rest.began(1);
  rest.ended();
  expect(vi.getTimerCount()).toBe(0);
});
