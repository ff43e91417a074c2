import { randomUUID } from 'node:crypto';
import type { NewNotification, SweepContext } from '@nightshift/engine';
import { readableAddressesOf } from './addresses.ts';
import { firmOf } from './firm-of.ts';
import type { Execution, PlannedMessage } from './plan-rules.ts';

const SET_PRIORITIES = `
UPDATE litigation.tasks t SET priority = g.priority FROM unnest($2::uuid[], $3::text[]) AS g(id, priority)
WHERE t.tenant_id = $1 AND t.id = g.id AND t.priority <> g.priority`;

const CREATE_TASKS = `
INSERT INTO litigation.tasks (tenant_id, id, case_id, title, priority, due_date, assigned_to, created_at, created_by_rule, automation_depth)
SELECT $1, g.id, g.case_id, g.title, g.priority, $2::timestamptz + make_interval(hours => g.hours), g.assigned_to, $2, g.rule_id, g.depth
FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::integer[], $8::uuid[], $9::uuid[], $10::smallint[])
  AS g(id, case_id, title, priority, hours, assigned_to, rule_id, depth)`;

const LOG = `
INSERT INTO litigation.automation_logs (tenant_id, rule_id, rule_name, trigger_event, status, actions_executed, error_message, executed_at, event_seq)
SELECT $1, g.rule_id, g.rule_name, g.event, CASE WHEN g.error IS NULL THEN 'success' ELSE 'failed' END, g.actions, g.error, $2, g.seq
FROM unnest($3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::bigint[]) AS g(rule_id, rule_name, event, actions, error, seq)`;

/** Does what executions of rules planned and logs each, in the batch's transaction. One whose recipient cannot be read is done not at all. */
export async function carryOut(
  ctx: SweepContext<unknown>,
  planned: readonly Execution[],
): Promise<{ readonly tally: Readonly<Record<string, number>> }> {
  if (planned.length === 0) return { tally: {} };
  const addresses = await readAddresses(ctx, planned);
  const executions = planned.map((execution) => withoutBroken(execution, addresses));
  await setPriorities(ctx, executions);
  const created = await createTasks(ctx, executions);
  const messages = notificationsOf(firmOf(ctx).id, executions, addresses);
  if (messages.length > 0) await ctx.notify(messages);
  const column = <T>(pick: (execution: Execution) => T): T[] => executions.map(pick);
  await ctx.client.query(LOG, [
    firmOf(ctx).id,
    ctx.now,
    column((e) => e.rule.id),
    column((e) => e.rule.name),
    column((e) => e.subject.type),
    column((e) => JSON.stringify(e.actions)),
    column((e) => e.error),
    column((e) => e.subject.seq),
  ]);
  return { tally: { 'task:automation': created, messages: messages.length } };
}

type Addresses = Readonly<Record<'email' | 'whatsapp', Awaited<ReturnType<typeof readableAddressesOf>>>>;

async function readAddresses(ctx: SweepContext<unknown>, executions: readonly Execution[]): Promise<Addresses> {
  const messages = executions.flatMap((execution) => execution.messages);
  const read = (channel: 'email' | 'whatsapp') =>
    readableAddressesOf(
      ctx,
      firmOf(ctx).id,
      channel,
      messages.flatMap((message) => (message.channel === channel ? [message.userId] : [])),
    );
  return { email: await read('email'), whatsapp: await read('whatsapp') };
}

function withoutBroken(execution: Execution, addresses: Addresses): Execution {
  for (const message of execution.messages) {
    const broken = message.channel === 'webhook' ? undefined : addresses[message.channel].broken.get(message.userId);
    if (broken !== undefined)
      return { ...execution, messages: [], tasks: [], priority: null, actions: [], error: `notify: ${broken}` };
  }
  return execution;
}

/** The last rule that speaks for a task has it. */
async function setPriorities(ctx: SweepContext<unknown>, executions: readonly Execution[]): Promise<void> {
  const wanted = new Map<string, string>();
  for (const { subject, priority } of executions)
    if (subject.taskId !== null && priority !== null) wanted.set(subject.taskId, priority);
  if (wanted.size === 0) return;
  await ctx.client.query(SET_PRIORITIES, [firmOf(ctx).id, [...wanted.keys()], [...wanted.values()]]);
}

async function createTasks(ctx: SweepContext<unknown>, executions: readonly Execution[]): Promise<number> {
  const tasks = executions.flatMap(({ rule, tasks: planned }) => planned.map((task) => ({ ...task, ruleId: rule.id })));
  if (tasks.length === 0) return 0;
  const { rowCount } = await ctx.client.query(CREATE_TASKS, [
    firmOf(ctx).id,
    ctx.now,
    tasks.map(() => randomUUID()),
    tasks.map((task) => task.caseId),
    tasks.map((task) => task.title),
    tasks.map((task) => task.priority),
    tasks.map((task) => task.dueInHours),
    tasks.map((task) => task.assignedTo),
    tasks.map((task) => task.ruleId),
    tasks.map((task) => task.depth),
  ]);
  return rowCount ?? 0;
}

/** Whoever has no address on the channel is left out. */
function notificationsOf(tenantId: string, executions: readonly Execution[], addresses: Addresses): NewNotification[] {
  return executions.flatMap((execution) =>
    execution.messages.flatMap((message, i): NewNotification[] => {
      const webhook = message.channel === 'webhook';
      const to = webhook ? message.url : addresses[message.channel].found.get(message.userId);
      if (to === undefined) return [];
      return [
        {
          tenantId,
          dedupeKey: keyOf(execution, message, i),
          channel: message.channel,
          to,
          template: 'litigation.rule-notification',
          data: { subject: message.subject, text: message.text, rule: execution.rule.name },
          userKey: webhook ? null : message.userId,
        },
      ];
    }),
  );
}

function keyOf({ rule, subject }: Execution, message: PlannedMessage, i: number): string {
  const whom = message.channel === 'webhook' ? `webhook:${i}` : `${message.channel}:${message.userId}:${i}`;
  return `rule:${rule.id}:${subject.seq}:${whom}`;
}
