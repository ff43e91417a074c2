import { COUNT, differences, POSITIVE, type Shape } from './differences.ts';
import type { Seed, Site, Step } from './seed.ts';
import { check, count, cron, noneOf, sql } from './steps.ts';
import { type Application, startApplication } from './zakat-application.ts';

/** Its tables are models of an object mapper; here they stand in a schema, in the names that Postgres folds nothing of. */
const OUR_NAMES = {
  AnalyticsMetric: 'zakat.analytics_metrics',
  ReminderEvent: 'zakat.reminder_events',
  AnnualSummary: 'zakat.annual_summaries',
};

const STATUS = [
  { name: 'Cache Cleanup', enabled: true, schedule: '0 2 * * *' },
  { name: 'Reminder Generation', enabled: true, schedule: '0 3 * * *' },
  { name: 'Summary Regeneration', enabled: true, schedule: '0 4 * * *' },
] as const;
const JOBS = ['zakat.cleanup-cache', 'zakat.generate-reminders', 'zakat.regenerate-summaries'] as const;
const EXPIRED = `FROM zakat.analytics_metrics WHERE computed_at < now() - interval '24 hours'`;
const REMINDERS = 'FROM zakat.reminder_events';

/** Its examples of the cron format. */
const CRON_EXAMPLES = ['0 2 * * *', '*/15 * * * *', '0 */4 * * *', '0 0 * * 0'];

let application: Application | null = null;

function running(): Application {
  if (application === null) throw new Error('the application did not start');
  return application;
}

/** The statistics that each job returns, with its duration and errors. */
const statistics = (counts: Readonly<Record<string, Shape>>): Shape => ({
  ...counts,
  duration: COUNT,
  errors: [],
  totalErrors: 0,
});

/** `triggerJob` as printed. */
const trigger = (
  title: string,
  counts: Readonly<Record<string, Shape>>,
  /** What it must have done: looked at before it, and compared afterwards. */
  done: (site: Site) => Promise<(result: unknown) => Promise<readonly string[]>> = async () => async () => [],
): Step =>
  check(`await triggerJob('${title}')`, async (site) => {
    const compare = await done(site);
    const result = await running().call('triggerJob', title);
    return [...differences(statistics(counts), result, 'its statistics'), ...(await compare(result))];
  });

const headers = (site: Site, role: string) => ({
  authorization: `Bearer ${site.token({ sub: 'seed', role })}`,
  'content-type': 'application/json',
});

/** Runs of the jobs of the last minutes must have been logged, by a worker or by the application, whoever took them. */
async function loggedSomewhere(site: Site): Promise<readonly string[]> {
  const log = `${site.workerLog()}\n${running().log()}`;
  return JOBS.flatMap((job) =>
    log.includes(`"msg":"[JOB SUCCESS] ${job}`) ? [] : [`no line of [JOB SUCCESS] ${job}`],
  );
}

async function optionsOfJobs(site: Site): Promise<readonly string[]> {
  const [cleanup, , summaries] = await Promise.all(
    JOBS.map(async (job) =>
      (await fetch(`${site.apiUrl}/v1/jobs/${job}`, { headers: headers(site, 'viewer') })).json(),
    ),
  );
  return [
    ...differences(
      { options: { batchSize: POSITIVE }, inputSchema: { properties: { maxAgeHours: { default: 24 } } } },
      cleanup,
      'the cleanup',
    ),
    ...differences({ options: { batchSize: 100 } }, summaries, 'the summaries'),
  ];
}

async function readsCronExamples(site: Site): Promise<readonly string[]> {
  const [schedule] = await site.rows<{ id: string }>(`SELECT id FROM ops.schedules WHERE job = '${JOBS[0]}'`);
  const previews = await Promise.all(
    [...CRON_EXAMPLES, '0 25 * * *'].map(async (pattern) => {
      const reply = await fetch(`${site.apiUrl}/v1/schedules/${schedule?.id}/preview?count=1`, {
        method: 'POST',
        headers: headers(site, 'admin'),
        body: JSON.stringify({ cron: pattern }),
      });
      return reply.status;
    }),
  );
  return differences([...CRON_EXAMPLES.map(() => 200), 422], previews, 'the statuses of the previews');
}

/** Off and on again, each by a start of its own, as its configuration is read at the start. */
async function switchesOffAndOn(): Promise<readonly string[]> {
  const statusWith = async (enabled: boolean) => {
    await running().call('stopAllJobs');
    await running().call('initializeJobs', { jobs: { 'Cache Cleanup': { enabled } } });
    return running().call('getJobStatus');
  };
  const [off, ...others] = STATUS;
  return [
    ...differences([{ ...off, enabled: false }, ...others], await statusWith(false), 'the status when it is off'),
    ...differences(STATUS, await statusWith(true), 'the status when it is on'),
  ];
}

async function endsCleanly(): Promise<readonly string[]> {
  const { url, end } = running();
  const code = await end('SIGTERM');
  const answered = await fetch(url).then(
    () => true,
    () => false,
  );
  return [...differences(0, code, 'the exit code'), ...(answered ? ['the server still answers'] : [])];
}

export const zakat: Seed = {
  system: 'zakat',
  steps: [
    cron('0 2 * * * (UTC)', { job: JOBS[0], cron: '0 2 * * *' }),
    cron('0 3 * * * (UTC)', { job: JOBS[1], cron: '0 3 * * *' }),
    cron('0 4 * * * (UTC)', { job: JOBS[2], cron: '0 4 * * *' }),
    check('npm run dev: Jobs automatically start', async (site) => {
      application = await startApplication({ PATH: process.env.PATH, ...site.env });
      return differences('ok', await (await fetch(application.url)).text());
    }),
    check('const status = getJobStatus()', async () =>
      differences(STATUS, await running().call('getJobStatus'), 'the status'),
    ),
    trigger('Cache Cleanup', { deleted: POSITIVE }, async (site) => {
      // Whatever the night has left, there is one to delete.
      await site.rows(
        `INSERT INTO zakat.analytics_metrics (tenant_id, metric, starts_on, ends_on, value_enc, computed_at)
         SELECT tenant_id, metric, starts_on, ends_on, value_enc, now() - interval '25 hours' FROM zakat.analytics_metrics LIMIT 1`,
      );
      const expired = await count(site, EXPIRED);
      const all = await count(site, 'FROM zakat.analytics_metrics');
      return async (result) => [
        ...differences({ deleted: expired }, result, 'the result'),
        ...differences(all - expired, await count(site, 'FROM zakat.analytics_metrics'), 'entries that are left'),
        ...differences(0, await count(site, EXPIRED), 'entries older than 24 hours'),
      ];
    }),
    trigger('Cache Cleanup', { deleted: 0 }),
    trigger('Reminder Generation', { created: COUNT, skipped: COUNT }, async (site) => {
      const before = await count(site, REMINDERS);
      return async (result) => differences({ created: (await count(site, REMINDERS)) - before }, result, 'the result');
    }),
    noneOf('30 days in advance; priority and metadata', [
      [
        'reminders earlier than 30 days ahead, or after the day',
        `${REMINDERS} WHERE anniversary_on - reminded_on NOT BETWEEN 0 AND 30`,
      ],
      [
        'priorities that the days left do not give',
        `${REMINDERS} WHERE priority <> CASE WHEN anniversary_on - reminded_on <= 7 THEN 'high' WHEN anniversary_on - reminded_on <= 14 THEN 'medium' ELSE 'low' END`,
      ],
      [
        'metadata that names another snapshot or day',
        `${REMINDERS} WHERE metadata ->> 'snapshotId' <> snapshot_id::text OR metadata ->> 'gregorianDate' <> anniversary_on::text
           OR metadata ->> 'daysLeft' <> (anniversary_on - reminded_on)::text OR coalesce(metadata ->> 'hijriDate', '') = ''`,
      ],
      [
        'reminders of snapshots that are not finalized',
        `${REMINDERS} r JOIN zakat.snapshots s ON s.tenant_id = r.tenant_id AND s.id = r.snapshot_id WHERE NOT s.finalised`,
      ],
    ]),
    trigger('Reminder Generation', { created: 0, skipped: POSITIVE }),
    noneOf('Duplicate prevention (7-day window)', [
      [
        'reminders of the same anniversary within 7 days',
        `${REMINDERS} a JOIN zakat.reminder_events b ON b.tenant_id = a.tenant_id AND b.anniversary_on = a.anniversary_on
           AND b.id <> a.id AND b.reminded_on BETWEEN a.reminded_on AND a.reminded_on + 6`,
      ],
    ]),
    trigger('Summary Regeneration', { regenerated: COUNT, failed: 0 }),
    noneOf('Snapshots modified in last 7 days: payments and completion percentage', [
      [
        'snapshots of the last 7 days without a summary of what they are now',
        `FROM zakat.snapshots s LEFT JOIN zakat.annual_summaries a ON a.tenant_id = s.tenant_id AND a.snapshot_id = s.id
         WHERE s.changed_at > now() - interval '7 days' AND a.snapshot_revision IS DISTINCT FROM s.revision`,
      ],
      [
        'summaries that count other payments than there are',
        `FROM zakat.annual_summaries a WHERE a.payments <> (SELECT count(*) FROM zakat.payments p WHERE p.tenant_id = a.tenant_id AND p.snapshot_id = a.snapshot_id)`,
      ],
      [
        'summaries of nothing paid that are begun',
        `FROM zakat.annual_summaries WHERE payments = 0 AND percent_completed > 0`,
      ],
    ]),
    trigger('Summary Regeneration', { regenerated: 0, failed: 0 }),
    sql(`SELECT value_enc FROM AnalyticsMetric WHERE value_enc NOT LIKE 'ns1.%'`, { names: OUR_NAMES, rows: [] }),
    sql(`SELECT paid_enc FROM AnnualSummary WHERE paid_enc NOT LIKE 'ns1.%' OR zakat_due_enc NOT LIKE 'ns1.%'`, {
      names: OUR_NAMES,
      rows: [],
    }),
    sql(
      'SELECT r.id FROM ReminderEvent r JOIN zakat.snapshots s ON s.id = r.snapshot_id AND s.tenant_id <> r.tenant_id',
      {
        names: OUR_NAMES,
        rows: [],
      },
    ),
    check('max age 24 hours default, batch deletion, 100 summaries per run', optionsOfJobs),
    check('Cron expression validation; Cron Schedule Format', readsCronExamples),
    check('enabled: true, // Set to false to disable', switchesOffAndOn),
    check('logging for all jobs', loggedSomewhere),
    check('kill -SIGTERM <pid>: stop accepting, close HTTP server, stop all jobs, exit cleanly', endsCleanly),
  ],
};
