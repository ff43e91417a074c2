import { demoOrganisationTenantId } from '@nightshift/db/demo';
import { until } from '../fleet/until.ts';
import { COUNT, differences, each, POSITIVE, type Predicate, type Shape } from './differences.ts';
import type { Seed, Site, Step } from './seed.ts';
import { check, curl } from './steps.ts';

const TENANT = demoOrganisationTenantId(1, 'harbour-health');
const USER = 'P00001';
/** That user takes it, a unit a day. */
const MEDICINE = 'Amlodipine';

/** Who stands behind `<token>`. */
const as = (claims: Readonly<Record<string, unknown>>) => ({
  '<token>': (site: Site) => site.token({ sub: 'seed', role: 'operator', tenant: TENANT, ...claims }),
});

/** The bodies, with the fields that each endpoint's `body` lists. */
const BODIES = {
  'medication-reminder': {
    user_id: USER,
    medication_id: MEDICINE,
    schedule: { frequency: 'daily', times: ['08:00', '20:00'] },
  },
  'refill-check': { user_id: USER, medication_id: MEDICINE, current_supply: 60 },
  'interaction-check': { user_id: USER, medications: ['Warfarin', 'Ibuprofen'] },
  'supply-monitor': { user_id: USER, medications: [MEDICINE] },
  'analytics-roll-up': {
    time_range: { start: '2024-12-01T00:00:00Z', end: '2024-12-24T00:00:00Z' },
    metrics_types: ['adherence', 'refills'],
  },
  backup: { backup_type: 'full', storage_config: { type: 'local', path: 'seed' } },
} as const satisfies Record<string, object>;
type Name = keyof typeof BODIES;
const ALL = Object.keys(BODIES) as Name[];

/** What each says when it is done; the document shows no answers. */
const RESULTS: Readonly<Record<Name, Readonly<Record<string, Shape>>>> = {
  'medication-reminder': { frequency: 'daily', times: ['08:00', '20:00'], next_reminders: each(/^\d{4}-/) },
  'refill-check': { days_left: COUNT, refill_on: /^\d{4}-\d\d-\d\d$/, units_a_day: POSITIVE },
  'interaction-check': {
    complete: true,
    unresolved: [],
    conclusion: /known in table .*not for clinical use/,
    interactions: each({ severity: /^(CONTRAINDICATED|MAJOR|MODERATE|MINOR)$/, source: /./ }),
  },
  'supply-monitor': { medications: each({ days_left: COUNT, alert_at_days_left: POSITIVE }) },
  'analytics-roll-up': { metrics: { refills: COUNT }, days: POSITIVE },
  backup: { backup_type: 'full', storage: { type: 'local', path: 'seed' }, rows: POSITIVE, sha256: /^[0-9a-f]{64}$/ },
};

const whose = (name: Name) => (name === 'backup' ? as({ role: 'admin', tenant: undefined }) : as({}));

/** The endpoint's `request` as a line: method, headers and body. */
function line(name: string, body: object, { token = true, wait = false } = {}): string {
  const headers = [
    ...(token ? ['Authorization: Bearer <token>'] : []),
    'Content-Type: application/json',
    ...(wait ? ['Prefer: wait=60'] : []),
  ];
  return `curl -X POST /api/v1/jobs/${name} ${headers.map((one) => `-H '${one}'`).join(' ')} -d '${JSON.stringify(body)}'`;
}

const PROBLEM = { type: /./, title: /./, status: COUNT, code: /./, requestId: /./ };
const problem = (status: number, more: Readonly<Record<string, Shape>> = {}) => ({
  status,
  body: { ...PROBLEM, status, ...more },
  headers: { 'content-type': /^application\/problem\+json/ },
});

const accepted = (name: Name): Step =>
  curl(
    line(name, BODIES[name]),
    {
      status: 202,
      body: { id: /^[0-9a-f-]{36}$/, status: /./, url: /^\/v1\/runs\// },
      async after(site, body) {
        const { id, url } = body as { id: string; url: string };
        const headers = { authorization: `Bearer ${site.token({ sub: 'seed', role: 'operator', tenant: TENANT })}` };
        const trail = await (await fetch(`${site.apiUrl}${url}/audit`, { headers })).json();
        const stored = await site.rows<{ input: string }>(
          'SELECT input::text AS input FROM ops.run_payloads WHERE run_id = $1',
          [id],
        );
        return [
          ...differences(HOLDS_ONE, (trail as { items: unknown }).items, 'the audit trail'),
          ...(stored.some(({ input }) => input.includes(USER)) ? ['the stored input shows whom it is about'] : []),
        ];
      },
    },
    as({}),
  );

const HOLDS_ONE: Predicate = {
  called: 'a list with an entry',
  holds: (value) => Array.isArray(value) && value.length > 0,
};

const done = (name: Name): Step =>
  curl(
    line(name, BODIES[name], { wait: true }),
    { status: 200, body: { status: 'completed', job: `medication.${name}`, result: RESULTS[name] } },
    whose(name),
  );

/** Each body with its first field missing or of another kind, sent without a token: the first check says no. */
const WRONG: Readonly<Record<Name, object>> = {
  'medication-reminder': { ...BODIES['medication-reminder'], schedule: { frequency: 'daily', times: '08:00' } },
  'refill-check': { ...BODIES['refill-check'], current_supply: '60' },
  'interaction-check': { ...BODIES['interaction-check'], medications: MEDICINE },
  'supply-monitor': { medications: [MEDICINE] },
  'analytics-roll-up': { ...BODIES['analytics-roll-up'], time_range: { start: 'December', end: '2024-12-24' } },
  backup: { ...BODIES.backup, storage_config: { type: 'ftp', path: 'seed' } },
};

const unknown = (name: 'medication-reminder' | 'refill-check' | 'interaction-check' | 'supply-monitor') =>
  curl(line(name, { ...BODIES[name], user_id: 'nobody' }), problem(404, { code: 'unknown-user' }), as({}));

const ROUTE = 'POST /api/v1/jobs/supply-monitor';
const openAlert = (site: Site) =>
  site.rows<{ id: string; severity: string }>(
    `SELECT id, severity FROM ops.alerts WHERE key = 'http-500:${ROUTE}' AND state = 'open'`,
  );

/** The database refuses the API a table for as long as one request takes. */
const broken = check('500: Internal server error, alert_trigger: true', async (site) => {
  await site.rows('REVOKE SELECT ON medication.users FROM ns_app');
  let found: readonly string[];
  try {
    found = await curl(line('supply-monitor', BODIES['supply-monitor']), problem(500), as({})).replay(site);
  } finally {
    await site.rows('GRANT SELECT ON medication.users TO ns_app');
  }
  const raised = await until('the alert', async () => {
    const rows = await openAlert(site);
    return rows.length > 0 && rows;
  });
  return [...found, ...differences([{ severity: 'CRITICAL' }], raised, 'the alert')];
});

/** Some seconds later, which the steps between take. Leaves no alert behind. */
const told = check('alert_trigger: true: somebody is told', async (site) => {
  await until('the mail of the alert', async () => (await site.mails()).some((mail) => mail.subject.includes(ROUTE)));
  const headers = { authorization: `Bearer ${site.token({ sub: 'seed', role: 'admin' })}` };
  for (const { id } of await openAlert(site))
    await fetch(`${site.apiUrl}/v1/alerts/${id}/resolve`, { method: 'POST', headers });
  return differences([], await openAlert(site), 'alerts that stay open');
});

/** `max_retry` and `retry_delay` (s) of the priority levels. */
const LEVELS = {
  CRITICAL: { retries: 5, delayMs: 60_000 },
  HIGH: { retries: 3, delayMs: 300_000 },
  MEDIUM: { retries: 3, delayMs: 600_000 },
  LOW: { retries: 2, delayMs: 1_800_000 },
} as const;

const level = (priority: keyof typeof LEVELS) => {
  const retry = LEVELS[priority];
  return check(`${priority}: max_retry: ${retry.retries}, retry_delay: ${retry.delayMs / 1_000}`, async (site) => {
    const headers = { authorization: `Bearer ${site.token({ sub: 'seed', role: 'viewer' })}` };
    const { items } = (await (await fetch(`${site.apiUrl}/v1/jobs`, { headers })).json()) as {
      items: readonly { name: string; system: string; priority: string }[];
    };
    // The platform's own jobs have reasons of their own.
    const of = items.filter((job) => job.priority === priority && job.system !== 'ops');
    if (of.length === 0) return [`no job has the priority ${priority}`];
    return of.flatMap((job) => differences({ retry }, job, job.name));
  });
};

const evidence = check('evidence_collection: true of 400, 401, 403 and 404', async (site) => {
  const [unknownCallers] = await site.rows<{ n: number }>(
    `SELECT coalesce(sum(count), 0)::int AS n FROM ops.refusals WHERE minute > clock_timestamp() - interval '10 minutes'`,
  );
  const known = await site.rows<{ status: number }>(
    `SELECT DISTINCT (details->>'status')::int AS status FROM ops.audit_log WHERE action = 'request.refused' AND actor = 'seed'
       AND details->>'path' LIKE '/api/v1/jobs/%' ORDER BY 1`,
  );
  return [
    ...differences(POSITIVE, unknownCallers?.n, 'refusals of unknown callers'),
    ...differences([{ status: 403 }, { status: 404 }], known, 'refusals of known ones'),
  ];
});

const METRICS = {
  execution_time: 'run_duration_seconds',
  success_rate: 'run_success_ratio',
  error_rate: 'run_error_ratio',
  retry_count: 'run_retries',
} as const;

const metrics = check(`metrics: ${Object.keys(METRICS).join(', ')}`, async (site) => {
  const missing = async () => {
    const text = await (await fetch(`${site.apiUrl}/metrics`)).text();
    return Object.values(METRICS).filter((name) => !text.includes(`nightshift_${name}{job="medication.refill-check"`));
  };
  // They are remembered for some seconds.
  await until('the metrics to speak of a run', async () => (await missing()).length === 0);
  return [];
});

const logging = check('logging: level: INFO, format: structured', async (site) => {
  const lines = site.workerLog().split('\n').filter(Boolean);
  const parsed = lines.map((text) => JSON.parse(text) as { level?: unknown; msg?: unknown });
  const lost = parsed.filter(({ level: severity, msg }) => typeof severity !== 'number' || typeof msg !== 'string');
  return [
    ...differences(0, lost.length, 'lines without level or message'),
    ...(parsed.some((one) => one.level === 30) ? [] : ['no line of level INFO']),
    ...(lines.some((text) => text.includes(MEDICINE)) ? ['a line names a medicine'] : []),
  ];
});

const ADMINS_FULL = line('backup', BODIES.backup);

export const medication: Seed = {
  system: 'medication',
  steps: [
    broken,
    ...ALL.map((name) => curl(line(name, WRONG[name], { token: false }), problem(400, { errors: HOLDS_ONE }))),
    ...ALL.map((name) => curl(line(name, BODIES[name], { token: false }), problem(401))),
    ...ALL.map((name) => curl(line(name, BODIES[name]), problem(403), as({ role: 'viewer' }))),
    curl(ADMINS_FULL, problem(403), as({})),
    curl(ADMINS_FULL, problem(403), as({ role: 'admin' })),
    unknown('medication-reminder'),
    unknown('refill-check'),
    unknown('interaction-check'),
    unknown('supply-monitor'),
    curl(line('nothing', {}), problem(404), as({})),
    // A backup takes seconds: it is made once.
    ...ALL.filter((name) => name !== 'backup').map(accepted),
    ...ALL.map(done),
    evidence,
    ...(Object.keys(LEVELS) as (keyof typeof LEVELS)[]).map(level),
    metrics,
    logging,
    told,
  ],
};
