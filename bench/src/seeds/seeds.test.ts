import { expect, test } from 'vitest';
import { parseCurl } from './curl.ts';
import { COUNT, differences, each, type Shape } from './differences.ts';
import { replaySeed, type Site } from './seed.ts';

test('curl lines are read as a shell and curl would', () => {
  const line = `curl -X POST https://api.example.org/v1/jobs/x?wait=1 \\
  -H "Authorization: Bearer \\"T\\"" -H 'Content-Type: application/json' \\
  -d '{"a": "b c"}'`;
  expect(parseCurl(line)).toEqual({
    method: 'POST',
    path: '/v1/jobs/x?wait=1',
    headers: { authorization: 'Bearer "T"', 'content-type': 'application/json' },
    body: '{"a": "b c"}',
  });
  expect(parseCurl('curl -s http://localhost:3000/a')).toEqual({ method: 'GET', path: '/a', headers: {}, body: null });
  expect(parseCurl('curl -d x $URL/a')).toMatchObject({ method: 'POST', path: '/a' });
  expect(() => parseCurl('curl --compressed http://x/a')).toThrow("'--compressed' is not understood");
});

test.each<[Shape, unknown, string[]]>([
  [{ a: 1, b: /x/ }, { a: 1, b: 'axb', c: 2 }, []],
  [{ a: 1 }, { a: '1' }, ['the answer.a: expected 1, got "1"']],
  [{ n: COUNT }, { n: -1 }, ['the answer.n: expected a whole number from 0 on, got -1']],
  [each({ s: 'ok' }), [{ s: 'ok' }, { s: 'no' }], ['the answer[1].s: expected "ok", got "no"']],
  [['a', 'b'], ['a'], ['the answer: expected an array of 2, got ["a"]']],
  [{ a: { b: null } }, { a: null }, ['the answer.a: expected an object, got null']],
  [{ a: 1 }, {}, ['the answer.a: expected 1, got undefined']],
])('%j of %j differs in %j', (shape, actual, expected) => {
  expect(differences(shape, actual)).toEqual(expected);
});

test('a step that throws differs, and the next one is done all the same', async () => {
  const steps = [
    { shows: 'one', replay: () => Promise.reject(new TypeError('no answer')) },
    { shows: 'two', replay: async () => [] },
  ];
  expect(await replaySeed({ system: 'x', steps }, {} as Site)).toEqual([
    { shows: 'one', differences: ['it threw TypeError: no answer'] },
    { shows: 'two', differences: [] },
  ]);
});
