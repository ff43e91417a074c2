import { expect, it } from 'vitest';
import { z } from 'zod';
import { nearest } from './check-declaration.ts';
import { DEFAULT_OPTIONS, defineJob, type SweepJob } from './define-job.ts';
import { DeclarationError } from './errors.ts';

const sweep: SweepJob = {
  kind: 'sweep',
  name: 'tiny.sweep-things',
  title: 'Sweep',
  description: 'Sweeps.',
  scope: 'tenant',
  priority: 'LOW',
  typicalMs: 1,
  maxMs: 10,
  input: z.strictObject({}),
  items: async () => [],
  key: (item) => item,
  process: async () => ({ changed: 0 }),
  summarize: () => ({}),
};

function problemsOf(declaration: object): readonly string[] {
  try {
    defineJob(declaration as SweepJob);
    return [];
  } catch (error) {
    if (error instanceof DeclarationError) return error.problems;
    throw error;
  }
}

it('fills in what is not said, and freezes', () => {
  const job = defineJob({ ...sweep, options: { batchSize: 7 } });
  expect(job).toMatchObject({ system: 'tiny', queue: 'tiny-long', inputVersion: 1 });
  expect(job.options).toEqual({ ...DEFAULT_OPTIONS, batchSize: 7 });
  expect(Object.isFrozen(job)).toBe(true);
});

it('gives request jobs the queue of their system', () => {
  const { items: _, key: __, process: ___, summarize: ____, ...base } = sweep;
  expect(defineJob({ ...base, kind: 'request', handle: async () => [] }).queue).toBe('tiny');
});

it('names every problem at once, each with the value found', () => {
  const problems = problemsOf({
    ...sweep,
    name: 'Tiny_Sweep',
    priority: 'URGENT',
    scope: 'galaxy',
    timout: 5,
    process: undefined,
    inputVersion: 2,
    maxMs: 1.5,
    retry: { retries: -1, delayMs: '3' },
    options: { batchSize: 0, batchDelayMs: -1, timeoutMs: 50 },
    schedule: { cron: '61 * * * *', zone: 'Mars/Olympus', after: 'Tiny_Sweep' },
  });
  const expected = [
    /name like .* got 'Tiny_Sweep'/,
    /priority CRITICAL, HIGH, MEDIUM, LOW, got 'URGENT'/,
    /scope .* got 'galaxy'/,
    /unknown option 'timout'/,
    /needs a function 'process'/,
    /inputVersion 2 needs 'upgrade'/,
    /maxMs to be an integer ≥ 1, got 1.5/,
    /retry.retries to be an integer ≥ 0, got -1/,
    /retry.delayMs to be an integer ≥ 0, got "3"/,
    /options.batchSize .* got 0/,
    /options.batchDelayMs .* got -1/,
    /options.timeoutMs .* got 50/,
    /schedule.cron '61 \* \* \* \*'/,
    /schedule.zone 'Mars\/Olympus'/,
    /schedule.after names the job itself/,
  ];
  for (const problem of expected) expect(problems).toContainEqual(expect.stringMatching(problem));
  expect(problems).toHaveLength(expected.length);
});

it('takes no time that is longer than Postgres can count, or than a run may last', () => {
  const times = (delayMs: number, timeoutMs: number) =>
    problemsOf({ ...sweep, retry: { delayMs }, options: { timeoutMs } });
  expect(times(2_147_483_647, 86_400_000)).toEqual([]);
  expect(times(2_147_483_648, 86_400_001)).toEqual([
    'expected retry.delayMs to be at most 2147483647, got 2147483648',
    'expected options.timeoutMs to be at most 86400000, got 86400001',
  ]);
});

it('suggests the option that was meant', () => {
  expect(problemsOf({ ...sweep, sumarize: () => ({}) })).toEqual([
    "unknown option 'sumarize', did you mean 'summarize'?",
  ]);
});

it('wants to know whose items those of a system-scope sweep are', () => {
  expect(problemsOf({ ...sweep, scope: 'system' })).toEqual(["a sweep of system scope needs 'tenantOf'"]);
});

it('knows no fourth kind', () => {
  expect(problemsOf({ ...sweep, kind: 'cron' })).toContainEqual(expect.stringContaining("got 'cron'"));
});

it.each([
  ['gym.comitment-score', 'gym.commitment-scores'],
  ['commitment-scores', 'gym.commitment-scores'],
  ['litigation.analytics-snapshot', null],
  ['zakat.cleanup-cash', 'zakat.cleanup-cache'],
  ['x', null],
])('finds for %s the name %s', (word, near) => {
  expect(nearest(word, ['gym.commitment-scores', 'zakat.cleanup-cache'])).toBe(near);
});

it('checks the sweep of a request job', () => {
  const { items: _, key: __, process: ___, summarize: ____, ...base } = sweep;
  const problems = problemsOf({ ...base, kind: 'request', handle: async () => [], sweep: { itms: async () => [] } });
  expect(problems).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/sweep.itms'.*'items'/),
      expect.stringMatching(/'sweep' needs a function 'process'/),
    ]),
  );
});
