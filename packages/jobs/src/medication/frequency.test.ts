import { expect, test } from 'vitest';
import { frequencyText, parseFrequency } from './frequency.ts';

test.each([
  ['daily', 'daily'],
  ['as_needed', 'as_needed'],
  ['every_n_days:3', 'every_n_days:3'],
  ['weekdays:mon,wed', 'weekdays:mon,wed'],
  ['weekdays:sunday,monday,sunday', 'weekdays:mon,sun'],
  ['weekdays:7,1', 'weekdays:mon,sun'],
])('%s is stored as %s', (text, stored) => {
  const parsed = parseFrequency(text);
  expect(parsed && frequencyText(parsed)).toBe(stored);
});

test.each([
  '', 'Daily', 'weekly', 'weekdays:', 'weekdays:mon,', 'weekdays:noday', 'weekdays:8', 'every_n_days:0', 'every_n_days:366',
  'every_n_days:1.5', 'every_n_days:-1', 'as needed',
])('%j is refused', (text) => {
  expect(parseFrequency(text)).toBeNull();
}); // biome-ignore format: a list of words
