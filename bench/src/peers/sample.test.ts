import { expect, test } from 'vitest';
import { cellOf, cpuFigures, median, quantile, ratioByRound, type Sample } from './sample.ts';

const sample = (round: number, rate: number, otherLoad = 0): Sample => ({
  measure: 'drain',
  system: 'nightshift',
  round,
  figures: { rate },
  otherLoad,
});

test('medians and quantiles', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  expect(quantile(hundred, 0.5)).toBe(51);
  expect(quantile(hundred, 0.99)).toBe(100);
  expect(quantile([7], 0.99)).toBe(7);
});

test('a round that others disturbed is left out where two clean ones remain', () => {
  expect(cellOf([sample(1, 100), sample(2, 10, 0.5), sample(3, 200)])).toMatchObject({
    figures: { rate: 150 },
    least: { rate: 100 },
    most: { rate: 200 },
    rounds: 2,
  });
});

test('with fewer than two clean rounds all count', () => {
  expect(cellOf([sample(1, 100), sample(2, 10, 0.5), sample(3, 20, 0.5)]).figures).toEqual({ rate: 20 });
});

test('CPU seconds a thousand jobs', () => {
  const cpu = { producer: 1, worker: 2, redis: 3, postgres: 4 };
  expect(cpuFigures({ seconds: 1, cpu, otherLoad: 0 }, 2_000)).toEqual({
    cpu: 5,
    cpuProducer: 0.5,
    cpuWorker: 1,
    cpuRedis: 1.5,
    cpuPostgres: 2,
  });
});

test('measures that ran one behind the other are compared round by round', () => {
  const ratio = (...rounds: readonly (readonly [number, number | null, number?])[]) => {
    const samples = rounds.flatMap(([four, one, otherLoad = 0], i) => [
      { ...sample(i + 1, four), measure: 'drain4' },
      ...(one === null ? [] : [{ ...sample(i + 1, one, otherLoad), measure: 'alone' }]),
    ]);
    return ratioByRound(samples, 'nightshift', 'drain4', 'alone');
  };
  // By the medians over the rounds it would be 20 to 15.
  expect(ratio([10, 8], [30, 40], [20, 15])).toBe(1.25);
  expect(ratio([10, 20], [20, null], [9, 10])).toBe(0.7);
  expect(ratio([10, 20], [10, 10], [10, 1, 0.5])).toBe(0.75);
  expect(ratio([10, null])).toBeNaN();
});
