import {
  IdempotencyConflictError,
  InvalidInputError,
  RunStateError,
  StoreUnavailableError,
  UnknownJobError,
  UnknownRunError,
} from '@nightshift/engine';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { ProblemError, problemDocument, problemSchema, schemaProblems, toProblem } from './problem.ts';

test.each([
  [new UnknownJobError('gym.comitment', 'gym.commitment-scores'), 404, 'unknown-job'],
  [new UnknownRunError('x'), 404, 'unknown-run'],
  [new InvalidInputError('x', [{ pointer: '/a', code: 'required', detail: 'is required' }]), 422, 'invalid-input'],
  [new InvalidInputError('x', [{ pointer: '/cursor', code: 'invalid-cursor', detail: 'x' }]), 400, 'invalid-parameter'],
  [new RunStateError('x', 'completed', 'it has ended'), 409, 'run-state'],
  [new IdempotencyConflictError('k'), 422, 'idempotency-conflict'],
  [new StoreUnavailableError(new Error('connect ECONNREFUSED 10.1.2.3:5432')), 503, 'store-unavailable'],
  [Object.assign(new Error('too large'), { status: 413 }), 413, 'body-too-large'],
  [Object.assign(new Error('URI malformed'), { status: 400 }), 400, 'malformed-request'],
  [new TypeError('cannot read x of undefined'), 500, 'internal'],
  ['a string', 500, 'internal'],
])('%s', (error, status, code) => {
  const problem = toProblem(error);
  expect(problem).toMatchObject({ status, code });
  const document = problemDocument(problem, { path: '/v1/x', id: 'r1' });
  expect(problemSchema.parse(document)).toEqual(document);
});

test('an unknown job comes with the nearest name, without the one that was sent', () => {
  const { message } = toProblem(new UnknownJobError('gym.<script>', 'gym.commitment-scores'));
  expect(message).toContain("Did you mean 'gym.commitment-scores'?");
  expect(message).not.toContain('script');
});

test('a failure of ours says nothing of the inside', () => {
  const failure = Object.assign(
    new Error('duplicate key value violates "open_runs_pkey" Detail: (id)=(7) at db-7.internal'),
    { code: '23505' },
  );
  expect(JSON.stringify(problemDocument(toProblem(failure), { path: '/', id: 'r' }))).not.toMatch(
    /duplicate|open_runs|db-7|23505/,
  );
});

test('Postgres away comes with Retry-After', () => {
  expect(toProblem(new StoreUnavailableError(null)).headers).toEqual({ 'Retry-After': '5' });
});

test('fields at fault are named by pointer, values never', () => {
  const schema = z.strictObject({ n: z.int(), inner: z.strictObject({ list: z.array(z.enum(['a', 'b'])) }) });
  const parsed = schema.safeParse({ inner: { list: ['a', 'hunter2'], 'odd/key': 1 }, extra: 1 });
  expect(schemaProblems(parsed.error as z.ZodError)).toEqual([
    { pointer: '/n', code: 'required', detail: 'is required' },
    { pointer: '/inner/list/1', code: 'invalid-value', detail: expect.not.stringContaining('hunter2') },
    { pointer: '/inner/odd~1key', code: 'unknown-field', detail: 'is not a known field' },
    { pointer: '/extra', code: 'unknown-field', detail: 'is not a known field' },
  ]);
});

test('an answer names a hundred fields at most', () => {
  const problems = Array.from({ length: 500 }, (_, i) => ({ pointer: `/${i}`, code: 'unknown-field', detail: 'x' }));
  const document = problemDocument(new ProblemError(422, 'invalid-input', 'x', { problems }), { path: '/', id: 'r' });
  expect(document.errors).toHaveLength(100);
});
