import { runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobs, templates } from '../index.ts';
import { checkSlaAndOverdue } from './check-sla-and-overdue.job.ts';
import { MAX_AUTOMATION_DEPTH } from './plan-rules.ts';
import { type TestFirm, testFirm } from './testing/test-firm.ts';

const NOW = '2026-11-22T12:00:00Z';
const minutes = (n: number, from = NOW) => new Date(Date.parse(from) + n * 60_000);
const hours = (n: number, from = NOW) => minutes(60 * n, from);

let engine: TestEngine;
let firm: TestFirm;
let owner: string;
let caseId: string;
let made = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs, templates });
});
afterAll(() => engine.close());
beforeEach(async () => {
  firm = await testFirm(engine, `firm-${made++}`);
  owner = await firm.user('owner');
  caseId = await firm.insert('cases', { case_number: '2024-0123', title: 'GST Appeal', owner_id: owner });
});

const task = (more: object = {}) =>
  firm.insert('tasks', { title: 'Reply', case_id: caseId, priority: 'low', created_at: hours(-24), ...more });
const rule = (name: string, event: string, actions: unknown, conditions: unknown = { all: [] }) =>
  firm.insert('automation_rules', {
    name,
    trigger_event: event,
    conditions: JSON.stringify(conditions),
    actions: JSON.stringify(actions),
  });
const events = () =>
  firm.rows<{ type: string; entity: string; payload: Record<string, unknown>; done: boolean }>(
    'SELECT type, entity_id AS entity, payload, processed_at IS NOT NULL AS done FROM litigation.events WHERE tenant_id = $1 ORDER BY seq',
  );
const logs = () =>
  firm.rows<{ rule_name: string; status: string; error_message: string | null; actions_executed: unknown }>(
    'SELECT rule_name, trigger_event, status, error_message, actions_executed FROM litigation.automation_logs WHERE tenant_id = $1 ORDER BY executed_at, rule_name',
  );
const taskRow = async (id: string) =>
  (await firm.rows<Record<string, unknown>>('SELECT * FROM litigation.tasks WHERE id = $1', [id]))[0] ?? {};
const set = (id: string, change: string) => firm.rows(`UPDATE litigation.tasks SET ${change} WHERE id = $1`, [id]);
const pass = (now: string | Date = NOW) => firm.pass(checkSlaAndOverdue, now);

describe('overdue', () => {
  test('more than 15 minutes past due is flagged once, with its event; exactly 15 minutes is not', async () => {
    const late = await task({ due_date: minutes(-15.01) });
    const edge = await task({ due_date: minutes(-15) });
    await task({ due_date: hours(1) });
    await task({ due_date: null });
    await task({ due_date: hours(-5), status: 'Completed' });
    await task({ due_date: hours(-5), status: 'Cancelled' });
    expect(await pass()).toMatchObject({ expected: 1, processed: 1, changed: 1, tally: { overdueTasks: 1 } });
    expect(await events()).toEqual([
      {
        type: 'task_overdue',
        entity: late,
        payload: { task_id: late, case_id: caseId, days_overdue: 0, priority: 'low' },
        done: true,
      },
    ]);
    expect([(await taskRow(late)).overdue_at, (await taskRow(edge)).overdue_at]).toEqual([new Date(NOW), null]);
    expect(await pass(minutes(1))).toMatchObject({ processed: 1, tally: { overdueTasks: 1 } });
    expect(await pass(minutes(2))).toMatchObject({ expected: 0, processed: 0, changed: 0, tally: {} });
  });

  test('days overdue are the firm’s: midnight in Kolkata is 18:30 UTC', async () => {
    await task({ due_date: '2026-11-20T18:29:00Z' });
    await task({ due_date: '2026-11-20T18:31:00Z' });
    await pass('2026-11-21T18:31:00Z');
    const days = (await events()).map(({ payload }) => payload.days_overdue);
    expect(days.sort()).toEqual([1, 2]);
  });

  test('over a leap day, a month’s end and a day of 23 hours, days are calendar days', async () => {
    const berlin = await testFirm(engine, `berlin-${made++}`, 'Europe/Berlin');
    for (const due_date of ['2028-02-28T22:30:00Z', '2028-03-25T22:30:00Z'])
      await berlin.insert('tasks', { title: 'x', due_date, created_at: due_date });
    await berlin.pass(checkSlaAndOverdue, '2028-03-26T22:30:00Z');
    const rows = await berlin.rows<{ days: number }>(
      `SELECT (payload ->> 'days_overdue')::int AS days FROM litigation.events WHERE tenant_id = $1 AND type = 'task_overdue' ORDER BY 1`,
    );
    // 23:30 on 28 February to 00:30 on 27 March; 23:30 on 25 March to the same, over the night that lacks an hour.
    expect(rows.map((row) => row.days)).toEqual([28, 2].sort((a, b) => a - b));
  });

  test('completing, cancelling or moving the due date clears the flag and arms it again', async () => {
    const [completed, cancelled, moved] = [
      await task({ due_date: hours(-2) }),
      await task({ due_date: hours(-2) }),
      await task({ due_date: hours(-2) }),
    ];
    await pass();
    await set(completed, `status = 'Completed'`);
    await set(cancelled, `status = 'Cancelled'`);
    await set(moved, `due_date = '${hours(1).toISOString()}'`);
    for (const id of [completed, cancelled, moved]) expect((await taskRow(id)).overdue_at).toBeNull();
    expect(await pass()).toMatchObject({ processed: 0 });
    await set(completed, `status = 'In Progress'`);
    expect((await taskRow(completed)).closed_at).toBeNull();
    expect(await pass(hours(2))).toMatchObject({ tally: { overdueTasks: 2 } });
    expect((await events()).map(({ entity }) => entity).filter((entity) => entity === moved)).toHaveLength(2);
    expect(await pass(hours(2))).toMatchObject({ processed: 0 });
  });
});

describe('SLA', () => {
  test('hours from creation to completion, by the priority’s threshold; exactly at it is in time', async () => {
    const over = await task({ priority: 'critical', created_at: hours(-4.01) });
    await task({ priority: 'critical', created_at: hours(-4) });
    await task({ priority: 'high', created_at: hours(-24) });
    const completed = await task({
      priority: 'high',
      created_at: hours(-100),
      status: 'Completed',
      closed_at: hours(-75.5),
    });
    await task({ priority: 'high', created_at: hours(-100), status: 'Completed', closed_at: hours(-76) });
    await task({ priority: 'low', created_at: hours(-169), status: 'Cancelled' });
    expect(await pass()).toMatchObject({ tally: { slaViolations: 2, overdueTasks: 0 } });
    expect(new Map((await events()).map(({ entity, payload }) => [entity, payload]))).toEqual(
      new Map([
        [over, { task_id: over, sla_threshold: 4, actual_time: 4.01 }],
        [completed, { task_id: completed, sla_threshold: 24, actual_time: 24.5 }],
      ]),
    );
    expect(await pass(minutes(1))).toMatchObject({ tally: { slaViolations: 2 } });
    expect(await pass(minutes(1))).toMatchObject({ processed: 0 });
  });

  test('a firm’s own threshold counts; another threshold is another violation, the same one is not', async () => {
    const id = await task({ priority: 'medium', created_at: hours(-30) });
    expect(await pass()).toMatchObject({ processed: 0 });
    await firm.insert('sla_thresholds', { priority: 'medium', hours: 20 });
    expect(await pass()).toMatchObject({ tally: { slaViolations: 1 } });
    await set(id, `priority = 'critical'`);
    expect(await pass()).toMatchObject({ tally: { slaViolations: 1 } });
    await set(id, `priority = 'medium'`);
    await pass();
    expect((await events()).map(({ payload }) => payload.sla_threshold)).toEqual([20, 4]);
  });
});

describe('automation rules', () => {
  test('all four actions, logged; a second run does nothing more', async () => {
    const admin = await firm.user('admin', { role: 'admin' });
    const id = await task({ due_date: hours(-30), assigned_to: owner });
    await rule('Escalate', 'task_overdue', [
      {
        type: 'notify',
        to: ['assignee', 'admins'],
        subject: 'Late: {{title}}',
        message: '{{title}} is {{days_overdue}} days late',
      },
      { type: 'set_priority', priority: 'high' },
      { type: 'create_task', title: 'Chase {{title}}', due_in_hours: 4 },
      { type: 'webhook', url: 'https://hooks.example.com/x' },
    ]);
    await rule('Only criticals', 'task_overdue', [{ type: 'set_priority', priority: 'low' }], {
      field: 'priority',
      op: 'eq',
      value: 'critical',
    });
    const done = await pass();
    expect(done.tally).toMatchObject({ overdueTasks: 1, rulesTriggered: 1, 'task:automation': 1, messages: 3 });
    expect(done.messages.map(({ channel, to, userKey, data }) => [channel, to, userKey, data.subject])).toEqual(
      expect.arrayContaining([
        ['email', 'owner@example.in', owner, 'Late: Reply'],
        ['email', 'admin@example.in', admin, 'Late: Reply'],
        ['webhook', 'https://hooks.example.com/x', null, 'Escalate'],
      ]),
    );
    expect(new Set(done.messages.map(({ dedupeKey }) => dedupeKey)).size).toBe(3);
    expect(await taskRow(id)).toMatchObject({ priority: 'high' });
    expect(
      await firm.rows(
        `SELECT title, due_date, assigned_to, automation_depth FROM litigation.tasks WHERE created_by_rule IS NOT NULL AND tenant_id = $1`,
      ),
    ).toEqual([{ title: 'Chase Reply', due_date: hours(4), assigned_to: owner, automation_depth: 1 }]);
    expect(await logs()).toMatchObject([
      { rule_name: 'Escalate', trigger_event: 'task_overdue', status: 'success', error_message: null },
    ]);
    expect(await pass()).toMatchObject({ processed: 0, messages: [] });
  });

  test('a rule that is none is logged as failed, and the others run', async () => {
    await task({ due_date: hours(-1) });
    await rule('Broken', 'task_overdue', [{ type: 'fly' }]);
    await rule('Works', 'task_overdue', [{ type: 'set_priority', priority: 'medium' }]);
    expect((await pass()).tally).toMatchObject({ rulesTriggered: 2 });
    expect(await logs()).toMatchObject([
      { rule_name: 'Broken', status: 'failed', error_message: expect.stringContaining('InvalidRuleError') },
      { rule_name: 'Works', status: 'success' },
    ]);
  });

  test('a recipient whose address cannot be read fails that rule alone', async () => {
    await firm.rows(`UPDATE litigation.users SET email_enc = 'ns1.x.y.z' WHERE id = $1`, [owner]);
    await task({ due_date: hours(-1) });
    await rule('Tell', 'task_overdue', [
      { type: 'notify', to: ['owner'], message: 'x' },
      { type: 'set_priority', priority: 'critical' },
    ]);
    expect(await pass()).toMatchObject({ processed: 2, messages: [] });
    expect(await logs()).toMatchObject([
      { rule_name: 'Tell', status: 'failed', error_message: expect.stringContaining('litigation.users.email_enc') },
    ]);
    expect(
      (await firm.rows(`SELECT FROM litigation.tasks WHERE tenant_id = $1 AND priority = 'critical'`)).length,
    ).toBe(0);
  });

  test('rules that make tasks out of their own tasks end', async () => {
    await task({ due_date: hours(-1) });
    await rule('Again', 'task_overdue', [{ type: 'create_task', title: 'Again', due_in_hours: 1 }]);
    for (let round = 0; round < MAX_AUTOMATION_DEPTH + 3; round++) await pass(hours(round * 2));
    const rows = await firm.rows<{ depth: number }>(
      'SELECT automation_depth AS depth FROM litigation.tasks WHERE tenant_id = $1 ORDER BY 1',
    );
    expect(rows.map((row) => row.depth)).toEqual([0, 1, 2, 3]);
    expect((await logs()).filter(({ status }) => status === 'failed')).toHaveLength(1);
  });

  test('preferences and absence of an address are respected; a disabled rule does nothing', async () => {
    await firm.insert('notification_preferences', { user_id: owner, rule_messages: false });
    const silent = await firm.user('silent', { email: null });
    await task({ due_date: hours(-1), assigned_to: silent });
    const off = await rule('Off', 'task_overdue', [{ type: 'set_priority', priority: 'critical' }]);
    await firm.rows('UPDATE litigation.automation_rules SET enabled = false WHERE id = $1', [off]);
    await rule('Tell', 'task_overdue', [{ type: 'notify', to: ['owner', 'assignee'], message: 'x' }]);
    expect((await pass()).messages).toEqual([]);
    expect(await logs()).toMatchObject([
      { rule_name: 'Tell', status: 'success', actions_executed: [{ recipients: 1 }] },
    ]);
  });
});

describe('with workers', () => {
  const run = (options: object = {}) =>
    runJob(engine, { job: 'litigation.check-sla-and-overdue', tenant: firm.slug, input: {}, options });

  test('the summary has the seed’s fields; one bad task is named and the others are flagged', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 9; i++) ids.push(await task({ due_date: '2026-01-01T00:00:00Z', created_at: new Date() }));
    await firm.rows(
      `CREATE FUNCTION litigation.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'sealed' USING ERRCODE = '23514'; END $$`,
      [],
    );
    await firm.rows(
      `CREATE TRIGGER refuse BEFORE UPDATE ON litigation.tasks FOR EACH ROW WHEN (OLD.id = '${ids[4]}') EXECUTE FUNCTION litigation.refuse()`,
      [],
    );
    const ended = await run();
    expect(ended).toMatchObject({
      status: 'completed_with_item_errors',
      processed: 9,
      failedItems: 1,
      result: {
        overdueTasks: 8,
        slaViolations: 0,
        rulesTriggered: 0,
        errors: [{ item: `0/${ids[4]}` }],
        duration: expect.any(Number),
      },
    });
    await firm.rows('DROP TRIGGER refuse ON litigation.tasks', []);
    expect(await run()).toMatchObject({ status: 'completed', result: { overdueTasks: 1 } });
    expect(await run()).toMatchObject({ status: 'completed', processed: 0, result: { overdueTasks: 0 } });
  });

  test('rules that ask for more than 100 messages are done by follow-up runs, each message once', async () => {
    await rule('Tell', 'task_overdue', [{ type: 'notify', to: ['owner'], message: 'x' }]);
    await firm.rows(
      `INSERT INTO litigation.tasks (tenant_id, title, case_id, due_date) SELECT $1, 'T' || n, $2, now() - interval '1 day' FROM generate_series(1, 230) n`,
      [firm.id, caseId],
    );
    const started = await engine.producer.start(
      { kind: 'manual', job: 'litigation.check-sla-and-overdue', tenants: [firm.slug] },
      'test',
    );
    const { waitWithFollowUps } = await import('@nightshift/engine/accept');
    const all = await waitWithFollowUps(
      engine.producer,
      started.runs.map((one) => one.runId),
      { timeoutMs: 40_000 },
    );
    expect([...all.ended.values()]).toEqual(['completed', 'completed', 'completed']);
    const perRun = await firm.rows<{ n: number }>(
      `SELECT count(*)::int AS n FROM ops.notifications WHERE tenant_id = $1 GROUP BY run_id ORDER BY 1`,
    );
    expect(perRun.map((row) => row.n)).toEqual([30, 100, 100]);
    expect((await events()).every(({ done }) => done)).toBe(true);
  });

  test('stopped in the middle, cancelled in the middle: each task and message once, the rest by the next run', async () => {
    await rule('Tell', 'task_overdue', [{ type: 'notify', to: ['owner'], message: 'x' }]);
    for (let i = 0; i < 4; i++) await task({ due_date: '2026-01-01T00:00:00Z', created_at: new Date() });
    const begin = async () => {
      const options = { batchSize: 1, batchDelayMs: 60_000 };
      const request = { job: 'litigation.check-sla-and-overdue', tenant: firm.slug, input: {}, options };
      const { id } = await engine.producer.accept(request, 'test');
      await until('the first batch', async () => {
        const [open] = await firm.rows('SELECT FROM ops.open_runs WHERE id = $1 AND processed > 0', [id]);
        return open !== undefined;
      });
      return id;
    };
    const ending = async (id: string) => (await engine.producer.waitFor([id], { timeoutMs: 40_000 })).get(id);
    const cancelled = await begin();
    await engine.producer.cancel(cancelled, 'test', null);
    expect(await ending(cancelled)).toBe('cancelled');
    const stopped = await begin();
    expect(await events()).toMatchObject([{ done: false }, { done: false }]);
    await Promise.all(engine.workers.map((worker) => worker.stop(0)));
    await firm.rows(`UPDATE ops.open_runs SET options = options || '{"batchDelayMs": 0}' WHERE tenant_id = $1`);
    await engine.addWorker();
    expect(await ending(stopped)).toBe('completed');
    expect((await events()).map(({ done }) => done)).toEqual([true, true, true, true]);
    const made = await firm.rows('SELECT DISTINCT dedupe_key FROM ops.notifications WHERE tenant_id = $1');
    expect([made.length, (await logs()).length]).toEqual([4, 4]);
  });

  test('a dry run changes nothing; nor does a run that finds nothing', async () => {
    expect(await run()).toMatchObject({ status: 'completed', processed: 0, result: { overdueTasks: 0, errors: [] } });
    await task({ due_date: '2026-01-01T00:00:00Z', created_at: new Date() });
    expect(await run({ dryRun: true })).toMatchObject({ result: { overdueTasks: 1, dryRun: true } });
    expect(await events()).toEqual([]);
  });
});
