import { expect, test } from 'vitest';
import {
  MAX_AUTOMATION_DEPTH,
  MESSAGES_A_RUN,
  planExecutions,
  type RuleSubject,
  type StoredRule,
} from './plan-rules.ts';

const subject = (more: Partial<RuleSubject> = {}): RuleSubject => ({
  seq: '1',
  type: 'task_overdue',
  facts: { days_overdue: 2, priority: 'high', title: 'Reply to ASMT-10' },
  taskId: 'task-1',
  caseId: 'case-1',
  automationDepth: 0,
  people: { assignee: ['ann'], owner: ['bob'], advocate: ['ann'], admins: ['eve'] },
  ...more,
});
const rule = (actions: unknown, more: Partial<StoredRule> = {}): StoredRule => ({
  id: 'rule-1', name: 'Escalate', triggerEvent: 'task_overdue', conditions: { all: [] }, actions, ...more,
}); // biome-ignore format: one line a rule
const SET = [{ type: 'set_priority', priority: 'critical' }];

test('rules of other events and rules whose conditions are not met do nothing and leave no trace', () => {
  const never = { field: 'days_overdue', op: 'gt', value: 30 };
  const rules = [rule(SET, { triggerEvent: 'sla_violation' }), rule(SET, { conditions: never }), rule(SET)];
  expect(planExecutions(subject(), rules)).toMatchObject([{ priority: 'critical', error: null }]);
});

test('one message a person though two roles name them; texts are filled', () => {
  const [execution] = planExecutions(subject(), [
    rule([
      { type: 'notify', to: ['assignee', 'advocate', 'owner'], subject: '{{title}}', message: '{{days_overdue}} days' },
    ]),
  ]);
  expect(execution?.messages).toEqual([
    { channel: 'email', userId: 'ann', subject: 'Reply to ASMT-10', text: '2 days' },
    { channel: 'email', userId: 'bob', subject: 'Reply to ASMT-10', text: '2 days' },
  ]);
  expect(execution?.actions).toEqual([{ type: 'notify', channel: 'email', recipients: 2 }]);
});

test('a rule whose one action cannot be does none of them, and the others go on', () => {
  const hearing = subject({ type: 'deadline_approaching', taskId: null });
  const of = (actions: unknown) => rule(actions, { triggerEvent: 'deadline_approaching' });
  const executions = planExecutions(hearing, [
    of([{ type: 'create_task', title: 'x' }, ...SET]),
    of([{ type: 'create_task', title: 'Prepare {{title}}', assign_to: 'owner', due_in_hours: 2 }]),
  ]);
  expect(executions).toMatchObject([
    { error: 'RuleActionError: set_priority: a hearing has no priority', tasks: [], actions: [] },
    {
      error: null,
      tasks: [{ title: 'Prepare Reply to ASMT-10', assignedTo: 'bob', caseId: 'case-1', dueInHours: 2, depth: 1 }],
    },
  ]);
});

test('rules that feed each other end', () => {
  const create = rule([{ type: 'create_task', title: 'again' }]);
  const [last] = planExecutions(subject({ automationDepth: MAX_AUTOMATION_DEPTH - 1 }), [create]);
  expect(last).toMatchObject({ error: null, tasks: [{ depth: MAX_AUTOMATION_DEPTH }] });
  const [over] = planExecutions(subject({ automationDepth: MAX_AUTOMATION_DEPTH }), [create]);
  expect(over?.error).toContain('rules that feed each other end here');
});

test('what one event asks for fits into one run', () => {
  const admins = Array.from({ length: MESSAGES_A_RUN }, (_, i) => `admin-${i}`);
  const tell = rule([{ type: 'notify', to: ['admins'], message: 'x' }]);
  const people = { ...subject().people, admins };
  const executions = planExecutions(subject({ people }), [
    tell,
    rule([{ type: 'notify', to: ['owner'], message: 'x' }]),
  ]);
  expect(executions.map((one) => [one.messages.length, one.error === null])).toEqual([
    [MESSAGES_A_RUN, true],
    [0, false],
  ]);
});

test('a stored rule that is none is an execution that failed, with what is wrong', () => {
  expect(planExecutions(subject(), [rule([{ type: 'nothing' }])])).toMatchObject([
    { error: expect.stringContaining('InvalidRuleError') },
  ]);
});
