import type { Request } from 'express';
import { describe, expect, test } from 'vitest';
import { jsonBody, schemaBroken, structureProblems } from './json-body.ts';
import { ProblemError } from './problem.ts';

function bodyOf(text: string | Uint8Array, type: string | undefined = 'application/json'): unknown {
  const body = jsonBody({ body: Buffer.from(text as string), headers: { 'content-type': type } } as unknown as Request);
  if (body !== null && body.problems.length > 0) throw schemaBroken(body.problems);
  return body?.value;
}

function refusalOf(work: () => unknown): ProblemError {
  try {
    work();
  } catch (error) {
    if (error instanceof ProblemError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

test.each(['application/json', 'Application/JSON; charset=UTF-8', 'application/json;charset="utf-8"'])(
  '%s is JSON',
  (type) => {
    expect(bodyOf('{"a":1}', type)).toEqual({ a: 1 });
  },
);

test.each([
  undefined,
  '',
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/json; charset=utf-7',
  'application/jsonp',
])('%s is 415', (type) => {
  const req = { body: Buffer.from('{}'), headers: { 'content-type': type } } as unknown as Request;
  expect(refusalOf(() => jsonBody(req)).status).toBe(415);
});

test.each(['{"a":', 'NaN', '{"a":NaN}', "{'a':1}", ''.padEnd(3)])('%s is 400 malformed-json', (text) => {
  expect(refusalOf(() => bodyOf(text))).toMatchObject({ status: 400, code: 'malformed-json' });
});

test.each(['null', '"x"', '12', 'true'])('%s is JSON, but no object: 422', (text) => {
  expect(refusalOf(() => bodyOf(text))).toMatchObject({
    status: 422,
    code: 'invalid-input',
    problems: [{ pointer: '', code: 'invalid-type', detail: 'must be a JSON object' }],
  });
});

test('bytes that are no UTF-8 are 400', () => {
  expect(refusalOf(() => bodyOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d))).status).toBe(400);
});

test('no body is null, which is not an empty object', () => {
  expect(jsonBody({ body: undefined, headers: {} } as unknown as Request)).toBeNull();
  expect(jsonBody({ body: Buffer.alloc(0), headers: {} } as unknown as Request)).toBeNull();
});

test('a key given twice: the last one counts', () => {
  expect(bodyOf('{"n":1,"n":2}')).toEqual({ n: 2 });
});

describe('what no schema admits is 422 with its pointer', () => {
  test.each([
    ['an integer that would be rounded', '{"n":9007199254740993}', '/n', 'number-range'],
    ['infinity', '{"n":1e999}', '/n', 'number-range'],
    ['minus zero', '{"n":-0}', '/n', 'number-range'],
    ['a NUL', '{"a":{"b":["x\\u0000"]}}', '/a/b/0', 'unstorable-text'],
    ['half a pair', '{"s":"\\ud800"}', '/s', 'unstorable-text'],
    ['a NUL in a name', '{"a\\u0000":1}', '/a\0', 'unstorable-text'],
    ['a poisoned prototype', '{"__proto__":{"polluted":true}}', '/__proto__', 'unknown-field'],
    ['a poisoned constructor', '{"x":{"constructor":{"prototype":{}}}}', '/x/constructor', 'unknown-field'],
    ['a slash in a name', '{"a/b":{"__proto__":1}}', '/a~1b/__proto__', 'unknown-field'],
    ['a long text', JSON.stringify({ s: 'x'.repeat(65_537) }), '/s', 'max-length'],
  ])('%s', (_name, text, pointer, code) => {
    expect(refusalOf(() => bodyOf(text))).toMatchObject({ status: 422, problems: [{ pointer, code }] });
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('40,000 nested arrays', () => {
    const deep = `{"a":${'['.repeat(40_000)}${']'.repeat(40_000)}}`;
    expect(refusalOf(() => bodyOf(deep)).problems).toMatchObject([{ code: 'max-depth' }]);
  });

  test('a hundred thousand keys', () => {
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i])));
    expect(refusalOf(() => bodyOf(many)).problems).toMatchObject([{ code: 'max-values' }]);
  });
});

test('ordinary values have no problem', () => {
  const ordinary = { a: [1, -1.5, 0, true, null, 'é👍'], b: { constructor: 'Lego' }, c: 9_007_199_254_740_991 };
  expect([...structureProblems(ordinary)]).toEqual([]);
});
