import type { SweepContext } from '@nightshift/engine';
import { carryOut } from './carry-out.ts';
import { firmOf } from './firm-of.ts';
import type { Phase } from './phases.ts';
import { MESSAGES_A_RUN, planExecutions, type RuleSubject, type StoredRule } from './plan-rules.ts';
import type { EventType } from './rule-language.ts';

const COUNT = 'SELECT count(*)::int AS n FROM litigation.events WHERE tenant_id = $1 AND processed_at IS NULL';
/** Ids are text, in order of number: twelve digits are enough for a million events a day for 2,700 years. */
const PAGE = `
  SELECT lpad(seq::text, 12, '0') AS id FROM litigation.events
  WHERE tenant_id = $1 AND processed_at IS NULL AND ($2::bigint IS NULL OR seq > $2) ORDER BY seq LIMIT $3`;

const RULES = `
  SELECT id, name, trigger_event AS "triggerEvent", conditions, actions FROM litigation.automation_rules
  WHERE tenant_id = $1 AND enabled ORDER BY created_at, id`;

// Another run that has the event in hand is not waited for: it does it.
const SUBJECTS = `
WITH event AS MATERIALIZED (
  SELECT seq, type, entity_type, entity_id, payload FROM litigation.events
  WHERE tenant_id = $1 AND seq = ANY ($2::bigint[]) AND processed_at IS NULL ORDER BY seq FOR UPDATE SKIP LOCKED
)
SELECT e.seq::text AS seq, e.type, e.payload, t.id AS "taskId", c.id AS "caseId", coalesce(t.automation_depth, 0) AS "automationDepth",
  t.priority, t.statutory, coalesce(t.status, h.status) AS status, coalesce(t.title, c.title) AS title, c.case_number AS "caseNumber",
  t.assigned_to AS assignee, c.owner_id AS owner, c.assigned_to AS advocate
FROM event e
LEFT JOIN litigation.tasks t ON t.tenant_id = $1 AND e.entity_type = 'task' AND t.id = e.entity_id
LEFT JOIN litigation.hearings h ON h.tenant_id = $1 AND e.entity_type = 'hearing' AND h.id = e.entity_id
LEFT JOIN litigation.cases c ON c.tenant_id = $1 AND c.id = coalesce(t.case_id, h.case_id)
ORDER BY e.seq`;

const LISTENERS = `
SELECT u.id, u.role FROM litigation.users u
LEFT JOIN litigation.notification_preferences p ON p.tenant_id = u.tenant_id AND p.user_id = u.id
WHERE u.tenant_id = $1 AND u.active AND coalesce(p.rule_messages, true) AND (u.role = 'admin' OR u.id = ANY ($2::uuid[])) ORDER BY u.id`;

const DONE = `
UPDATE litigation.events e SET processed_at = clock_timestamp(), processed_by = $3, messages = g.messages
FROM unnest($2::bigint[], $4::integer[]) AS g(seq, messages) WHERE e.tenant_id = $1 AND e.seq = g.seq`;

interface SubjectRow {
  readonly seq: string;
  readonly type: EventType;
  readonly payload: Readonly<Record<string, string | number | null>>;
  readonly taskId: string | null;
  readonly caseId: string | null;
  readonly automationDepth: number;
  readonly priority: string | null;
  readonly statutory: boolean | null;
  readonly status: string | null;
  readonly title: string | null;
  readonly caseNumber: string | null;
  readonly assignee: string | null;
  readonly owner: string | null;
  readonly advocate: string | null;
}

/** Messages that a run has made so far, besides those of the events. */
export type OtherMessages = (ctx: SweepContext<unknown>) => Promise<number>;

/**
 * Takes up the events that wait, in order, and runs the automation rules that match. A run makes at most `MESSAGES_A_RUN` messages: events
 * past that stay in the outbox and a follow-up run, asked for with `rest`, takes them.
 */
export function waitingEvents(rest: object, otherMessages: OtherMessages = async () => 0): Phase<unknown> {
  return {
    async count(ctx) {
      const { rows } = await ctx.client.query<{ n: number }>(COUNT, [firmOf(ctx).id]);
      return rows[0]?.n ?? 0;
    },
    async page(ctx, after, limit) {
      const { rows } = await ctx.client.query<{ id: string }>(PAGE, [firmOf(ctx).id, after, limit]);
      return rows.map((row) => row.id);
    },
    async process(ctx, ids) {
      const firm = firmOf(ctx);
      const subjects = await readSubjects(ctx, ids);
      const rules = await ctx.client.query<StoredRule>(RULES, [firm.id]);
      const room = MESSAGES_A_RUN - (await otherMessages(ctx)) - (await messagesOf(ctx));
      const planned = subjects.map((subject) => ({ subject, executions: planExecutions(subject, rules.rows) }));
      const fitting = withinRoom(planned, room);
      if (fitting.length < planned.length) await ctx.followUp({ input: rest });
      const executions = fitting.flatMap((one) => one.executions);
      const { tally } = await carryOut(ctx, executions);
      await ctx.client.query(DONE, [
        firm.id,
        fitting.map((one) => one.subject.seq),
        ctx.runId,
        fitting.map((one) => messages(one)),
      ]);
      return { changed: fitting.length, tally: { ...tally, rulesTriggered: executions.length } };
    },
  };
}

interface Planned {
  readonly subject: RuleSubject;
  readonly executions: ReturnType<typeof planExecutions>;
}

function messages({ executions }: Planned): number {
  return executions.reduce((sum, execution) => sum + execution.messages.length, 0);
}

/** The first events whose messages fit together: order is kept, so that none is passed by for ever. */
function withinRoom(planned: readonly Planned[], room: number): readonly Planned[] {
  let left = room;
  const first = planned.findIndex((one) => {
    left -= messages(one);
    return left < 0;
  });
  return first === -1 ? planned : planned.slice(0, first);
}

async function messagesOf(ctx: SweepContext<unknown>): Promise<number> {
  const { rows } = await ctx.client.query<{ n: number }>(
    'SELECT coalesce(sum(messages), 0)::int AS n FROM litigation.events WHERE tenant_id = $1 AND processed_by = $2 AND messages > 0',
    [firmOf(ctx).id, ctx.runId],
  );
  return rows[0]?.n ?? 0;
}

async function readSubjects(ctx: SweepContext<unknown>, ids: readonly string[]): Promise<RuleSubject[]> {
  const firm = firmOf(ctx);
  const { rows } = await ctx.client.query<SubjectRow>(SUBJECTS, [firm.id, ids]);
  const named = rows.flatMap(({ assignee, owner, advocate }) =>
    [assignee, owner, advocate].filter((id) => id !== null),
  );
  const listeners = await ctx.client.query<{ id: string; role: string }>(LISTENERS, [firm.id, [...new Set(named)]]);
  const listening = new Set(listeners.rows.map((user) => user.id));
  const admins = listeners.rows.filter((user) => user.role === 'admin').map((user) => user.id);
  const only = (id: string | null) => (id !== null && listening.has(id) ? [id] : []);
  return rows.map((row) => ({
    seq: row.seq,
    type: row.type,
    facts: factsOf(row),
    taskId: row.taskId,
    caseId: row.caseId,
    automationDepth: row.automationDepth,
    people: { assignee: only(row.assignee), owner: only(row.owner), advocate: only(row.advocate), admins },
  }));
}

/** The event's data as it was found, the rest as it is now. */
function factsOf({ payload, priority, statutory, status, title, caseNumber }: SubjectRow): RuleSubject['facts'] {
  const { task_id: _task, case_id: _case, entity_id: _entity, ...told } = payload;
  return { priority, statutory, status, title, case_number: caseNumber, ...told };
}
