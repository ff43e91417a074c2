import {
  type EventType,
  type Facts,
  fill,
  matches,
  parseRule,
  type Rule,
  type RuleRecipient,
} from './rule-language.ts';

/** Rules that make tasks out of tasks that rules made: this often, then no more. */
export const MAX_AUTOMATION_DEPTH = 3;
/** Messages that one run may send (SPEC 3.3); what one event asks for must fit into it. */
export const MESSAGES_A_RUN = 100;

/** A rule as it is stored. */
export interface StoredRule {
  readonly id: string;
  readonly name: string;
  readonly triggerEvent: EventType;
  readonly conditions: unknown;
  readonly actions: unknown;
}

/** An event with what its rules may know about it and whom they may reach. */
export interface RuleSubject {
  readonly seq: string;
  readonly type: EventType;
  readonly facts: Facts;
  /** Null for a hearing. */
  readonly taskId: string | null;
  readonly caseId: string | null;
  readonly automationDepth: number;
  /** Ids of active users. */
  readonly people: Readonly<Record<RuleRecipient, readonly string[]>>;
}

export type PlannedMessage =
  | {
      readonly channel: 'email' | 'whatsapp';
      readonly userId: string;
      readonly subject: string;
      readonly text: string;
    }
  | { readonly channel: 'webhook'; readonly url: string; readonly subject: string; readonly text: string };

export interface PlannedTask {
  readonly title: string;
  readonly priority: string;
  readonly dueInHours: number;
  readonly assignedTo: string | null;
  readonly caseId: string | null;
  readonly depth: number;
}

/** What one rule does about one event: all of it, or with an error none of it. */
export interface Execution {
  readonly rule: StoredRule;
  readonly subject: RuleSubject;
  readonly messages: readonly PlannedMessage[];
  readonly priority: string | null;
  readonly tasks: readonly PlannedTask[];
  /** As the log tells it; ids and counts alone. */
  readonly actions: readonly Readonly<Record<string, unknown>>[];
  readonly error: string | null;
}

/** A rule that cannot do what it says; the message is for its author. */
class RuleActionError extends Error {
  override readonly name = 'RuleActionError';
}

/**
 * What the rules do about an event, in the order given; rules of other events and those whose conditions are not met are left out. Pure.
 * A rule that is not valid, or that asks for what cannot be, is an execution with an error.
 */
export function planExecutions(subject: RuleSubject, rules: readonly StoredRule[]): Execution[] {
  const executions: Execution[] = [];
  let messages = 0;
  for (const rule of rules) {
    if (rule.triggerEvent !== subject.type) continue;
    const execution = planOne(subject, rule, MESSAGES_A_RUN - messages);
    if (execution === null) continue;
    messages += execution.messages.length;
    executions.push(execution);
  }
  return executions;
}

function planOne(subject: RuleSubject, stored: StoredRule, room: number): Execution | null {
  const nothing = { rule: stored, subject, messages: [], priority: null, tasks: [], actions: [], error: null };
  try {
    const rule = parsed(stored);
    if (!matches(rule.conditions, subject.facts)) return null;
    const facts = { ...subject.facts, event: subject.type, rule: stored.name };
    const messages: PlannedMessage[] = [];
    const tasks: PlannedTask[] = [];
    const actions: Record<string, unknown>[] = [];
    let priority: string | null = null;
    for (const action of rule.actions) {
      switch (action.type) {
        case 'notify': {
          const users = [...new Set(action.to.flatMap((role) => subject.people[role]))];
          const [title, text] = [fill(action.subject, facts), fill(action.message, facts)];
          messages.push(...users.map((userId) => ({ channel: action.channel, userId, subject: title, text })));
          actions.push({ type: 'notify', channel: action.channel, recipients: users.length });
          break;
        }
        case 'webhook':
          messages.push({ channel: 'webhook', url: action.url, subject: stored.name, text: webhookText(subject) });
          actions.push({ type: 'webhook', host: new URL(action.url).hostname });
          break;
        case 'set_priority':
          if (subject.taskId === null) throw new RuleActionError('set_priority: a hearing has no priority');
          priority = action.priority;
          actions.push({ type: 'set_priority', priority });
          break;
        case 'create_task':
          tasks.push(newTask(subject, { ...action, title: fill(action.title, facts) }));
          actions.push({ type: 'create_task', priority: action.priority });
          break;
        default:
          action satisfies never;
      }
    }
    if (messages.length > room)
      throw new RuleActionError(
        `the rules of this event ask for more than ${MESSAGES_A_RUN} messages: name fewer recipients`,
      );
    return { ...nothing, messages, priority, tasks, actions };
  } catch (error) {
    return { ...nothing, error: error instanceof Error ? `${error.name}: ${error.message}` : 'unknown' };
  }
}

/** A thousand events of a batch meet the same rows: each is parsed once. */
const rules = new WeakMap<StoredRule, Rule>();

function parsed(stored: StoredRule): Rule {
  const known = rules.get(stored);
  if (known !== undefined) return known;
  const rule = parseRule(stored.triggerEvent, stored);
  rules.set(stored, rule);
  return rule;
}

function newTask(
  subject: RuleSubject,
  action: {
    readonly title: string;
    readonly priority: string;
    readonly due_in_hours: number;
    readonly assign_to: RuleRecipient | null;
  },
): PlannedTask {
  if (subject.automationDepth >= MAX_AUTOMATION_DEPTH)
    throw new RuleActionError(
      `create_task: the task was itself made by rules ${subject.automationDepth} times over; rules that feed each other end here`,
    );
  return {
    title: action.title.slice(0, 300),
    priority: action.priority,
    dueInHours: action.due_in_hours,
    assignedTo: action.assign_to === null ? null : (subject.people[action.assign_to][0] ?? null),
    caseId: subject.caseId,
    depth: subject.automationDepth + 1,
  };
}

/** For people in a channel: what happened to which task or hearing. */
function webhookText({ type, facts }: RuleSubject): string {
  const told = Object.entries(facts).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  return `${type}\n${told.join('\n')}`;
}
