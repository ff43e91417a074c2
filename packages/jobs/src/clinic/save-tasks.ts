import type { SqlClient } from '@nightshift/engine';
import type { ExistingTask, TaskPlan } from './plan-tasks.ts';
import type { TaskType, WantedTask } from './wanted-tasks.ts';

const EXISTING = `
  SELECT t.client_id AS "clientId", t.id, t.type, t.due_on::text AS "dueOn", t.status, t.source, t.close_reason AS "closeReason"
  FROM clinic.tasks AS t
  WHERE t.tenant_id = $1 AND t.client_id = ANY ($2::uuid[]) AND t.status = 'open' AND t.type <> 'OTHER'
  UNION ALL
  SELECT t.client_id, t.id, t.type, t.due_on::text, t.status, t.source, t.close_reason
  FROM unnest($3::uuid[], $4::text[], $5::date[]) AS wanted(client_id, type, due_on)
  JOIN clinic.tasks AS t ON t.tenant_id = $1 AND t.client_id = wanted.client_id AND t.type = wanted.type AND t.due_on = wanted.due_on
  WHERE t.status <> 'open' AND t.type <> 'OTHER'`;

const CLOSE = `
  UPDATE clinic.tasks AS task SET status = 'superseded', close_reason = closed.reason, closed_by = 'job:clinic.generate-tasks', closed_at = $4
  FROM unnest($2::uuid[], $3::text[]) AS closed(id, reason)
  WHERE task.tenant_id = $1 AND task.id = closed.id AND task.status = 'open'`;

const REOPEN = `
  UPDATE clinic.tasks AS task SET status = 'open'
  WHERE task.tenant_id = $1 AND task.id = ANY ($2::uuid[]) AND task.status <> 'open' AND task.close_reason <> 'hand'
  RETURNING task.type`;

const CREATE = `
  INSERT INTO clinic.tasks (tenant_id, client_id, type, due_on, source, rule, rule_days, created_at)
  SELECT $1, made.client_id, made.type, made.due_on, 'system', made.rule, made.rule_days, $7
  FROM unnest($2::uuid[], $3::text[], $4::date[], $5::text[], $6::smallint[]) AS made(client_id, type, due_on, rule, rule_days)
  ON CONFLICT DO NOTHING
  RETURNING type`;

/** A client with the tasks that should be there. */
export interface ClientWishes {
  readonly id: string;
  readonly wanted: readonly WantedTask[];
}

export interface ClientPlan extends TaskPlan {
  readonly id: string;
}

/** The tasks that plans for these clients have to know, by client. */
export async function existingTasks(
  client: SqlClient,
  tenantId: string,
  clients: readonly ClientWishes[],
): Promise<Map<string, ExistingTask[]>> {
  const wanted = clients.flatMap(({ id, wanted }) => wanted.map((task) => ({ id, ...task })));
  const { rows } = await client.query<ExistingTask & { clientId: string }>(EXISTING, [
    tenantId,
    clients.map(({ id }) => id),
    wanted.map(({ id }) => id),
    wanted.map(({ type }) => type),
    wanted.map(({ dueOn }) => dueOn),
  ]);
  const byClient = new Map<string, ExistingTask[]>();
  for (const row of rows) byClient.set(row.clientId, [...(byClient.get(row.clientId) ?? []), row]);
  return byClient;
}

/** Writes the plans. Returns what was really done: counts, and the types of the tasks made. */
export async function saveTasks(
  client: SqlClient,
  tenantId: string,
  plans: readonly ClientPlan[],
  now: Date,
): Promise<{ created: TaskType[]; reopened: number; closed: number }> {
  const close = plans.flatMap((plan) => plan.close);
  const reopen = plans.flatMap((plan) => plan.reopen);
  const create = plans.flatMap((plan) => plan.create.map((task) => ({ clientId: plan.id, ...task })));
  let closed = 0;
  let reopened = 0;
  // Only one task of a type may be open: those that end make room first.
  if (close.length > 0) {
    const values = [tenantId, close.map(({ id }) => id), close.map(({ reason }) => reason), now];
    closed = (await client.query(CLOSE, values)).rowCount ?? 0;
  }
  if (reopen.length > 0) reopened = (await client.query(REOPEN, [tenantId, reopen.map(({ id }) => id)])).rowCount ?? 0;
  if (create.length === 0) return { created: [], reopened, closed };
  const { rows } = await client.query<{ type: TaskType }>(CREATE, [
    tenantId,
    create.map(({ clientId }) => clientId),
    create.map(({ type }) => type),
    create.map(({ dueOn }) => dueOn),
    create.map(({ rule }) => rule),
    create.map(({ ruleDays }) => ruleDays),
    now,
  ]);
  return { created: rows.map(({ type }) => type), reopened, closed };
}
