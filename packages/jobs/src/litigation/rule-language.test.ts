import { describe, expect, test } from 'vitest';
import { type Condition, fill, InvalidRuleError, matches, parseRule } from './rule-language.ts';

const notify = [{ type: 'notify', to: ['owner'], message: 'Look at {{title}}' }];
const parse = (conditions: unknown, actions: unknown = notify) => parseRule('task_overdue', { conditions, actions });

function problemsOf(conditions: unknown, actions: unknown = notify): string {
  try {
    parse(conditions, actions);
    return '';
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidRuleError);
    return (error as Error).message;
  }
}

describe('conditions', () => {
  test('compare facts, nested in all, any and not', () => {
    const facts = { days_overdue: 3, priority: 'high', statutory: true };
    const cases: [Condition, boolean][] = [
      [{ all: [] }, true],
      [{ any: [] }, false],
      [{ field: 'days_overdue', op: 'gte', value: 3 }, true],
      [{ field: 'days_overdue', op: 'gt', value: 3 }, false],
      [{ field: 'days_overdue', op: 'lt', value: 4 }, true],
      [{ field: 'days_overdue', op: 'lte', value: 2 }, false],
      [{ field: 'priority', op: 'in', value: ['high', 'critical'] }, true],
      [{ field: 'priority', op: 'not_in', value: ['high'] }, false],
      [{ field: 'statutory', op: 'eq', value: true }, true],
      [{ field: 'case_number', op: 'eq', value: 'x' }, false],
      [{ field: 'case_number', op: 'ne', value: 'x' }, true],
      [{ field: 'case_number', op: 'lt', value: 1 }, false],
      [{ all: [{ not: { field: 'priority', op: 'eq', value: 'low' } }, { any: [{ all: [] }] }] }, true],
    ];
    for (const [condition, expected] of cases)
      expect(matches(condition, facts), JSON.stringify(condition)).toBe(expected);
  });

  test.each([
    [
      'a field that the event has not',
      { field: 'hours_until_due', op: 'eq', value: 1 },
      /task_overdue has no 'hours_until_due'; it has days_overdue/,
    ],
    ['a name of every object', { field: 'constructor', op: 'eq', value: 'x' }, /has no 'constructor'/],
    [
      'an operator of another kind',
      { field: 'priority', op: 'gt', value: 'a' },
      /'gt' does not fit priority, which is a text/,
    ],
    [
      'a value of another kind',
      { field: 'days_overdue', op: 'eq', value: '3' },
      /days_overdue is compared with a number/,
    ],
    ['a list for one value', { field: 'priority', op: 'eq', value: ['high'] }, /takes one value/],
    ['one value for a list', { field: 'priority', op: 'in', value: 'high' }, /takes a list/],
    ['an unknown word', { every: [] }, /expected all, any, not or a comparison/],
    ['no object', null, /expected all, any, not or a comparison/],
    ['too deep', { not: { not: { not: { not: { not: { all: [] } } } } } }, /nested more than 5 deep/],
    ['too many', { all: Array.from({ length: 51 }, () => ({ all: [] })) }, /at most 50/],
  ])('refuse %s', (_name, conditions, expected) => {
    expect(problemsOf(conditions)).toMatch(expected);
  });
});

describe('actions', () => {
  test('get their defaults', () => {
    expect(parse({ all: [] }, [{ type: 'create_task', title: 'Chase' }]).actions).toEqual([
      { type: 'create_task', title: 'Chase', priority: 'high', due_in_hours: 24, assign_to: 'assignee' },
    ]);
  });

  test.each([
    ['none', []],
    ['an unknown one', [{ type: 'delete_case' }]],
    ['a field too much', [{ type: 'set_priority', priority: 'high', also: 1 }]],
    ['a priority that is none', [{ type: 'set_priority', priority: 'urgent' }]],
    ['nobody to notify', [{ type: 'notify', to: [], message: 'x' }]],
    ['a due date in the past', [{ type: 'create_task', title: 'x', due_in_hours: 0 }]],
    ['a webhook without TLS', [{ type: 'webhook', url: 'http://hooks.example.com/x' }]],
    ['a webhook to this machine', [{ type: 'webhook', url: 'https://localhost/x' }]],
    ['a webhook to an address', [{ type: 'webhook', url: 'https://169.254.169.254/latest' }]],
    ['a webhook to a number', [{ type: 'webhook', url: 'https://2130706433/' }]],
    ['a webhook inside', [{ type: 'webhook', url: 'https://vault.internal/' }]],
    ['a webhook with a password', [{ type: 'webhook', url: 'https://me:secret@hooks.example.com/x' }]],
  ])('refuse %s', (_name, actions) => {
    expect(problemsOf({ all: [] }, actions)).toMatch(/actions/);
  });
});

test('texts are filled with facts; what is no fact stays', () => {
  const facts = { title: 'Reply', days_overdue: 2, case_number: null };
  expect(fill('{{title}} {{ days_overdue }} {{case_number}} {{secret}} {{constructor}}', facts)).toBe(
    'Reply 2 – {{secret}} {{constructor}}',
  );
});
