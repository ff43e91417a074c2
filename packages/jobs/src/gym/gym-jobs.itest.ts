import { seedDemo } from '@nightshift/db/demo';
import { listFailures } from '@nightshift/engine/accept';
import { runJob, type TestEngine, testEngine } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { jobs } from '../index.ts';

const FAST = { batchSize: 100, batchDelayMs: 0 };
const DAY_MS = 86_400_000;

let engine: TestEngine;

beforeAll(async () => {
  engine = await testEngine({ jobs });
  await seedDemo({ adminUrl: engine.store.adminUrl, gyms: 1, members: 500, days: 150, seed: 3 });
});
afterAll(() => engine.close());

const rows = async <Row extends object>(sql: string, values: unknown[] = []) =>
  (await engine.store.admin.query<Row>(sql, values)).rows;
const run = (job: string, tenant: string, options = FAST) => runJob(engine, { job, tenant, input: {}, options });
const daysAgo = (days: number) => new Date(Date.now() - days * DAY_MS);

interface NewMember {
  number: string;
  status?: 'active' | 'frozen' | 'left';
  joinedDaysAgo?: number;
  visitDaysAgo?: readonly number[];
  riskLevel?: string;
}

async function makeGym(slug: string, members: readonly NewMember[], zone = 'UTC'): Promise<string> {
  const id = await engine.store.addTenant('gym', slug, zone);
  await rows(`INSERT INTO gym.gyms (tenant_id, opened_on) VALUES ($1, '2020-01-01')`, [id]);
  for (const { number, status = 'active', joinedDaysAgo = 400, visitDaysAgo = [], riskLevel = null } of members) {
    await rows(
      `INSERT INTO gym.members (tenant_id, number, status, joined_on, churn_risk, risk_level)
       VALUES ($1, $2, $3, (now() AT TIME ZONE $6)::date - $4::int, CASE WHEN $5::text IS NOT NULL THEN 80 END, $5)`,
      [id, number, status, joinedDaysAgo, riskLevel, zone],
    );
    await rows(
      `INSERT INTO gym.visits (tenant_id, member_id, visited_at)
       SELECT $1, m.id, at FROM gym.members m, unnest($3::timestamptz[]) AS at WHERE m.tenant_id = $1 AND m.number = $2`,
      [id, number, visitDaysAgo.map(daysAgo)],
    );
  }
  return id;
}
const members = (tenantId: string) =>
  rows<{ number: string; score: number | null; risk: number | null; level: string | null }>(
    'SELECT number, commitment_score AS score, churn_risk AS risk, risk_level AS level FROM gym.members WHERE tenant_id = $1 ORDER BY number',
    [tenantId],
  );

test('a night over demo data: everybody active is scored, judged and given to their coach; a second night changes nothing', async () => {
  const [active] = await rows<{ n: number }>(`SELECT count(*)::int AS n FROM gym.members WHERE status = 'active'`);
  const [coaches] = await rows<{ n: number }>('SELECT count(*)::int AS n FROM gym.coaches');
  const all = { status: 'completed', expected: active?.n, processed: active?.n, failedItems: 0 };
  const summary = { membersProcessed: active?.n, membersUpdated: active?.n, errors: [], duration: expect.any(Number) };
  expect(await run('gym.commitment-scores', 'iron-works')).toMatchObject({ ...all, result: summary });
  expect(await run('gym.at-risk-detection', 'iron-works')).toMatchObject({ ...all, result: summary });
  const [wanted] = await rows<{ n: number }>(
    `SELECT count(*)::int AS n FROM gym.coach_members c JOIN gym.members m ON m.id = c.member_id WHERE m.status = 'active' AND m.risk_level IN ('HIGH', 'CRITICAL')`,
  );
  expect(wanted?.n).toBeGreaterThan(20);
  expect(await run('gym.coach-actions', 'iron-works')).toMatchObject({
    status: 'completed',
    result: { coachesProcessed: coaches?.n, actionsCreated: wanted?.n, errors: [] },
  });
  const before = await rows('SELECT * FROM gym.members ORDER BY id');
  expect(await run('gym.commitment-scores', 'iron-works')).toMatchObject({
    result: { membersProcessed: active?.n, membersUpdated: 0 },
  });
  expect(await run('gym.at-risk-detection', 'iron-works')).toMatchObject({
    result: { membersProcessed: active?.n, membersUpdated: 0 },
  });
  expect(await run('gym.coach-actions', 'iron-works')).toMatchObject({ result: { actionsCreated: 0 } });
  expect(await rows('SELECT * FROM gym.members ORDER BY id')).toEqual(before);
  const levels = await rows<{ level: string }>(
    `SELECT DISTINCT risk_level AS level FROM gym.members WHERE status = 'active' ORDER BY 1`,
  );
  expect(levels.map(({ level }) => level)).toEqual(['CRITICAL', 'HIGH', 'LOW', 'MEDIUM']);
  expect(
    await rows(
      `SELECT FROM gym.members WHERE status <> 'active' AND (commitment_score IS NOT NULL OR risk_level IS NOT NULL)`,
    ),
  ).toEqual([]);
});

test('one member with a broken row: the others of the batch are updated, the error names the member', async () => {
  const gym = await makeGym(
    'broken',
    Array.from({ length: 20 }, (_, index) => ({ number: `M${index}`, visitDaysAgo: [1, 8, 15] })),
  );
  const [broken] = await rows<{ id: string }>(
    `UPDATE gym.members SET joined_on = current_date + 3650 WHERE tenant_id = $1 AND number = 'M7' RETURNING id`,
    [gym],
  );
  for (const job of ['gym.commitment-scores', 'gym.at-risk-detection']) {
    const ended = await run(job, 'broken');
    expect(ended).toMatchObject({
      status: 'completed_with_item_errors',
      expected: 20,
      processed: 20,
      failedItems: 1,
      result: {
        membersUpdated: 19,
        errors: [{ item: broken?.id, error: expect.stringContaining('BrokenMemberError') }],
      },
    });
    const failures = await listFailures(engine.producer.pools, ended.id, null, { limit: 10 });
    expect(JSON.stringify(failures)).toContain('joined_on lies 3650 days ahead');
  }
  const left = (await members(gym)).filter(({ score, risk }) => score === null || risk === null);
  expect(left).toEqual([expect.objectContaining({ number: 'M7', score: null, risk: null })]);
});

test('days are the gym’s: a visit at 00:30 local counts for its local day, on both sides of the date line and of the clocks', async () => {
  for (const zone of ['Pacific/Auckland', 'America/Los_Angeles', 'Asia/Kolkata']) {
    const slug = zone.toLowerCase().replace('/', '-').replace('_', '-');
    const gym = await makeGym(slug, [{ number: 'edge-in' }, { number: 'edge-out' }, { number: 'no-show' }], zone);
    const weekly = Array.from({ length: 12 }, (_, week) => 31 + 7 * week);
    const at = (number: string, day: number, time: string, attended = true) =>
      rows(
        `INSERT INTO gym.visits (tenant_id, member_id, visited_at, attended)
         SELECT $1, id, ((now() AT TIME ZONE $2)::date - $3::int + $4::time) AT TIME ZONE $2, $5 FROM gym.members WHERE tenant_id = $1 AND number = $6`,
        [gym, zone, day, time, attended, number],
      );
    for (const number of ['edge-in', 'edge-out', 'no-show']) for (const day of weekly) await at(number, day, '12:00');
    await at('edge-in', 30, '00:30');
    await at('edge-out', 31, '23:30');
    await at('no-show', 10, '12:00', false);
    await run('gym.at-risk-detection', slug);
    const risks = Object.fromEntries((await members(gym)).map(({ number, risk }) => [number, risk]));
    expect(risks['edge-in'], zone).toBeLessThan(75);
    expect(risks, zone).toMatchObject({ 'edge-out': 100, 'no-show': 100 });
  }
});

test('newcomers are measured by the gym’s median newcomer; frozen and left members and other gyms are left alone', async () => {
  const often = [1, 3, 5, 8, 10, 12];
  const newcomers = [1, 2, 3, 4, 5].map((n) => ({ number: `usual-${n}`, joinedDaysAgo: 14, visitDaysAgo: often }));
  const busy = await makeGym('busy', [
    ...newcomers,
    { number: 'shy', joinedDaysAgo: 14, visitDaysAgo: [13] },
    { number: 'frozen', status: 'frozen', visitDaysAgo: [50, 57, 64] },
    { number: 'left', status: 'left', visitDaysAgo: [50, 57, 64] },
  ]);
  const quiet = await makeGym('quiet', [
    ...newcomers.map((member) => ({ ...member, visitDaysAgo: [10] })),
    { number: 'shy', joinedDaysAgo: 14, visitDaysAgo: [13] },
  ]);
  await run('gym.at-risk-detection', 'busy');
  const judged = Object.fromEntries((await members(busy)).map(({ number, level }) => [number, level]));
  expect(judged).toMatchObject({ 'usual-1': 'LOW', shy: 'CRITICAL', frozen: null, left: null });
  expect((await members(quiet)).every(({ level }) => level === null)).toBe(true);
  await run('gym.at-risk-detection', 'quiet');
  expect((await members(quiet)).map(({ level }) => level)).toEqual(Array(6).fill('LOW'));
});

test('coach actions: one for each coach, active member at risk and local day', async () => {
  const gym = await makeGym(
    'coached',
    [
      { number: 'call', riskLevel: 'CRITICAL' },
      { number: 'fine', riskLevel: 'MEDIUM' },
      { number: 'frozen', riskLevel: 'CRITICAL', status: 'frozen' },
      { number: 'message', riskLevel: 'HIGH' },
      { number: 'unjudged' },
    ],
    'Pacific/Kiritimati',
  );
  await rows(
    `INSERT INTO gym.coaches (tenant_id, number, active) VALUES ($1, 'A', true), ($1, 'B', true), ($1, 'gone', false)`,
    [gym],
  );
  await rows(
    `INSERT INTO gym.coach_members (tenant_id, coach_id, member_id)
     SELECT $1, c.id, m.id FROM gym.coaches c, gym.members m WHERE c.tenant_id = $1 AND m.tenant_id = $1 AND (c.number <> 'B' OR m.number = 'call')`,
    [gym],
  );
  const made = () =>
    rows(
      `SELECT c.number AS coach, m.number AS member, a.kind, a.status, a.action_date = (now() AT TIME ZONE 'Pacific/Kiritimati')::date AS today
       FROM gym.coach_actions a JOIN gym.coaches c ON c.id = a.coach_id JOIN gym.members m ON m.id = a.member_id
       WHERE a.tenant_id = $1 ORDER BY 1, 2, today`,
      [gym],
    );
  expect(await run('gym.coach-actions', 'coached', { batchSize: 1, batchDelayMs: 0 })).toMatchObject({
    result: { coachesProcessed: 2, actionsCreated: 3 },
  });
  const first = [
    { coach: 'A', member: 'call', kind: 'call', status: 'open', today: true },
    { coach: 'A', member: 'message', kind: 'message', status: 'open', today: true },
    { coach: 'B', member: 'call', kind: 'call', status: 'open', today: true },
  ];
  expect(await made()).toEqual(first);
  await rows(`UPDATE gym.coach_actions SET status = 'done' WHERE tenant_id = $1 AND kind = 'message'`, [gym]);
  await rows(`UPDATE gym.members SET risk_level = 'HIGH' WHERE tenant_id = $1 AND number = 'fine'`, [gym]);
  expect(await run('gym.coach-actions', 'coached')).toMatchObject({ result: { actionsCreated: 1 } });
  await rows('UPDATE gym.coach_actions SET action_date = action_date - 1 WHERE tenant_id = $1', [gym]);
  expect(await run('gym.coach-actions', 'coached')).toMatchObject({ result: { actionsCreated: 4 } });
  expect(await made()).toHaveLength(8);
});

test('a dry run says what it would change and changes nothing', async () => {
  const gym = await makeGym('dry', [{ number: 'one', visitDaysAgo: [2] }]);
  const ended = await runJob(engine, {
    job: 'gym.commitment-scores',
    tenant: 'dry',
    input: {},
    options: { ...FAST, dryRun: true },
  });
  expect(ended).toMatchObject({
    status: 'completed',
    result: { membersProcessed: 1, membersUpdated: 1, dryRun: true },
  });
  expect(await members(gym)).toMatchObject([{ score: null }]);
});
