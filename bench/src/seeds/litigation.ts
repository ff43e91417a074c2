import { until } from '../fleet/until.ts';
import { COUNT, differences, each, POSITIVE, type Predicate, type Shape } from './differences.ts';
import {
  call,
  exactly,
  FUNCTIONS,
  type FunctionName,
  NAMES,
  reference,
  SET_UP,
  setUp,
} from './litigation-functions.ts';
import type { Seed, Site } from './seed.ts';
import { check, cron, sql } from './steps.ts';

const RATE: Predicate = {
  called: 'a share from 0 to 1, or null where there is nothing to divide by',
  holds: (value) => value === null || (typeof value === 'number' && value >= 0 && value <= 1),
};
const BOOLEAN: Predicate = { called: 'true or false', holds: (value) => typeof value === 'boolean' };

async function one(site: Site, text: string): Promise<number> {
  const [row] = await site.rows<{ n: number }>(`SELECT (${text})::integer AS n`);
  return row?.n ?? Number.NaN;
}

// `.lt('due_date', overdueThreshold).neq('status', 'Completed')`, and SPEC 3.3: cancelled ones neither.
const LATE = `FROM litigation.tasks WHERE due_date < clock_timestamp() - interval '15 minutes' AND status NOT IN ('Completed', 'Cancelled')`;

const PAYLOADS = {
  task_overdue: ['case_id', 'days_overdue', 'priority', 'task_id'],
  sla_violation: ['actual_time', 'sla_threshold', 'task_id'],
  deadline_approaching: ['entity_id', 'entity_type', 'hours_until_due'],
} as const;

const emitted = (type: keyof typeof PAYLOADS, shows: string) =>
  check(shows, async (site) => {
    const rows = await site.rows<{ keys: string[] }>(
      `SELECT DISTINCT ARRAY(SELECT k FROM jsonb_object_keys(payload) AS k ORDER BY k) AS keys FROM litigation.events WHERE type = $1`,
      [type],
    );
    return differences([{ keys: PAYLOADS[type] }], rows, `the data of ${type}`);
  });

/** That mail of this template was made, and that one arrives with such a subject and these lines. */
const mailed = (shows: string, template: string, subject: RegExp, lines: (site: Site) => Promise<readonly RegExp[]>) =>
  check(shows, async (site) => {
    const made = await one(
      site,
      `SELECT count(*) FROM ops.notifications WHERE template = '${template}' AND channel = 'email'`,
    );
    if (made === 0) return [`no mail of ${template} was made`];
    const wanted = await lines(site);
    await until(`a mail like ${[subject, ...wanted].join(' ')}`, async () =>
      (await site.mails()).some((mail) => subject.test(mail.subject) && wanted.every((line) => line.test(mail.text))),
    );
    return [];
  });

/** Hearings that somebody was reminded of and that have a checklist, their own or the firm's for the forum. */
const WITH_CHECKLIST = `SELECT count(*) FROM litigation.hearing_reminders r JOIN litigation.hearings h ON h.tenant_id = r.tenant_id AND h.id = r.hearing_id
  JOIN litigation.courts c ON c.tenant_id = h.tenant_id AND c.id = h.court_id JOIN litigation.firms f ON f.tenant_id = h.tenant_id
  WHERE r.channel = 'email' AND coalesce(h.checklist, f.preparation_checklists -> c.forum, '[]') <> '[]'`;

const reminderLines = async (site: Site) => [
  /^Case: /m,
  /^Date: /m,
  /^Court: /m,
  ...((await one(site, WITH_CHECKLIST)) > 0 ? [/^Preparation checklist:\n- /m] : []),
];

const DIGEST_LINES = [
  /^📋 Your Upcoming Deadlines \(Next 24 Hours\)/,
  /^(HIGH|NORMAL) PRIORITY:$/m,
  /^• (\[Task\] .+ - Due: |\[Hearing\] .+ at .+ - )(Today|Tomorrow) \d{1,2}:\d\d [AP]M$/m,
  /View All Deadlines/,
];

/** Columns of a table that the document creates. */
const columns = (table: string, names: readonly string[]) =>
  check(`CREATE TABLE ${table} (${names.join(', ')})`, async (site) => {
    const rows = await site.rows<{ name: string }>(
      `SELECT column_name AS name FROM information_schema.columns WHERE table_schema = 'litigation' AND table_name = $1`,
      [table],
    );
    const present = new Set(rows.map((row) => row.name));
    return names.filter((name) => !present.has(name)).map((name) => `${table} has no column ${name}`);
  });

/** The second answer shape: a run that does not come to its end, since nobody starts it and somebody cancels it. */
const failing = check('"success": false, "job", "error", "errorDetails", "executedAt"', async (site) => {
  const job = 'litigation.analytics-snapshot';
  const headers = { authorization: `Bearer ${site.token({ sub: 'seed', role: 'admin' })}` };
  const post = (path: string) => fetch(`${site.apiUrl}${path}`, { method: 'POST', headers });
  await post(`/v1/jobs/${job}/pause`);
  try {
    const answer = call(site, '/functions/v1/analytics-snapshot', { authorization: `Bearer ${site.functionsApiKey}` });
    const waiting = await until('a run that waits', async () => {
      const rows = await site.rows<{ id: string }>('SELECT id FROM ops.open_runs WHERE job = $1', [job]);
      return rows.length > 0 && rows;
    });
    for (const { id } of waiting) await post(`/v1/runs/${id}/cancel`);
    const { status, body } = await answer;
    return [
      ...differences(500, status, 'the status'),
      ...differences({ success: false, job: 'analytics-snapshot', error: /./, errorDetails: /./ }, body),
      ...exactly(['success', 'job', 'error', 'errorDetails', 'executedAt'], body),
    ];
  } finally {
    await post(`/v1/jobs/${job}/resume`);
  }
});

const refused = (shows: string, headers: Readonly<Record<string, string>>) =>
  check(shows, async (site) => {
    const differing: string[] = [];
    for (const name of FUNCTIONS) {
      const { status, body } = await call(site, `/functions/v1/${name}`, headers);
      differing.push(...differences([401, 'Unauthorized'], [status, body], name));
    }
    return differing;
  });

const preflight = check(`if (req.method === 'OPTIONS')`, async (site) => {
  const reply = await fetch(`${site.apiUrl}/functions/v1/check-sla-and-overdue`, { method: 'OPTIONS' });
  return [
    ...differences([200, ''], [reply.status, await reply.text()]),
    ...differences(/^(\*|https?:.*)$/, reply.headers.get('access-control-allow-origin'), 'the origin allowed'),
    ...differences(
      'authorization, x-client-info, apikey, content-type',
      reply.headers.get('access-control-allow-headers'),
      'the headers allowed',
    ),
  ];
});

const again = (name: FunctionName, results: Readonly<Record<string, Shape>>) =>
  check(`POST /functions/v1/${name}: nothing is found twice`, async (site) => {
    const headers = { authorization: `Bearer ${site.functionsApiKey}` };
    return differences({ success: true, results }, (await call(site, `/functions/v1/${name}`, headers)).body);
  });

const JOBIDS = [1, 2, 3, 4, 5].map((jobid, i) => ({ jobid, schedule: SET_UP[i]?.cron ?? '' }));
const EXECUTIONS = FUNCTIONS.map((job) => ({ job, avg_time_ms: /^\d/, max_time_ms: COUNT, executions: POSITIVE }));
const BY_JOB = (text: string, columns: readonly string[], rows: Shape) => sql(text, { names: NAMES, columns, rows });

export const litigation: Seed = {
  system: 'litigation',
  steps: [
    ...SET_UP.map(({ name, cron: pattern, zone }) =>
      cron(`cron.schedule('${pattern}', ${name})`, { job: `litigation.${name}`, cron: pattern, zone }),
    ),
    sql(`SELECT extname, extversion FROM pg_extension WHERE extname IN ('pg_cron', 'pg_net')`, { rows: [] }),
    ...SET_UP.map(setUp),
    check("lt('due_date', overdueThreshold).neq('status', 'Completed')", async (site) =>
      differences(
        [await one(site, `SELECT count(*) ${LATE}`), 0],
        [
          await one(site, `SELECT count(*) ${LATE} AND overdue_at IS NOT NULL`),
          await one(site, `SELECT count(*) ${LATE} AND overdue_at IS NULL`),
        ],
        'late tasks that are flagged, and not',
      ),
    ),
    // What rules made critical has a shorter threshold: that is found once more.
    again('check-sla-and-overdue', { overdueTasks: 0, slaViolations: COUNT }),
    again('check-sla-and-overdue', { overdueTasks: 0, slaViolations: 0, rulesTriggered: 0 }),
    again('send-hearing-reminders', { emailsCreated: 0, whatsappsCreated: 0 }),
    emitted('task_overdue', '{task_id, case_id, days_overdue}'),
    emitted('sla_violation', '{task_id, sla_threshold, actual_time}'),
    emitted('deadline_approaching', '{entity_type, entity_id, hours_until_due}'),
    mailed(
      'Subject: "Hearing Reminder: [Case Number] - [Court Name]"',
      'litigation.hearing-reminder',
      /^(Rescheduled: )?Hearing Reminder: \S.* - \S/,
      reminderLines,
    ),
    mailed(
      'Your Upcoming Deadlines (Next 24 Hours)',
      'litigation.deadline-digest',
      /^Your Upcoming Deadlines/,
      async () => DIGEST_LINES,
    ),
    check('Case owner + assigned advocate', async (site) =>
      differences(
        0,
        await one(
          site,
          `SELECT count(*) FROM litigation.hearing_reminders r JOIN litigation.hearings h ON h.tenant_id = r.tenant_id AND h.id = r.hearing_id
             JOIN litigation.cases c ON c.tenant_id = h.tenant_id AND c.id = h.case_id WHERE r.user_id NOT IN (c.owner_id, coalesce(c.assigned_to, c.owner_id))`,
        ),
        'reminders of others',
      ),
    ),
    check('Batch processes up to 100 hearings per run; Email delivery: 100 per job run', async (site) =>
      differences(
        0,
        await one(
          site,
          `SELECT count(*) FROM ops.runs r WHERE r.job LIKE 'litigation.%' AND (r.job LIKE '%hearing%' AND r.processed > 100
             OR (SELECT count(*) FROM ops.notifications n WHERE n.run_id = r.id AND n.channel = 'email') > 100)`,
        ),
        'runs above their limits',
      ),
    ),
    sql(`SELECT metric_type, snapshot_date, metric_value FROM analytics_snapshots ORDER BY created_at DESC LIMIT 1`, {
      names: NAMES,
      columns: ['metric_type', 'snapshot_date', 'metric_value'],
      rows: [
        {
          metric_type: 'daily_snapshot',
          metric_value: {
            case_count: COUNT,
            task_completion_rate: RATE,
            sla_compliance_rate: RATE,
            hearing_attendance_rate: RATE,
            overdue_tasks: COUNT,
            document_count: COUNT,
            anomaly_detected: BOOLEAN,
          },
        },
      ],
    }),
    refused(`if (!authHeader || authHeader !== \`Bearer \${apiKey}\`)`, {}),
    refused('Authorization: Bearer YOUR_ANON_KEY, as printed', { authorization: 'Bearer YOUR_ANON_KEY' }),
    preflight,
    failing,
    columns('audit_log', [
      'id', 'tenant_id', 'action_type', 'entity_type', 'entity_id', 'user_id', 'details', 'timestamp',
    ]), // biome-ignore format: names
    columns('automation_logs', [
      'id', 'tenant_id', 'rule_id', 'rule_name', 'trigger_event', 'status', 'actions_executed', 'error_message', 'executed_at',
    ]), // biome-ignore format: names
    columns('analytics_snapshots', [
      'id', 'tenant_id', 'metric_type', 'snapshot_date', 'metric_value', 'created_at',
    ]), // biome-ignore format: names
    sql(
      `SELECT action_type, entity_type, details FROM audit_log WHERE details->>'job_name' = 'check-sla-and-overdue' LIMIT 1`,
      {
        names: NAMES,
        rows: [
          {
            action_type: 'background_job_execution',
            entity_type: 'background_job',
            details: {
              job_name: 'check-sla-and-overdue',
              status: 'success',
              overdue_tasks: COUNT,
              execution_time_ms: COUNT,
            },
          },
        ],
      },
    ),
    check(`automation_logs: status 'success', 'failed'`, async (site) =>
      differences(
        [POSITIVE, 0],
        [
          await one(site, 'SELECT count(*) FROM litigation.automation_logs WHERE trigger_event IS NOT NULL'),
          await one(site, `SELECT count(*) FROM litigation.automation_logs WHERE status NOT IN ('success', 'failed')`),
        ],
        'executions of rules, and those of another status',
      ),
    ),
    BY_JOB(
      'SELECT jobid, schedule, command, nodename, nodeport, database, username, active FROM cron.job ORDER BY jobid',
      ['jobid', 'schedule', 'command', 'nodename', 'nodeport', 'database', 'username', 'active'],
      JOBIDS.map((row) => ({ ...row, active: true })),
    ),
    BY_JOB(
      'SELECT jobid, jobname, schedule, active, command FROM cron.job ORDER BY jobid',
      ['jobid', 'jobname', 'schedule', 'active', 'command'],
      JOBIDS.map((row, i) => ({ ...row, jobname: FUNCTIONS[i] ?? '' })),
    ),
    BY_JOB(
      `SELECT jobid, jobname, active, schedule FROM cron.job WHERE jobname = 'check-sla-and-overdue'`,
      ['jobid', 'jobname', 'active', 'schedule'],
      [{ jobid: 1, active: true, schedule: '*/15 * * * *' }],
    ),
    BY_JOB(
      'SELECT jobid, runid, status, start_time, end_time, return_message FROM cron.job_run_details ORDER BY start_time DESC LIMIT 10',
      ['jobid', 'runid', 'status', 'start_time', 'end_time', 'return_message'],
      each({ jobid: POSITIVE, status: /^(starting|running|succeeded|failed)$/ }),
    ),
    BY_JOB(
      `SELECT id, action_type, details, timestamp FROM audit_log WHERE action_type = 'background_job_execution'
  AND details->>'status' = 'failed' ORDER BY timestamp DESC LIMIT 10`,
      ['id', 'action_type', 'details', 'timestamp'],
      each({ action_type: 'background_job_execution', details: { job_name: /^[a-z-]+$/, status: 'failed' } }),
    ),
    BY_JOB(
      `SELECT details->>'job_name' as job, AVG((details->>'execution_time_ms')::int) as avg_time_ms,
  MAX((details->>'execution_time_ms')::int) as max_time_ms, COUNT(*) as executions FROM audit_log
WHERE action_type = 'background_job_execution' AND timestamp > NOW() - INTERVAL '7 days' GROUP BY details->>'job_name' ORDER BY job`,
      ['job', 'avg_time_ms', 'max_time_ms', 'executions'],
      EXECUTIONS.toSorted((a, b) => a.job.localeCompare(b.job)),
    ),
    sql(`SELECT cron.unschedule('job-name-unique-identifier')`, { names: NAMES, rows: [{ unschedule: false }] }),
    ...reference,
  ],
};
