import { expect, test } from 'vitest';
import { cellOf, cpuFigures, median, quantile, type Sample } from './sample.ts';

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
