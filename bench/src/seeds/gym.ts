import { COUNT, differences, each, POSITIVE, type Shape } from './differences.ts';
import type { Seed, Site } from './seed.ts';
import { check, cron, curl, logged, type Placeholders } from './steps.ts';

const SECRET: Placeholders = { YOUR_CRON_SECRET: (site) => site.cronSecret };
const NAMES = ['commitment-scores', 'at-risk-detection', 'coach-actions'] as const;

const post = (name: string, secret = true) =>
  `curl -X POST http://your-domain.com/api/cron/${name}${secret ? ' \\\n  -H "Authorization: Bearer YOUR_CRON_SECRET"' : ''}`;

/** What the document says that each job returns, for all gyms together. */
const summary = (name: string, counts: Readonly<Record<string, Shape>>): Shape => ({
  success: true,
  job: `gym.${name}`,
  ...counts,
  errors: [],
  duration: POSITIVE,
  tenants: each({ status: 'completed' }),
});

const MEMBERS = { membersProcessed: POSITIVE, membersUpdated: COUNT };

async function one(site: Site, text: string): Promise<number> {
  const [row] = await site.rows<{ n: number }>(`SELECT (${text})::integer AS n`);
  return row?.n ?? Number.NaN;
}

const ACTIVE = `SELECT count(*) FROM gym.members WHERE status = 'active'`;
const NO_DUPLICATES = `SELECT count(*) FROM (SELECT 1 FROM gym.coach_actions GROUP BY tenant_id, coach_id, member_id, action_date HAVING count(*) > 1) d`;
const UNSERVED = `SELECT count(*) FROM gym.coach_members a JOIN gym.members m ON m.tenant_id = a.tenant_id AND m.id = a.member_id
    JOIN gym.coaches c ON c.tenant_id = a.tenant_id AND c.id = a.coach_id
  WHERE c.active AND m.status = 'active' AND m.risk_level IN ('HIGH', 'CRITICAL')
    AND NOT EXISTS (SELECT 1 FROM gym.coach_actions x JOIN ops.tenants t ON t.id = x.tenant_id
      WHERE x.tenant_id = a.tenant_id AND x.coach_id = a.coach_id AND x.member_id = a.member_id
        AND x.action_date = (clock_timestamp() AT TIME ZONE t.zone)::date)`;

async function processedIsActive(site: Site, body: unknown): Promise<string[]> {
  return differences({ membersProcessed: await one(site, ACTIVE) }, body);
}

export const gym: Seed = {
  system: 'gym',
  steps: [
    cron('"path": "/api/cron/commitment-scores", "schedule": "0 2 * * *"', {
      job: 'gym.commitment-scores',
      cron: '0 2 * * *',
    }),
    cron('"path": "/api/cron/at-risk-detection", "schedule": "0 3 * * *"', {
      job: 'gym.at-risk-detection',
      cron: '0 3 * * *',
    }),
    cron('"path": "/api/cron/coach-actions", "schedule": "0 4 * * *"', { job: 'gym.coach-actions', cron: '0 4 * * *' }),
    curl('curl http://localhost:3000/api/cron/commitment-scores', {
      status: 200,
      body: summary('commitment-scores', MEMBERS),
      after: processedIsActive,
    }),
    ...NAMES.map((name) => curl(post(name, false), { status: 401 })),
    curl(post('commitment-scores').replace('YOUR_CRON_SECRET', 'wrong'), { status: 401 }),
    curl(post('commitment-scores'), { status: 200, body: summary('commitment-scores', MEMBERS) }, SECRET),
    curl(
      post('at-risk-detection'),
      { status: 200, body: summary('at-risk-detection', MEMBERS), after: processedIsActive },
      SECRET,
    ),
    curl(
      post('coach-actions'),
      { status: 200, body: summary('coach-actions', { coachesProcessed: POSITIVE, actionsCreated: COUNT }) },
      SECRET,
    ),
    check('Actions Created: Should match coach assignments', async (site) =>
      differences(0, await one(site, UNSERVED), 'assigned members at risk without an action of today'),
    ),
    curl(
      post('coach-actions'),
      { status: 200, body: summary('coach-actions', { coachesProcessed: POSITIVE, actionsCreated: 0 }) },
      SECRET,
    ),
    check('Prevents duplicate actions for same member/coach/day', async (site) =>
      differences(0, await one(site, NO_DUPLICATES), 'actions made twice'),
    ),
    check('batches of 50, 100ms delay between batches, 10 minutes per job', async (site) => {
      const headers = { authorization: `Bearer ${site.token({ sub: 'seed', role: 'viewer' })}` };
      const jobs = await Promise.all(
        NAMES.map(async (name) => (await fetch(`${site.apiUrl}/v1/jobs/gym.${name}`, { headers })).json()),
      );
      return jobs.flatMap((job) =>
        differences({ options: { batchSize: 50, batchDelayMs: 100, timeoutMs: 600_000 } }, job),
      );
    }),
    ...NAMES.map((name) => logged('Look for `[JOB SUCCESS]` prefixes', new RegExp(`^\\[JOB SUCCESS\\] gym\\.${name}`))),
  ],
};
