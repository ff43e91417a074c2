import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { hasPersonal, personal, personalPaths } from './personal.ts';

const who = personal(z.string());

describe('personal fields are found', () => {
  test.each<[string, z.ZodType, unknown, unknown[]]>([
    ['in an object', z.strictObject({ name: who, n: z.int() }), { name: 'Ada', n: 1 }, [['name']]],
    [
      'whatever wraps them',
      z.object({ a: who.optional(), b: who.nullable().default('x') }),
      { a: '1', b: '2' },
      [['a'], ['b']],
    ],
    ['below other objects', z.object({ a: z.object({ b: who }) }), { a: { b: 'x' } }, [['a', 'b']]],
    [
      'in arrays',
      z.object({ a: z.array(who) }),
      { a: ['x', 'y'] },
      [
        ['a', 0],
        ['a', 1],
      ],
    ],
    ['in tuples', z.object({ a: z.tuple([z.int(), who]) }), { a: [1, 'x'] }, [['a', 1]]],
    ['in records', z.object({ a: z.record(z.string(), who) }), { a: { k: 'x' } }, [['a', 'k']]],
    ['as whole objects', z.object({ a: personal(z.object({ b: who })) }), { a: { b: 'x' } }, [['a']]],
    ['in any option of a union', z.union([z.object({ a: who }), z.object({ b: z.string() })]), { a: 'x' }, [['a']]],
    ['before a transform', z.object({ a: who.transform(Number) }), { a: '1' }, [['a']]],
    ['in what else an object holds', z.object({}).catchall(who), { anything: 'x' }, [['anything']]],
    [
      'once where two schemas name them',
      z.intersection(z.object({ a: who }), z.object({ a: who })),
      { a: 'x' },
      [['a']],
    ],
    ['unless there is nothing', z.object({ a: who.nullish(), b: who.optional() }), { a: null }, []],
  ])('%s', (_name, schema, value, paths) => {
    expect(personalPaths(schema, value)).toEqual(paths);
  });

  test('in a schema that names itself', () => {
    const node: z.ZodType = z.object({ name: who, child: z.lazy(() => node).optional() });
    expect(personalPaths(node, { name: 'a', child: { name: 'b' } })).toEqual([['name'], ['child', 'name']]);
  });

  test('a schema without any costs no walk', () => {
    expect(hasPersonal(z.strictObject({ a: z.string(), b: z.array(z.int()) }))).toBe(false);
  });

  test('a description and a check after the mark keep it', () => {
    expect(hasPersonal(z.object({ a: who.describe('a name') }))).toBe(true);
    expect(hasPersonal(z.object({ a: who.min(3).max(9).trim() }))).toBe(true);
    expect(hasPersonal(z.object({ a: who.refine((name) => name !== 'x') }))).toBe(true);
  });
});
