import { expect, it } from 'vitest';
import { z } from 'zod';
import { createCatalogue } from './catalogue.ts';
import { type DefinedJob, defineJob } from './define-job.ts';
import { UnknownJobError } from './errors.ts';

function task(name: string, after?: string): DefinedJob {
  return defineJob({
    kind: 'task',
    name,
    title: name,
    description: name,
    scope: 'tenant',
    priority: 'LOW',
    typicalMs: 1,
    maxMs: 1,
    input: z.strictObject({}),
    ...(after === undefined ? {} : { schedule: { cron: '0 2 * * *', zone: 'UTC', after } }),
    run: async () => null,
  });
}

it('has the platform’s own job beside those it is given, and each queue once', () => {
  const catalogue = createCatalogue([task('tiny.one'), task('tiny.two')]);
  expect(catalogue.jobs.map((job) => job.name)).toEqual(['ops.canary', 'tiny.one', 'tiny.two']);
  expect(catalogue.queues).toEqual([
    { name: 'ops', kind: 'short' },
    { name: 'tiny-long', kind: 'long' },
  ]);
});

it('says which job may have been meant', () => {
  const catalogue = createCatalogue([task('tiny.sweep-things')]);
  expect(() => catalogue.get('tiny.sweep-thing')).toThrow(UnknownJobError);
  expect(() => catalogue.get('tiny.sweep-thing')).toThrow("Did you mean 'tiny.sweep-things'?");
  expect(() => catalogue.get('completely-else')).toThrow("There is no job 'completely-else'.");
  expect(catalogue.find('tiny.sweep-thing')).toBeUndefined();
});

it('names everything that does not fit together at once', () => {
  const jobs = [
    task('tiny.a', 'tiny.b'),
    task('tiny.b', 'tiny.a'),
    task('tiny.c', 'tiny.gone'),
    task('tiny.d'),
    task('tiny.d'),
  ];
  let problems: readonly string[] = [];
  try {
    createCatalogue(jobs);
  } catch (error) {
    problems = (error as { problems: readonly string[] }).problems;
  }
  expect(problems).toEqual([
    "'tiny.d' is declared twice",
    "'tiny.a' waits for itself: tiny.a → tiny.b → tiny.a",
    "'tiny.b' waits for itself: tiny.b → tiny.a → tiny.b",
    "'tiny.c' runs after 'tiny.gone', which is no job",
  ]);
});
