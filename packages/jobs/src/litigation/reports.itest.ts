import { inTransaction } from '@nightshift/db';
import { mailServer, runJob, type TestEngine, testEngine, until } from '@nightshift/engine/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { jobs, templates } from '../index.ts';
import { analyticsSnapshot } from './analytics-snapshot.job.ts';
import { automationHealthCheck } from './automation-health-check.job.ts';
import { type TestFirm, testFirm } from './testing/test-firm.ts';

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
  owner = await firm.user('owner', { role: 'admin' });
  caseId = await firm.insert('cases', { case_number: '1', title: 'Appeal', owner_id: owner });
});

const run = (job: string, options = {}) =>
  runJob(engine, { job: `litigation.${job}`, tenant: firm.slug, input: {}, options });
const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000);

describe('analytics snapshot', () => {
  const snapshots = () =>
    firm.rows<{ day: string; type: string; value: Record<string, unknown> }>(
      `SELECT snapshot_date::text AS day, metric_type AS type, metric_value AS value FROM litigation.analytics_snapshots WHERE tenant_id = $1 ORDER BY 1`,
    );
  const today = async () =>
    (await firm.rows<{ day: string }>(`SELECT (now() AT TIME ZONE 'Asia/Kolkata')::date::text AS day`, []))[0]?.day ??
    '';

  test('the seed’s metrics, on the firm’s date; null on 0/0; run twice it is one and the same', async () => {
    expect(await run('analytics-snapshot')).toMatchObject({
      status: 'completed',
      result: { snapshotsCreated: 1, duration: expect.any(Number), errors: [] },
    });
    const empty = {
      task_completion_rate: null,
      sla_compliance_rate: null,
      hearing_attendance_rate: null,
      document_count: 0,
      overdue_tasks: 0,
    };
    expect(await snapshots()).toEqual([
      { day: await today(), type: 'daily_snapshot', value: { case_count: 1, ...empty, anomaly_detected: false } },
    ]);
    expect(await run('analytics-snapshot')).toMatchObject({ result: { snapshotsCreated: 0, snapshotsUpdated: 0 } });
    expect(await snapshots()).toHaveLength(1);
  });

  test('rates are of all tasks, and of past hearings that took place', async () => {
    const court = await firm.insert('courts', { code: 'A', name: 'GSTAT', city: 'x', forum: 'x' });
    await firm.insert('cases', { case_number: '2', title: 'Closed', owner_id: owner, status: 'Closed' });
    const task = (more: object) =>
      firm.insert('tasks', { title: 't', priority: 'critical', created_at: ago(10), ...more });
    await task({ status: 'Completed', closed_at: ago(7) });
    await task({ status: 'Completed', closed_at: ago(1) });
    await task({ due_date: ago(1) });
    await task({ created_at: ago(1), due_date: ago(-1) });
    const hearing = (hours: number, more: object) =>
      firm.insert('hearings', { case_id: caseId, court_id: court, hearing_date: ago(hours), ...more });
    await hearing(5, { status: 'Completed', attended: true });
    await hearing(6, { status: 'Completed', attended: false });
    await hearing(7, { status: 'Scheduled' });
    await hearing(8, { status: 'Adjourned' });
    await hearing(-8, { status: 'Scheduled' });
    await firm.insert('documents', { case_id: caseId, title: 'd' });
    await run('analytics-snapshot');
    expect((await snapshots())[0]?.value).toEqual({
      case_count: 1, task_completion_rate: 0.5, sla_compliance_rate: 0.5, hearing_attendance_rate: 0.3333, document_count: 1, overdue_tasks: 1, anomaly_detected: false,
    }); // biome-ignore format: a snapshot
  });

  test('what is off its average of the days before is named; days before those do not count', async () => {
    const before = (days: number, value: object) =>
      firm.rows(
        `INSERT INTO litigation.analytics_snapshots (tenant_id, metric_type, snapshot_date, metric_value) VALUES ($1, 'daily_snapshot', $2::date - $3::int, $4)`,
        [firm.id, day, days, JSON.stringify(value)],
      );
    const day = await today();
    for (const days of [1, 2, 7]) await before(days, { case_count: 2, overdue_tasks: 0, document_count: 0 });
    for (const days of [8, 9]) await before(days, { case_count: 1 });
    const ended = await run('analytics-snapshot');
    expect(ended.result).toMatchObject({
      anomaly_detected: true,
      anomalies: [{ metric: 'case_count', value: 1, average: 2, deviation: -0.5 }],
    });
    expect((await snapshots()).at(-1)?.value).toMatchObject({ anomaly_detected: true });
    expect(await run('analytics-snapshot', { dryRun: true })).toMatchObject({ status: 'completed' });
  });

  test.each([
    ['Asia/Kolkata', '2026-11-22T18:29:59.999Z', '2026-11-22'],
    ['Asia/Kolkata', '2026-11-22T18:30:00Z', '2026-11-23'],
    ['Asia/Kolkata', '2028-02-29T18:29:00Z', '2028-02-29'],
    ['Asia/Kolkata', '2026-12-31T18:30:00Z', '2027-01-01'],
    ['Europe/Berlin', '2026-03-29T21:59:00Z', '2026-03-29'],
    ['Europe/Berlin', '2026-10-25T22:59:00Z', '2026-10-25'],
    ['Europe/Berlin', '2026-10-25T23:00:00Z', '2026-10-26'],
  ])('in %s %s is of %s', async (zone, now, day) => {
    const theirs = await testFirm(engine, `zone-${made++}`, zone);
    expect(await theirs.once(analyticsSnapshot, now)).toMatchObject({ snapshotDate: day });
    expect(await theirs.once(analyticsSnapshot, now, '2026-11-21')).toMatchObject({ snapshotDate: '2026-11-21' });
  });

  test('due at this instant is not overdue, heard at this instant is not past, exactly at its threshold is on time', async () => {
    const now = '2026-11-22T18:29:00Z';
    const before = (hours: number, ms = 0) => new Date(Date.parse(now) - hours * 3_600_000 - ms);
    const court = await firm.insert('courts', { code: 'A', name: 'GSTAT', city: 'x', forum: 'x' });
    for (const ms of [0, 1]) {
      await firm.insert('tasks', {
        title: 't',
        priority: 'critical',
        created_at: before(4, ms),
        due_date: before(0, ms),
      });
      const heard = { case_id: caseId, court_id: court, hearing_date: before(0, ms), attended: ms === 1 };
      await firm.insert('hearings', heard);
    }
    expect(await firm.once(analyticsSnapshot, now)).toMatchObject({
      overdue_tasks: 1,
      sla_compliance_rate: 0.5,
      hearing_attendance_rate: 1,
    });
  });
});

describe('automation health check', () => {
  const rule = (name: string, madeAt: Date, enabled = true) =>
    firm.insert('automation_rules', {
      name,
      trigger_event: 'task_overdue',
      actions: '[]',
      enabled,
      created_at: madeAt,
    });
  const log = (ruleId: string, status: string, at: Date) =>
    firm.insert('automation_logs', { rule_id: ruleId, status, executed_at: at });

  test('the seed’s metrics of enabled rules over 24 hours, told to the admins once a day', async () => {
    const bad = await rule('Bad', ago(500));
    const good = await rule('Good', ago(500));
    await rule('Young', ago(47));
    await rule('Silent', ago(49));
    await rule('Off', ago(500), false);
    for (const status of ['success', 'success', 'failed']) await log(bad, status, ago(1));
    await log(bad, 'failed', ago(25));
    for (let i = 0; i < 7; i++) await log(good, 'success', ago(2));
    const ended = await run('automation-health-check');
    expect(ended).toMatchObject({
      status: 'completed',
      result: {
        total_executions: 10, successful_executions: 9, failed_executions: 1, success_rate: 0.9, inactive_rules: ['Silent'],
        degraded_rules: [{ rule_id: bad, rule_name: 'Bad', failure_rate: 0.3333 }], alerts: 3, duration: expect.any(Number), errors: [],
      },
    }); // biome-ignore format: the seed's metrics
    await run('automation-health-check');
    expect(await firm.rows(`SELECT template, user_key FROM ops.notifications WHERE tenant_id = $1`)).toEqual([
      { template: 'litigation.health-alert', user_key: owner },
    ]);
  });

  test('the last 24 hours: 24 hours ago to the instant is before them; 48 hours of silence to the instant are no silence', async () => {
    const now = '2026-11-22T01:30:00Z';
    const before = (hours: number, ms = 0) => new Date(Date.parse(now) - hours * 3_600_000 - ms);
    const edge = await rule('Edge', before(500));
    for (const ms of [0, -1]) await log(edge, 'failed', before(24, ms));
    await log(edge, 'success', before(0));
    await log(edge, 'success', before(0, -1));
    await rule('Quiet', before(48));
    await rule('Silent', before(48, 1));
    expect(await firm.once(automationHealthCheck, now)).toMatchObject({
      total_executions: 2,
      failed_executions: 1,
      inactive_rules: ['Silent'],
    });
  });

  test('a failing rule is one open alert, counted while it fails and over once it does not; the mails arrive', async () => {
    const bad = await rule('Tell <Ms Rao>', ago(500));
    for (const status of ['failed', 'failed', 'success']) await log(bad, status, ago(1));
    const good = await rule('Good', ago(500));
    for (let i = 0; i < 40; i++) await log(good, 'success', ago(1));
    const alerts = () =>
      firm.rows(`SELECT key, severity, state, count, resolved_by FROM ops.alerts WHERE tenant_id = $1`);
    const key = `job:litigation.automation-health-check:${firm.id}:rules-failing`;
    await run('automation-health-check', { dryRun: true });
    expect(await alerts()).toEqual([]);
    await run('automation-health-check');
    expect(await alerts()).toEqual([{ key, severity: 'CRITICAL', state: 'open', count: 1, resolved_by: null }]);
    await run('automation-health-check');
    expect(await alerts()).toMatchObject([{ key, state: 'open', count: 2 }]);

    const server = await mailServer();
    const teller = await engine.addWorker({
      alertMail: { to: ['ops@example.org'], publicUrl: 'https://jobs.example.org' },
      notifications: server.sending,
    });
    const arrived = (to: string, what: string) =>
      until(`${what} to ${to}`, async () =>
        server.mails.find((mail) => mail.envelope.to.includes(to) && mail.text?.includes(what)),
      );
    const told = await arrived('ops@example.org', `automation rule of ${firm.slug} failed`);
    expect(told.subject).toMatch(/^\[CRITICAL\] /);
    expect(told.text).not.toContain('Ms Rao');
    const [{ id = '' } = {}] = await firm.rows<{ id: string }>('SELECT id FROM ops.alerts WHERE tenant_id = $1');
    expect(told.html).toContain(`href="https://jobs.example.org/v1/alerts/${id}"`);
    const seen = await arrived('owner@example.in', 'Ms Rao');
    expect(seen.subject).toBe(`CRITICAL: automation health of ${firm.name}`);
    expect(seen.html).toContain('Rule &#39;Tell &lt;Ms Rao&gt;&#39; failed 2 of 3 times in 24 hours.');
    await teller.stop();

    await firm.rows('UPDATE litigation.automation_rules SET enabled = false WHERE id = $1', [bad]);
    await run('automation-health-check');
    expect(await alerts()).toMatchObject([
      { key, state: 'resolved', count: 2, resolved_by: 'job:litigation.automation-health-check' },
    ]);
    await server.close();
  });

  test('without rules nothing is wrong and nobody is told', async () => {
    expect(await run('automation-health-check')).toMatchObject({
      result: { total_executions: 0, success_rate: 1, alerts: 0 },
    });
    expect(await firm.rows('SELECT FROM ops.notifications WHERE tenant_id = $1')).toEqual([]);
  });
});

test.each([
  ['analytics-snapshot', 'litigation.analytics_snapshots', 'litigation.analytics_snapshots'],
  ['automation-health-check', 'litigation.automation_rules', 'ops.notifications'],
])(
  '%s cancelled, or its worker stopped, in its transaction leaves nothing; begun again it does it once',
  async (job, needed, written) => {
    await firm.insert('automation_rules', {
      name: 'x',
      trigger_event: 'task_overdue',
      actions: '[]',
      created_at: ago(99),
    });
    const left = async () => (await firm.rows(`SELECT FROM ${written} WHERE tenant_id = $1`)).length;
    const blocked = async (then: (id: string) => Promise<unknown>) => {
      const other = await engine.store.admin.connect();
      try {
        await other.query(`BEGIN; LOCK TABLE ${needed} IN ACCESS EXCLUSIVE MODE`);
        const { id } = await engine.producer.accept({ job: `litigation.${job}`, tenant: firm.slug, input: {} }, 'test');
        await until('it to wait for the table', async () => {
          const { rows } = await other.query(
            'SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())',
            [needed],
          );
          return rows.length > 0;
        });
        await then(id);
        return id;
      } finally {
        await other.query('ROLLBACK');
        other.release();
      }
    };
    const ended = async (id: string) => (await engine.producer.waitFor([id], { timeoutMs: 40_000 })).get(id);
    await blocked(async (id) => {
      await engine.producer.cancel(id, 'test', null);
      expect(await ended(id)).toBe('cancelled');
    });
    let stopping: Promise<unknown> = Promise.resolve();
    const stopped = await blocked(async (id) => {
      stopping = Promise.all(engine.workers.map((worker) => worker.stop(0)));
      await until('it to be given back', async () => {
        const rows = await firm.rows(`SELECT FROM ops.open_runs WHERE id = $1 AND state <> 'running'`, [id]);
        return rows.length > 0;
      });
    });
    await stopping;
    expect(await left()).toBe(0);
    await engine.addWorker();
    expect(await ended(stopped)).toBe('completed');
    expect(await left()).toBe(1);
  },
);

describe('the registry: every SELECT that the seed prints, with schema and view names changed', () => {
  const asFirm = <Row extends object>(sql: string) =>
    inTransaction(engine.producer.pools.app, [firm.id], async (client) => (await client.query<Row>(sql)).rows);

  beforeEach(async () => {
    // Schedules that follow the tenant's zone are there once a tenant is.
    await engine.producer.syncSchedules();
    await run('check-sla-and-overdue');
    await run('analytics-snapshot');
    await engine.store.admin.query(
      `INSERT INTO ops.runs (id, tenant_id, job, input_version, queue, priority, outcome, attempts, due_at, accepted_at, started_at, duration_ms, error_class, error_message, actor, options)
       VALUES (gen_random_uuid(), $1, 'litigation.send-hearing-reminders', 1, 'q', 2, 'failed', 4, now(), now(), now(), 1500, 'TimeoutError', 'too slow', 'test', '{}')`,
      [firm.id],
    );
  });

  test('scheduled jobs', async () => {
    const rows = await asFirm<Record<string, unknown>>(
      'SELECT jobid, schedule, command, nodename, nodeport, database, username, active FROM litigation.cron_job ORDER BY jobid',
    );
    expect(rows.map((row) => [Number(row.jobid), row.schedule, row.active])).toEqual([
      [1, '*/15 * * * *', true],
      [2, '0 8 * * *', true],
      [3, '59 23 * * *', true],
      [4, '0 9 * * *', true],
      [5, '0 7 * * *', true],
    ]);
    expect(
      await asFirm('SELECT jobid, jobname, schedule, active, command FROM litigation.cron_job ORDER BY jobid'),
    ).toHaveLength(5);
    expect(
      await asFirm(`SELECT jobid, jobname, active, schedule FROM litigation.cron_job WHERE jobname = 'your-job-name'`),
    ).toEqual([]);
    expect(
      await asFirm(
        `SELECT jobid, jobname, active, schedule FROM litigation.cron_job WHERE jobname = 'analytics-snapshot'`,
      ),
    ).toHaveLength(1);
    expect(await asFirm(`SELECT extname, extversion FROM pg_extension WHERE extname IN ('pg_cron', 'pg_net')`)).toEqual(
      [],
    );
  });

  test('run details', async () => {
    const rows = await asFirm<Record<string, unknown>>(
      'SELECT jobid, runid, status, start_time, end_time, return_message FROM litigation.cron_job_run_details ORDER BY start_time DESC LIMIT 10',
    );
    expect(rows.map((row) => [Number(row.jobid), row.status]).sort()).toEqual([
      [1, 'succeeded'],
      [2, 'failed'],
      [3, 'succeeded'],
    ]);
    expect(rows.find((row) => row.status === 'failed')?.return_message).toBe('TimeoutError: too slow');
  });

  test('the audit log, failed ones and average times', async () => {
    const failed = await asFirm<{ details: object }>(
      `SELECT id, action_type, details, timestamp FROM litigation.audit_log WHERE action_type = 'background_job_execution' AND details->>'status' = 'failed' ORDER BY timestamp DESC LIMIT 10`,
    );
    expect(failed.map((row) => row.details)).toEqual([
      { job_name: 'send-hearing-reminders', status: 'failed', execution_time_ms: 1500, error: 'too slow' },
    ]);
    const times = await asFirm<Record<string, unknown>>(
      `SELECT details->>'job_name' as job, AVG((details->>'execution_time_ms')::int) as avg_time_ms, MAX((details->>'execution_time_ms')::int) as max_time_ms, COUNT(*) as executions
       FROM litigation.audit_log WHERE action_type = 'background_job_execution' AND timestamp > NOW() - INTERVAL '7 days' GROUP BY details->>'job_name'`,
    );
    expect(times.map((row) => row.job).sort()).toEqual([
      'analytics-snapshot',
      'check-sla-and-overdue',
      'send-hearing-reminders',
    ]);
    const [done] = await asFirm<{ details: object }>(
      `SELECT details FROM litigation.audit_log WHERE details->>'job_name' = 'check-sla-and-overdue'`,
    );
    expect(done?.details).toMatchObject({ status: 'success', overdue_tasks: 0, sla_violations: 0, rules_triggered: 0 });
  });

  test('cron.schedule and cron.unschedule run: they answer for what is there and change nothing', async () => {
    const schedule = (cron: string, name: string) =>
      `SELECT litigation.schedule('sla-overdue-check-every-15min', '${cron}', $$ SELECT net.http_post(url:='https://x.supabase.co/functions/v1/${name}') as request_id; $$) AS jobid`;
    expect(await asFirm(schedule('*/15 * * * *', 'check-sla-and-overdue'))).toEqual([{ jobid: 1 }]);
    expect(await asFirm(schedule('*/5 * * * *', 'check-sla-and-overdue'))).toEqual([{ jobid: null }]);
    expect(await asFirm(schedule('*/15 * * * *', 'function-name'))).toEqual([{ jobid: null }]);
    expect(await asFirm(`SELECT litigation.unschedule('job-name-unique-identifier')`)).toEqual([{ unschedule: false }]);
  });

  test('another firm sees none of it, and whoever names no firm sees no run', async () => {
    const other = await testFirm(engine, `other-${made++}`);
    for (const view of ['cron_job_run_details', 'audit_log'])
      for (const tenants of [[other.id], []])
        expect(
          await inTransaction(
            engine.producer.pools.app,
            tenants,
            async (client) => (await client.query(`SELECT FROM litigation.${view}`)).rowCount,
          ),
        ).toBe(0);
  });
});
