import { type EVENT_TYPES, TASK_PRIORITIES } from '@nightshift/db/litigation';
import { z } from 'zod';

// Automation rules are data: conditions over the facts of an event, and actions. This file says what a rule may be and whether it matches; it
// reads and writes nothing.

export type EventType = (typeof EVENT_TYPES)[number];

/** What a rule may ask about each event: the event's own data and what is known of its task or hearing. */
export const FACTS = {
  task_overdue: {
    days_overdue: 'number', priority: 'text', statutory: 'flag', title: 'text', status: 'text', case_number: 'text',
  },
  sla_violation: {
    sla_threshold: 'number', actual_time: 'number', priority: 'text', statutory: 'flag', title: 'text', status: 'text', case_number: 'text',
  },
  deadline_approaching: {
    entity_type: 'text', hours_until_due: 'number', priority: 'text', statutory: 'flag', title: 'text', status: 'text', case_number: 'text',
  },
} as const satisfies Record<EventType, Record<string, FactKind>>; // biome-ignore format: a table

type FactKind = 'number' | 'text' | 'flag';
export type Facts = Readonly<Record<string, string | number | boolean | null>>;

export type Condition =
  | { readonly all: readonly Condition[] }
  | { readonly any: readonly Condition[] }
  | { readonly not: Condition }
  | { readonly field: string; readonly op: Operator; readonly value: Value };
type Operator = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte' | 'in' | 'not_in';
type Single = string | number | boolean;
type Value = Single | readonly Single[];

const MAX_DEPTH = 5;
const MAX_NODES = 50;
const OPERATORS: Readonly<Record<FactKind, readonly Operator[]>> = {
  number: ['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'not_in'],
  text: ['eq', 'ne', 'in', 'not_in'],
  flag: ['eq', 'ne'],
};
const TYPE_OF: Readonly<Record<FactKind, string>> = { number: 'number', text: 'string', flag: 'boolean' };

const single = z.union([z.string().max(300), z.number(), z.boolean()]);
const comparison = z.strictObject({
  field: z.string(),
  op: z.enum(['eq', 'ne', 'lt', 'lte', 'gt', 'gte', 'in', 'not_in']),
  value: z.union([single, z.array(single).min(1).max(50)]),
});
const conditionShape: z.ZodType<Condition> = z.lazy(() =>
  z.union([
    z.strictObject({ all: z.array(conditionShape).max(MAX_NODES) }),
    z.strictObject({ any: z.array(conditionShape).max(MAX_NODES) }),
    z.strictObject({ not: conditionShape }),
    comparison,
  ]),
);

const PRIVATE_HOST = /^(localhost|.*\.(local|internal|localhost)|\[.*\]|\d+(\.\d+){0,3})$/i;
const webhookUrl = z
  .url({ protocol: /^https$/, error: 'expected an https URL' })
  .max(2_000)
  .refine((text) => URL.canParse(text) && new URL(text).username === '' && new URL(text).password === '', {
    error: 'must not carry a user or password',
  })
  .refine((text) => URL.canParse(text) && !PRIVATE_HOST.test(new URL(text).hostname), {
    error: 'must name a public host, not an address or an internal name',
  });

const RECIPIENTS = ['assignee', 'owner', 'advocate', 'admins'] as const;
export type RuleRecipient = (typeof RECIPIENTS)[number];

export const actionSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('notify'),
    channel: z.enum(['email', 'whatsapp']).default('email'),
    to: z.array(z.enum(RECIPIENTS)).min(1).max(RECIPIENTS.length),
    subject: z.string().min(1).max(200).default('{{event}}: {{title}}'),
    /** Plain text; `{{fact}}` stands for a fact of the event. */
    message: z.string().min(1).max(2_000),
  }),
  z.strictObject({ type: z.literal('set_priority'), priority: z.enum(TASK_PRIORITIES) }),
  z.strictObject({
    type: z.literal('create_task'),
    title: z.string().min(1).max(200),
    priority: z.enum(TASK_PRIORITIES).default('high'),
    due_in_hours: z.int().min(1).max(8_760).default(24),
    assign_to: z.enum(['assignee', 'owner', 'advocate']).nullable().default('assignee'),
  }),
  z.strictObject({ type: z.literal('webhook'), url: webhookUrl }),
]);
export type RuleAction = z.output<typeof actionSchema>;
const actionsSchema = z.array(actionSchema).min(1).max(10);

export interface Rule {
  readonly conditions: Condition;
  readonly actions: readonly RuleAction[];
}

/** What is stored as a rule is none; the message names every problem. */
export class InvalidRuleError extends Error {
  override readonly name = 'InvalidRuleError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The rule is not valid: ${problems.slice(0, 5).join('; ')}`);
    this.problems = problems;
  }
}

/** A rule for events of this type, from stored JSON. Errors: `InvalidRuleError`. */
export function parseRule(event: EventType, stored: { readonly conditions: unknown; readonly actions: unknown }): Rule {
  const depth = depthProblem(stored.conditions);
  const conditions = depth === null ? conditionShape.safeParse(stored.conditions) : null;
  const actions = actionsSchema.safeParse(stored.actions);
  const problems = [
    ...(depth === null ? [] : [depth]),
    ...(conditions?.error?.issues ?? []).map(
      (issue) => `conditions ${issue.path.join('.')}: expected all, any, not or a comparison`,
    ),
    ...(actions.error?.issues ?? []).map((issue) => `actions.${issue.path.join('.')}: ${issue.message}`),
    ...(conditions?.success ? comparisonProblems(event, conditions.data) : []),
  ];
  if (problems.length > 0 || !conditions?.success || !actions.success) throw new InvalidRuleError(problems);
  return { conditions: conditions.data, actions: actions.data };
}

/** Measured before anything recurses into it. */
function depthProblem(stored: unknown): string | null {
  let nodes = 0;
  const stack: { value: unknown; depth: number }[] = [{ value: stored, depth: 1 }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    nodes += 1;
    if (nodes > MAX_NODES) return `conditions: at most ${MAX_NODES} of them fit into a rule`;
    if (next.depth > MAX_DEPTH) return `conditions: nested more than ${MAX_DEPTH} deep`;
    const { all, any, not } = (next.value ?? {}) as { all?: unknown; any?: unknown; not?: unknown };
    const parts = [...(Array.isArray(all) ? all : []), ...(Array.isArray(any) ? any : []), ...(not ? [not] : [])];
    for (const value of parts) stack.push({ value, depth: next.depth + 1 });
  }
  return null;
}

function comparisonProblems(event: EventType, condition: Condition): string[] {
  if ('all' in condition) return condition.all.flatMap((part) => comparisonProblems(event, part));
  if ('any' in condition) return condition.any.flatMap((part) => comparisonProblems(event, part));
  if ('not' in condition) return comparisonProblems(event, condition.not);
  const { field, op, value } = condition;
  const facts: Readonly<Record<string, FactKind>> = FACTS[event];
  const kind = Object.hasOwn(facts, field) ? facts[field] : undefined;
  if (kind === undefined) return [`${event} has no '${field}'; it has ${Object.keys(facts).join(', ')}`];
  if (!OPERATORS[kind].includes(op)) return [`'${op}' does not fit ${field}, which is a ${kind}`];
  const many = op === 'in' || op === 'not_in';
  if (Array.isArray(value) !== many) return [`'${op}' takes ${many ? 'a list' : 'one value'}`];
  const wrong = [value].flat().some((one) => typeof one !== TYPE_OF[kind]);
  return wrong ? [`${field} is compared with a ${kind}, got another type`] : [];
}

/** Whether the facts meet the condition. An unknown fact (null) equals nothing and is neither above nor below anything. */
export function matches(condition: Condition, facts: Facts): boolean {
  if ('all' in condition) return condition.all.every((part) => matches(part, facts));
  if ('any' in condition) return condition.any.some((part) => matches(part, facts));
  if ('not' in condition) return !matches(condition.not, facts);
  return compare(facts[condition.field] ?? null, condition.op, condition.value);
}

function compare(fact: Single | null, op: Operator, value: Value): boolean {
  const values = Array.isArray(value) ? (value as readonly Single[]) : [value as Single];
  const [first] = values;
  const ordered = typeof fact === 'number' && typeof first === 'number';
  switch (op) {
    case 'eq':
    case 'in':
      return fact !== null && values.includes(fact);
    case 'ne':
    case 'not_in':
      return fact === null || !values.includes(fact);
    case 'lt':
      return ordered && fact < first;
    case 'lte':
      return ordered && fact <= first;
    case 'gt':
      return ordered && fact > first;
    case 'gte':
      return ordered && fact >= first;
    default:
      return op satisfies never;
  }
}

/** `{{fact}}` replaced by the fact; what is no fact stays as it is written. */
export function fill(text: string, facts: Facts): string {
  return text.replace(/\{\{ *([a-z_]+) *\}\}/g, (written, name: string) =>
    Object.hasOwn(facts, name) ? String(facts[name] ?? '–') : written,
  );
}
