import { COUNT, differences, each, POSITIVE, type Shape } from './differences.ts';
import type { Seed, Site, Step } from './seed.ts';
import { check, count, cron, curl, logged, noneOf, type Placeholders, sql } from './steps.ts';

const SECRET: Placeholders = { CRON_SECRET: (site) => site.cronSecret };
const NAMES = ['refresh-summaries', 'generate-tasks', 'refresh-dashboard'] as const;
const VIEWS = [
  'mv_enrollments_by_month',
  'mv_status_counts',
  'mv_population_counts',
  'mv_task_summary',
  'mv_facility_metrics',
] as const;

/** Its tables stand in no schema; here five systems share a database and each has its own. */
const OUR_NAMES = Object.fromEntries(
  [...VIEWS, 'clinical_summaries', 'clients', 'encounters', 'tasks'].map((name) => [name, `clinic.${name}`]),
);

/** A hosted cron calls the path of its entry with GET. */
const call = (name: string, method: 'GET' | 'POST', secret = 'CRON_SECRET') =>
  `curl -X ${method} http://localhost:3000/api/jobs/${name} -H "Authorization: Bearer ${secret}"`;

const summary = (name: string, counts: Readonly<Record<string, Shape>>): Shape => ({
  success: true,
  job: `clinic.${name}`,
  ...counts,
  errors: [],
  totalErrors: 0,
  duration: POSITIVE,
  tenants: each({ status: 'completed' }),
});

const TODAY = `SELECT f.tenant_id, f.ltfu_days, (clock_timestamp() AT TIME ZONE t.zone)::date AS today
  FROM clinic.facilities f JOIN ops.tenants t ON t.id = f.tenant_id`;
const ON = (
  programme: string,
) => `EXISTS (SELECT 1 FROM clinic.enrollments e WHERE e.tenant_id = c.tenant_id AND e.client_id = c.id
  AND e.programme = '${programme}' AND e.started_on <= f.today AND (e.ended_on IS NULL OR e.ended_on > f.today))`;
const LATEST_DRAWN = (
  test: string,
) => `(SELECT max(l.drawn_on) FROM clinic.lab_results l WHERE l.tenant_id = c.tenant_id
  AND l.client_id = c.id AND l.test = '${test}' AND l.comparator IS NOT NULL)`;
const LATEST_ARV = (
  column: string,
) => `(SELECT d.${column} FROM clinic.dispenses d WHERE d.tenant_id = c.tenant_id AND d.client_id = c.id
  AND d.kind = 'ARV' ORDER BY d.dispensed_at DESC, d.id DESC LIMIT 1)`;
const CLIENTS = `FROM clinic.clients c JOIN (${TODAY}) f ON f.tenant_id = c.tenant_id`;
const SUMMARIES = `${CLIENTS} LEFT JOIN clinic.clinical_summaries s ON s.tenant_id = c.tenant_id AND s.client_id = c.id`;
const HAS_TASK = (type: string, more: string) => `EXISTS (SELECT 1 FROM clinic.tasks x WHERE x.tenant_id = c.tenant_id
  AND x.client_id = c.id AND x.type = '${type}' AND ${more})`;
const OPEN_TASKS = `FROM clinic.tasks x JOIN (${TODAY}) f ON f.tenant_id = x.tenant_id WHERE x.status = 'open' AND x.source = 'system'`;

const summaries: readonly Step[] = [
  noneOf('Recalculates baseline CD4 and viral load status', [
    [`clients without a summary`, `${SUMMARIES} WHERE s.client_id IS NULL`],
    [
      `summaries whose latest CD4 or VL is another than the lab's`,
      `${SUMMARIES} WHERE s.latest_vl_on IS DISTINCT FROM ${LATEST_DRAWN('VL')} OR s.latest_cd4_on IS DISTINCT FROM ${LATEST_DRAWN('CD4')}`,
    ],
    [
      'viral loads without a status, or the other way round',
      `${SUMMARIES} WHERE (s.latest_vl_on IS NULL) <> (s.vl_status IS NULL)`,
    ],
    [
      'statuses other than those of WHO 2023 by 12 months and 1,000 copies',
      `${SUMMARIES} WHERE s.vl_status IS NOT NULL AND CASE
         WHEN s.latest_vl_on < f.today - interval '12 months' THEN s.vl_status <> 'stale'
         WHEN s.latest_vl > 1000 THEN s.vl_status <> 'unsuppressed'
         ELSE s.vl_status NOT IN ('undetectable', 'suppressed') END`,
    ],
  ]),
  noneOf('Updates current ARV/PrEP regimen references', [
    [
      'clients on ART whose regimen is not that of their latest dispense',
      `${SUMMARIES} WHERE ${ON('ART')} AND s.arv_regimen_id IS DISTINCT FROM ${LATEST_ARV('regimen_id')}`,
    ],
    [
      'regimens of clients who left the programme',
      `${SUMMARIES} WHERE NOT ${ON('ART')} AND s.arv_regimen_id IS NOT NULL`,
    ],
  ]),
];

const tasks: readonly Step[] = [
  check('Task Types Generated: LTFU_REVIEW, LABS_PENDING, REFILL_ARV / REFILL_PREP, VL_MONITOR', async (site) => {
    const found = await site.rows<{ type: string }>(
      `SELECT DISTINCT type FROM clinic.tasks WHERE source = 'system' ORDER BY type`,
    );
    const wanted = ['LABS_PENDING', 'LTFU_REVIEW', 'REFILL_ARV', 'REFILL_PREP', 'VL_MONITOR'];
    return differences(
      wanted,
      found.map(({ type }) => type),
      'the types',
    );
  }),
  noneOf('LTFU_REVIEW: no activity for 90+ days', [
    [
      'active clients without activity, supply or appointment and without a review',
      `${CLIENTS} WHERE c.status = 'active'
         AND f.today - coalesce((c.last_visit_at AT TIME ZONE (SELECT zone FROM ops.tenants WHERE id = c.tenant_id))::date, c.registered_on) >= f.ltfu_days
         AND NOT EXISTS (SELECT 1 FROM clinic.encounters e WHERE e.tenant_id = c.tenant_id AND e.client_id = c.id AND e.next_appointment_on > f.today)
         AND NOT EXISTS (SELECT 1 FROM clinic.dispenses d WHERE d.tenant_id = c.tenant_id AND d.client_id = c.id
           AND (d.dispensed_at + make_interval(days => d.days_supplied))::date >= f.today)
         AND NOT ${HAS_TASK('LTFU_REVIEW', 'true')}`,
    ],
  ]),
  noneOf('REFILL_ARV / REFILL_PREP: 3-day window', [
    ['refills asked for earlier', `${OPEN_TASKS} AND x.type LIKE 'REFILL_%' AND x.due_on > f.today + 3`],
    [
      'ARV refills within 3 days that nobody is asked for',
      `${CLIENTS} WHERE c.status = 'active' AND ${ON('ART')} AND ${LATEST_ARV('next_refill_on')} <= f.today + 3
         AND NOT ${HAS_TASK('LTFU_REVIEW', `x.status = 'open'`)} AND NOT ${HAS_TASK('REFILL_ARV', `x.due_on = ${LATEST_ARV('next_refill_on')}`)}`,
    ],
  ]),
  noneOf('LABS_PENDING, VL_MONITOR', [
    ['labs pending before their day', `${OPEN_TASKS} AND x.type = 'LABS_PENDING' AND x.due_on > f.today`],
    [
      'viral loads announced otherwise than within 30 days',
      `${OPEN_TASKS} AND x.type = 'VL_MONITOR' AND x.due_on NOT BETWEEN f.today AND f.today + 30`,
    ],
  ]),
];

/** Rows of the view that a count over the tables doesn't give, and the other way round. */
const sameAs = (view: (typeof VIEWS)[number], columns: string, counted: string): Step => ({
  ...sql(
    `(SELECT ${columns} FROM ${view} EXCEPT ALL (${counted})) UNION ALL ((${counted}) EXCEPT ALL SELECT ${columns} FROM ${view})`,
    { names: OUR_NAMES, rows: [] },
  ),
  shows: view,
});

const views: readonly Step[] = [
  sameAs(
    'mv_enrollments_by_month',
    'tenant_id, month, enrollments',
    `SELECT tenant_id, date_trunc('month', started_on::timestamp)::date, count(*)::int FROM clinic.enrollments GROUP BY 1, 2`,
  ),
  sameAs('mv_status_counts', '*', 'SELECT tenant_id, status, count(*)::int FROM clients GROUP BY 1, 2'),
  sameAs(
    'mv_population_counts',
    'tenant_id, key_population, active',
    `SELECT tenant_id, key_population, (count(*) FILTER (WHERE status = 'active'))::int FROM clients GROUP BY 1, 2`,
  ),
  sameAs('mv_task_summary', '*', 'SELECT tenant_id, type, status, count(*)::int FROM tasks GROUP BY 1, 2, 3'),
  sameAs(
    'mv_facility_metrics',
    'tenant_id, active_clients, ltfu_open',
    `SELECT f.tenant_id, (SELECT count(*)::int FROM clients c WHERE c.tenant_id = f.tenant_id AND c.status = 'active'),
       (SELECT count(*)::int FROM tasks t WHERE t.tenant_id = f.tenant_id AND t.type = 'LTFU_REVIEW' AND t.status = 'open')
     FROM clinic.facilities f`,
  ),
];

interface Lost {
  readonly tenant: string;
  readonly client: string;
  readonly task: string;
  readonly last: Date | null;
}

/** A visit of somebody who was lost; it is taken back, so that the data is as before. */
async function visitOfSomebodyLost(site: Site): Promise<readonly string[]> {
  const [lost] = await site.rows<Lost>(
    `SELECT x.tenant_id AS tenant, x.client_id AS client, x.id AS task, c.last_visit_at AS last FROM clinic.tasks x
     JOIN clinic.clients c ON c.tenant_id = x.tenant_id AND c.id = x.client_id
     WHERE x.type = 'LTFU_REVIEW' AND x.status = 'open' ORDER BY x.id LIMIT 1`,
  );
  if (lost === undefined) return ['no client has an open LTFU_REVIEW'];
  const who = [lost.tenant, lost.client];
  const lastVisit = async () =>
    (
      await site.rows<{ at: Date | null }>(
        'SELECT last_visit_at AS at FROM clinic.clients WHERE tenant_id = $1 AND id = $2',
        who,
      )
    )[0]?.at?.getTime();
  const [visit] = await site.rows<{ id: string; at: Date }>(
    'INSERT INTO clinic.encounters (tenant_id, client_id, occurred_at) VALUES ($1, $2, now()) RETURNING id, occurred_at AS at',
    who,
  );
  const task = await site.rows('SELECT status, close_reason FROM clinic.tasks WHERE id = $1', [lost.task]);
  const found = [
    ...differences(visit?.at.getTime() ?? '', await lastVisit(), 'last_visit_at after the visit'),
    ...differences([{ status: 'completed', close_reason: 'visit' }], task, 'the review'),
  ];
  await site.rows('DELETE FROM clinic.encounters WHERE tenant_id = $1 AND id = $2', [lost.tenant, visit?.id]);
  const audited = await site.rows(
    `SELECT operation FROM clinic.data_audit WHERE table_name = 'encounters' AND row_id = $1 ORDER BY id`,
    [visit?.id],
  );
  return [
    ...found,
    ...(lost.last?.getTime() === (await lastVisit()) ? [] : ['last_visit_at was not recomputed without the visit']),
    ...differences([{ operation: 'INSERT' }, { operation: 'DELETE' }], audited, 'the data audit of the visit'),
  ];
}

/** A client with a history cannot be taken away from under it. */
async function keepsIntegrity(site: Site): Promise<readonly string[]> {
  const code = await site
    .rows(
      'DELETE FROM clinic.clients WHERE (tenant_id, id) = (SELECT tenant_id, client_id FROM clinic.encounters LIMIT 1)',
    )
    .then(() => 'deleted')
    .catch((error: { readonly code?: string }) => error.code);
  return differences('23503', code, 'the answer of Postgres (23503: a foreign key)');
}

const METRIC = 'nightshift_tasks_generated_total';

export const clinic: Seed = {
  system: 'clinic',
  steps: [
    cron('"path": "/api/jobs/refresh-summaries", "schedule": "0 2 * * *"', {
      job: 'clinic.refresh-summaries',
      cron: '0 2 * * *',
    }),
    cron('"path": "/api/jobs/generate-tasks", "schedule": "0 3 * * *"', {
      job: 'clinic.generate-tasks',
      cron: '0 3 * * *',
    }),
    cron('"path": "/api/jobs/refresh-dashboard", "schedule": "0 */6 * * *"', {
      job: 'clinic.refresh-dashboard',
      cron: '0 */6 * * *',
    }),
    ...NAMES.flatMap((name) => [
      curl(`curl http://localhost:3000/api/jobs/${name}`, { status: 401 }),
      curl(call(name, 'POST', 'wrong'), { status: 401 }),
    ]),
    curl(
      call('refresh-summaries', 'GET'),
      {
        status: 200,
        body: summary('refresh-summaries', { clientsProcessed: POSITIVE, summariesUpdated: COUNT }),
        after: async (site, body) => differences({ clientsProcessed: await count(site, 'FROM clinic.clients') }, body),
      },
      SECRET,
    ),
    ...summaries,
    curl(
      call('refresh-summaries', 'POST'),
      { status: 200, body: summary('refresh-summaries', { clientsProcessed: POSITIVE, summariesUpdated: 0 }) },
      SECRET,
    ),
    curl(
      call('generate-tasks', 'GET'),
      {
        status: 200,
        body: summary('generate-tasks', { clientsProcessed: POSITIVE, tasksCreated: COUNT }),
        after: async (site, body) =>
          differences({ clientsProcessed: await count(site, `FROM clinic.clients WHERE status = 'active'`) }, body),
      },
      SECRET,
    ),
    ...tasks,
    curl(
      call('generate-tasks', 'POST'),
      { status: 200, body: summary('generate-tasks', { clientsProcessed: POSITIVE, tasksCreated: 0 }) },
      SECRET,
    ),
    ...(['GET', 'POST'] as const).map((method) =>
      curl(
        call('refresh-dashboard', method),
        {
          status: 200,
          body: summary('refresh-dashboard', {
            viewsRefreshed: 5,
            views: VIEWS.map((view) => ({ view, rows: POSITIVE, durationMs: COUNT })),
          }),
        },
        SECRET,
      ),
    ),
    ...views,
    check(
      'Updates `clients.last_visit_at`, auto-completes LTFU tasks; audit logs for data modifications',
      visitOfSomebodyLost,
    ),
    check('Maintains referential integrity', keepsIntegrity),
    curl('curl http://localhost:3000/metrics', {
      status: 200,
      body: new RegExp(`${METRIC}\\{type="LTFU_REVIEW"\\} \\d`),
    }),
    ...NAMES.map((name) => logged('All jobs log execution status', new RegExp(`^\\[JOB SUCCESS\\] clinic\\.${name}`))),
  ],
};
