import { COUNT, differences, type Predicate, type Shape } from './differences.ts';
import type { Site, Step } from './seed.ts';
import { check } from './steps.ts';

/**
 * The one place where names differ: pg_cron's schema and the document's tables stand in schema `litigation` here, since all five systems
 * share a database and one of them has tables of the same names.
 */
export const NAMES: Readonly<Record<string, string>> = {
  'cron.job_run_details': 'litigation.cron_job_run_details',
  'cron.job': 'litigation.cron_job',
  'cron.schedule': 'litigation.schedule',
  'cron.unschedule': 'litigation.unschedule',
  audit_log: 'litigation.audit_log',
  analytics_snapshots: 'litigation.analytics_snapshots',
};

export const FUNCTIONS = [
  'check-sla-and-overdue',
  'send-hearing-reminders',
  'analytics-snapshot',
  'check-upcoming-deadlines',
  'automation-health-check',
] as const;
export type FunctionName = (typeof FUNCTIONS)[number];

interface SetUp {
  readonly name: FunctionName;
  readonly cron: string;
  /** The document has one zone for all; here daily jobs run by each firm's own clock (SPEC 3.3). */
  readonly zone: string;
}

/** The diagram's five entries, in its order, which is that of the job numbers. */
export const SET_UP: readonly SetUp[] = [
  { name: 'check-sla-and-overdue', cron: '*/15 * * * *', zone: 'UTC' },
  { name: 'send-hearing-reminders', cron: '0 8 * * *', zone: 'tenant' },
  { name: 'analytics-snapshot', cron: '59 23 * * *', zone: 'tenant' },
  { name: 'check-upcoming-deadlines', cron: '0 9 * * *', zone: 'tenant' },
  { name: 'automation-health-check', cron: '0 7 * * *', zone: 'tenant' },
];

const LIST: Predicate = { called: 'an array', holds: Array.isArray };
const SHARE: Predicate = {
  called: 'a share from 0 to 1',
  holds: (value) => typeof value === 'number' && value >= 0 && value <= 1,
};

const RESULTS: Readonly<Record<FunctionName, Readonly<Record<string, Shape>>>> = {
  'check-sla-and-overdue': { overdueTasks: COUNT, slaViolations: COUNT, rulesTriggered: COUNT },
  'send-hearing-reminders': {},
  'analytics-snapshot': {},
  'check-upcoming-deadlines': {},
  'automation-health-check': {
    total_executions: COUNT,
    successful_executions: COUNT,
    failed_executions: COUNT,
    success_rate: SHARE,
    inactive_rules: LIST,
    degraded_rules: LIST,
  },
};

interface Reply {
  readonly status: number;
  readonly body: unknown;
}

export async function call(
  site: Site,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Promise<Reply> {
  const reply = await fetch(`${site.apiUrl}${path}`, {
    method: 'POST',
    headers,
    ...(body === undefined ? {} : { body }),
  });
  const text = await reply.text();
  const json = reply.headers.get('content-type')?.includes('json') === true;
  return { status: reply.status, body: json ? (JSON.parse(text) as unknown) : text };
}

/** These fields, in this order, and no other. */
export function exactly(fields: readonly string[], body: unknown): string[] {
  return differences([...fields], Object.keys(body as object), 'the fields');
}

/**
 * What a set-up script does: `cron.schedule` with a command that posts, which finds the job's number here; and then what that command posts,
 * its arguments computed by the database, as pg_net would post it.
 */
export function setUp({ name, cron: pattern }: SetUp, index: number): Step {
  // The first is the document's own example, the others its template filled in.
  const [title, key, field] =
    index === 0
      ? ['sla-overdue-check-every-15min', 'eyJhbGci...', 'executedAt']
      : ['job-name-unique-identifier', 'YOUR_ANON_KEY', 'timestamp'];
  const url = `'https://<PROJECT_REF>.supabase.co/functions/v1/${name}'`;
  const headers = `'{"Content-Type": "application/json", "Authorization": "Bearer ${key}"}'::jsonb`;
  const body = `concat('{"${field}": "', now(), '"}')::jsonb`;
  const command = `SELECT net.http_post(url:=${url}, headers:=${headers}, body:=${body}) as request_id;`;
  return check(`SELECT cron.schedule('${title}', '${pattern}', $$${command}$$)`, async (site) => {
    const [made] = await site.rows<{ jobid: number }>(
      `SELECT ${NAMES['cron.schedule']}('${title}', '${pattern}', $$${command}$$) AS jobid`,
    );
    const [post] = await site.rows<{ url: string; headers: Record<string, string>; body: object }>(
      `SELECT ${url} AS url, ${headers} AS headers, ${body} AS body`,
    );
    if (post === undefined) return ['the database did not say what is posted'];
    const path = post.url.replace(/^https:\/\/[^/]+/, '');
    const bearer = (post.headers.Authorization ?? '').replace(key, site.functionsApiKey);
    const reply = await call(site, path, { ...post.headers, Authorization: bearer }, JSON.stringify(post.body));
    return [
      ...differences(index + 1, made?.jobid, 'the number of the job'),
      ...differences({ [field]: /^\d{4}-\d\d-\d\d / }, post.body, 'what is posted'),
      ...differences({ status: 200, body: answerOf(name) }, reply),
      ...exactly(['success', 'job', 'executedAt', 'results', 'executionTime'], reply.body),
    ];
  });
}

/** The first answer shape. */
function answerOf(name: FunctionName): Shape {
  const executedAt = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
  return { success: true, job: name, executedAt, results: RESULTS[name], executionTime: /^\d+\.\ds$/ };
}

interface Meaning {
  readonly cron: string;
  readonly says: string;
  readonly holds: (at: Date) => boolean;
}

const clock = (at: Date) => at.toISOString().slice(11, 16);

const REFERENCE: readonly Meaning[] = [
  { cron: '*/15 * * * *', says: 'Runs at :00, :15, :30, :45', holds: (at) => at.getUTCMinutes() % 15 === 0 },
  { cron: '0 8 * * *', says: 'Once per day at 08:00', holds: (at) => clock(at) === '08:00' },
  { cron: '59 23 * * *', says: 'Once per day at 23:59', holds: (at) => clock(at) === '23:59' },
  { cron: '0 9 * * 1', says: 'Weekly on Mondays', holds: (at) => clock(at) === '09:00' && at.getUTCDay() === 1 },
  { cron: '0 0 1 * *', says: 'Monthly', holds: (at) => clock(at) === '00:00' && at.getUTCDate() === 1 },
];

/** The table of cron expressions: what the schedule of every 15 minutes, which is of UTC, would do with each of them. */
export const reference: readonly Step[] = REFERENCE.map(({ cron: pattern, says, holds }) =>
  check(`${pattern}: ${says}`, async (site) => {
    const [schedule] = await site.rows<{ id: string }>(
      `SELECT id FROM ops.schedules WHERE job = 'litigation.check-sla-and-overdue' AND owner_tenant IS NULL`,
    );
    const reply = await call(
      site,
      `/v1/schedules/${schedule?.id}/preview?count=5`,
      {
        authorization: `Bearer ${site.token({ sub: 'seed', role: 'admin' })}`,
        'content-type': 'application/json',
      },
      JSON.stringify({ cron: pattern }),
    );
    const tick = { called: says, holds: (due: unknown) => typeof due === 'string' && holds(new Date(due)) };
    return differences({ status: 200, body: { ticks: Array.from({ length: 5 }, () => ({ dueAt: tick })) } }, reply);
  }),
);
