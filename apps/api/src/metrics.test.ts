import { expect, test } from 'vitest';
import { ratiosOf } from './metrics.ts';

test('a run with item errors counts for success and for errors; a cancelled one for neither', () => {
  const ratios = ratiosOf([
    { job: 'x', outcome: 'completed', runs: 6 },
    { job: 'x', outcome: 'completed_with_item_errors', runs: 3 },
    { job: 'x', outcome: 'failed', runs: 1 },
    { job: 'x', outcome: 'cancelled', runs: 90 },
  ]);
  expect(ratios.get('x')).toEqual({ success: 0.9, errors: 0.4 });
});
