import { expect, test } from 'vitest';
import { MEASURES, type Measure } from './measures/index.ts';
import type { SystemName } from './system.ts';
import { turnsOf } from './turns.ts';

const systems: readonly SystemName[] = ['nightshift', 'bullmq'];
const named = (...names: readonly string[]): Measure[] => MEASURES.filter(({ name }) => names.includes(name));
const turns = (round: number, measures: readonly Measure[], of = systems) =>
  turnsOf(round, { measures, systems: of }).map(({ measure, system }) => `${measure.name} ${system}`);

test('measure by measure, and within each system by system', () => {
  expect(turns(1, named('drain', 'bulk'))).toEqual([
    'drain nightshift',
    'drain bullmq',
    'bulk nightshift',
    'bulk bullmq',
  ]);
});

test('what is compared with itself runs one behind the other, each round in the other order', () => {
  const measures = named('drain', 'drain4', 'alone');
  const drains = ['drain nightshift', 'drain bullmq'];
  expect(turns(1, measures)).toEqual([
    ...drains,
    'drain4 nightshift',
    'alone nightshift',
    'drain4 bullmq',
    'alone bullmq',
  ]);
  expect(turns(2, measures)).toEqual([
    ...drains,
    'alone nightshift',
    'drain4 nightshift',
    'alone bullmq',
    'drain4 bullmq',
  ]);
  expect(turns(1, named('alone'), ['bullmq'])).toEqual(['alone bullmq']);
});

test('what takes minutes is done in the first round alone, and no system does what it is not in', () => {
  expect(turns(1, named('depth', 'schedules'))).toEqual(['schedules nightshift', 'depth nightshift', 'depth bullmq']);
  expect(turns(2, named('depth', 'schedules'))).toEqual(['schedules nightshift']);
});
