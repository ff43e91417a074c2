import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { DEFAULT_OPTIONS, type DefinedJob, defineJob } from './define-job.ts';
import { InvalidInputError } from './errors.ts';
import { MAX_INPUT_BYTES, type NewRunParts, newRun } from './new-run.ts';
import { runInput } from './run-input.ts';

const base = {
  title: 't',
  description: 'd',
  scope: 'tenant',
  priority: 'HIGH',
  typicalMs: 1,
  maxMs: 1,
} as const;

const request = defineJob({
  ...base,
  kind: 'request',
  name: 'tiny.take',
  input: z.strictObject({
    text: z.string().optional(),
    deep: z.strictObject({ 'a/b~c': z.int() }).optional(),
    times: z.int().min(1).default(3),
  }),
  handle: async () => [],
});
const nightly = defineJob({
  ...base,
  kind: 'task',
  name: 'tiny.nightly',
  input: z.strictObject({ part: z.string().optional() }),
  schedule: { cron: '0 2 * * *', zone: 'UTC' },
  outsideEffects: true,
  run: async () => null,
});

function make(job: DefinedJob, more: Partial<NewRunParts> = {}) {
  return newRun({ job, tenantId: 't', input: {}, options: DEFAULT_OPTIONS, actor: 'test', ...more });
}

function problems(job: DefinedJob, more: Partial<NewRunParts>) {
  try {
    make(job, more);
    return [];
  } catch (error) {
    if (error instanceof InvalidInputError) return error.problems.map((p) => [p.pointer, p.code]);
    throw error;
  }
}

describe('the input', () => {
  it('is refused with a pointer to every field that is wrong', () => {
    const input = { text: 5, deep: { 'a/b~c': 'x' }, times: 0, surprise: true };
    expect(problems(request, { input })).toEqual([
      ['/input/text', 'invalid-type'],
      ['/input/deep/a~1b~0c', 'invalid-type'],
      ['/input/times', 'too-small'],
      ['/input/surprise', 'unknown-field'],
    ]);
  });

  it('is kept as it was given, so that defaults are those of the build that runs it', () => {
    expect(make(request, { input: { text: 'x' } }).input).toBe('{"text":"x"}');
    expect(make(request, { input: undefined }).input).toBe('{}');
  });

  it('is bounded in bytes, not characters', () => {
    const fits = 'ä'.repeat((MAX_INPUT_BYTES - 11) / 2 - 1);
    expect(problems(request, { input: { text: fits } })).toEqual([]);
    expect(problems(request, { input: { text: `${fits}ää` } })).toEqual([['/input', 'too-large']]);
  });

  it.each(['\u0000', 'x\u0000y', '\ud800', '\udfff x', '\\\u0000'])(
    'may not hold what Postgres cannot store: %j',
    (text) => {
      expect(problems(request, { input: { text } })).toEqual([['/input', 'unstorable-text']]);
    },
  );

  it.each(['\\u0000', 'C:\\udata', '\\\\u0000', '😀', '\\ud83d'])('may hold what only looks like it: %j', (text) => {
    expect(problems(request, { input: { text } })).toEqual([]);
  });

  it('must be something that JSON can say', () => {
    const anything = defineJob({
      ...base,
      kind: 'request',
      name: 'tiny.any',
      input: z.unknown(),
      handle: async () => [],
    });
    let deep: unknown = 1;
    for (let i = 0; i < 30_000; i++) deep = [deep];
    const circle: unknown[] = [];
    circle.push(circle);
    for (const input of [deep, circle, { n: 1n }])
      expect(problems(anything, { input })).toEqual([['/input', 'not-json']]);
  });

  it('of an older version is upgraded when it is read, and refused when it no longer fits', () => {
    const second = defineJob({
      ...base,
      kind: 'request',
      name: 'tiny.take',
      inputVersion: 2,
      upgrade: (input) => ({ name: (input as { text: string }).text }),
      input: z.strictObject({ name: z.string() }),
      handle: async () => [],
    });
    expect(runInput(second, { text: 'x' }, 1)).toEqual({ name: 'x' });
    expect(runInput(second, { name: 'x' }, 2)).toEqual({ name: 'x' });
    expect(() => runInput(second, { text: 'x' }, 2)).toThrow(InvalidInputError);
  });
});

describe('the unique key', () => {
  it('is the name of a scheduled job, for whole runs alone', () => {
    expect(make(nightly).uniqueKey).toBe('tiny.nightly');
    expect(make(nightly, { input: { part: 'x' } }).uniqueKey).toBeNull();
    expect(make(nightly, { dueAt: new Date() }).uniqueKey).toBeNull();
    expect(make(request).uniqueKey).toBeNull();
    expect(make(nightly, { uniqueKey: null }).uniqueKey).toBeNull();
  });
});

describe('a dry run', () => {
  it('is refused where it could not be kept', () => {
    const options = { ...DEFAULT_OPTIONS, dryRun: true };
    expect(problems(request, { options })).toEqual([['/options/dryRun', 'unsupported']]);
    expect(problems(nightly, { options })).toEqual([['/options/dryRun', 'unsupported']]);
  });
});

it('begins as blocked, scheduled or queued', () => {
  expect(make(request).state).toBe('queued');
  expect(make(request, { dueAt: new Date(0) }).state).toBe('queued');
  expect(make(request, { dueAt: new Date(Date.now() + 60_000) }).state).toBe('scheduled');
  expect(make(nightly, { after: { job: 'tiny.other', until: new Date() } }).state).toBe('blocked');
});

it('has its own options, whoever came before', () => {
  const shards = { ...DEFAULT_OPTIONS, shards: 4 };
  const runs = [shards, DEFAULT_OPTIONS, shards, { ...DEFAULT_OPTIONS, batchSize: 7 }, DEFAULT_OPTIONS];
  expect(runs.map((options) => JSON.parse(make(nightly, { options }).options))).toEqual(runs);
});
