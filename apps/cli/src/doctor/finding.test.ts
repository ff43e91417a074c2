import { expect, test } from 'vitest';
import { clockFinding, findingsText, ok, problem } from './finding.ts';

test.each([
  ['exact', 10_500, true],
  ['within two seconds', 12_400, true],
  ['ahead', 13_600, false],
  ['behind', 7_400, false],
])('a clock that is %s', (_, server, well) => {
  expect(clockFinding('clock', server, 10_000, 11_000).ok).toBe(well);
});

test('a slow answer is no skew: the middle of the question is uncertain by half its length', () => {
  expect(clockFinding('clock', 10_000, 10_000, 16_000).ok).toBe(true);
});

test('a problem is followed by what to do', () => {
  const text = findingsText([ok('redis', 'answers'), problem('redis eviction', 'allkeys-lru', 'set noeviction')]);
  expect(text).toMatch(/problem.*redis eviction {2}allkeys-lru\n.*→.* set noeviction/);
  expect(text).toContain('1 to mend.');
});
