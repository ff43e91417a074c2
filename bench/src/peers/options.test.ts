import { expect, test } from 'vitest';
import { readOptions } from './options.ts';

test('defaults: everything, three rounds; quick: one', () => {
  expect(readOptions([])).toMatchObject({ rounds: 3, quick: false, json: null, write: false });
  expect(readOptions(['--quick'])).toMatchObject({ rounds: 1, quick: true });
  expect(readOptions(['--quick', '--rounds', '2'])).toMatchObject({ rounds: 2 });
  expect(readOptions(['--only', 'drain,update', '--systems', 'bullmq'])).toMatchObject({
    only: ['drain', 'update'],
    systems: ['bullmq'],
  });
  expect(readOptions(['--help'])).toBe('help');
});

test.each([
  [['--rounds', '0'], `--rounds must be a whole number of at least 1, got '0'`],
  [['--only', 'drian'], /--only takes drain, .*; got 'drian'/],
  [['--systems', 'celery'], /--systems takes nightshift, .*; got 'celery'/],
])('%j is refused with what would work', (args, message) => {
  expect(() => readOptions(args)).toThrow(message);
});
