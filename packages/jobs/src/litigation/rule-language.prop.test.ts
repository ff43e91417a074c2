import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Condition, type Facts, InvalidRuleError, matches, parseRule } from './rule-language.ts';

const comparison: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({
    field: fc.constantFrom('days_overdue'),
    op: fc.constantFrom('eq', 'ne', 'lt', 'lte', 'gt', 'gte'),
    value: fc.integer({ min: -3, max: 40 }),
  }),
  fc.record({
    field: fc.constantFrom('priority', 'title'),
    op: fc.constantFrom('in', 'not_in'),
    value: fc.array(fc.constantFrom('low', 'high', 'critical'), { minLength: 1, maxLength: 3 }),
  }),
) as fc.Arbitrary<Condition>;

const { condition } = fc.letrec<{ condition: Condition }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    comparison,
    fc.record({ all: fc.array(tie('condition'), { maxLength: 3 }) }),
    fc.record({ any: fc.array(tie('condition'), { maxLength: 3 }) }),
    fc.record({ not: tie('condition') }),
  ),
}));
const facts: fc.Arbitrary<Facts> = fc.record({
  days_overdue: fc.oneof(fc.integer({ min: -3, max: 40 }), fc.constant(null)),
  priority: fc.constantFrom('low', 'high', 'critical', null),
  title: fc.constantFrom('low', 'other', null),
});

test('not is the opposite; all and any are each other’s mirror', () => {
  fc.assert(
    fc.property(condition, fc.array(condition, { maxLength: 4 }), facts, (one, many, known) => {
      expect(matches({ not: one }, known)).toBe(!matches(one, known));
      const mirrored = matches({ not: { any: many.map((part) => ({ not: part })) } }, known);
      expect(matches({ all: many }, known)).toBe(mirrored);
    }),
  );
});

test('eq and ne, in and not_in are opposites for every fact, known or not', () => {
  fc.assert(
    fc.property(facts, fc.constantFrom('low', 'high'), (known, value) => {
      const is = (op: 'eq' | 'ne' | 'in' | 'not_in') =>
        matches({ field: 'priority', op, value: op.length > 2 ? [value] : value }, known);
      expect(is('ne')).toBe(!is('eq'));
      expect(is('not_in')).toBe(!is('in'));
    }),
  );
});

test('whatever is stored is read or refused by name, and what is read can be judged', () => {
  fc.assert(
    fc.property(fc.oneof(condition, fc.jsonValue()), fc.jsonValue(), facts, (conditions, actions, known) => {
      const known2 = { ...known };
      for (const given of [actions, [{ type: 'set_priority', priority: 'high' }]]) {
        try {
          const rule = parseRule('task_overdue', { conditions, actions: given });
          expect(typeof matches(rule.conditions, known2)).toBe('boolean');
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidRuleError);
        }
      }
    }),
  );
});
