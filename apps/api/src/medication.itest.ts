import { insertMedicationTable } from '@nightshift/db/demo';
import { until } from '@nightshift/engine/testing';
import { jobs } from '@nightshift/jobs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BOARD_PASSWORD, type CallOptions, type TestApi, testApi } from './testing/test-api.ts';

const MEDICATION_JOBS = jobs.filter((job) => job.system === 'medication');

let api: TestApi;
let tenant: string;
let elsewhere: string;
let user: string;

async function makeOrganisation(slug: string): Promise<{ id: string; user: string }> {
  const { admin } = api.store;
  const id = await api.store.addTenant('medication', slug, 'Europe/Berlin');
  await admin.query('INSERT INTO medication.organisations (tenant_id) VALUES ($1)', [id]);
  await insertMedicationTable(admin, id);
  const { rows } = await admin.query<{ id: string }>(
    `INSERT INTO medication.users (tenant_id, number, zone) VALUES ($1, $2, 'Europe/Berlin') RETURNING id`,
    [id, `user-of-${slug}`],
  );
  return { id, user: rows[0]?.id ?? '' };
}

beforeAll(async () => {
  api = await testApi({ jobs: MEDICATION_JOBS, workers: 1 });
  ({ id: tenant, user } = await makeOrganisation('here'));
  ({ id: elsewhere } = await makeOrganisation('elsewhere'));
});
afterAll(() => api.close());

const bodies: Readonly<Record<string, () => object>> = {
  'medication-reminder': () => ({
    user_id: user,
    medication_id: 'Metformin',
    schedule: { frequency: 'daily', times: ['08:00'] },
  }),
  'refill-check': () => ({ user_id: user, medication_id: 'Metformin', current_supply: 30 }),
  'interaction-check': () => ({ user_id: user, medications: ['Warfarin', 'Aspirin', 'Snake oil'] }),
  'supply-monitor': () => ({ user_id: user, medications: ['Metformin'] }),
  'analytics-roll-up': () => ({ time_range: { start: '2026-11-01', end: '2026-11-08' }, metrics_types: ['adherence'] }),
};
const post = (name: string, options: CallOptions = {}) =>
  api.call('POST', `/api/v1/jobs/${name}`, { as: { tenant }, json: bodies[name]?.(), ...options });
const evidence = async (name: string) =>
  (await api.refusals(`/api/v1/jobs/${name}`)).map(({ actor, status }) => `${actor} ${status}`);
const runs = async () => (await api.store.admin.query('SELECT count(*)::int AS n FROM ops.run_view')).rows[0].n;

test.each(Object.keys(bodies))(
  '%s: 202 with id and address; with Prefer: wait the result; the same key gives the same run',
  async (name) => {
    const accepted = await post(name, { headers: { 'Idempotency-Key': `key-${name}` } });
    expect(accepted).toMatchObject({
      status: 202,
      body: { id: expect.any(String), url: `/v1/runs/${accepted.body.id}` },
    });
    expect(accepted.headers.get('location')).toBe(accepted.body.url);
    const again = await post(name, { headers: { 'Idempotency-Key': `key-${name}` } });
    expect(again.body.id).toBe(accepted.body.id);
    const ended = await post(name, { headers: { Prefer: 'wait=30' } });
    expect(ended).toMatchObject({
      status: 200,
      body: { status: 'completed', job: `medication.${name}`, result: expect.any(Object) },
    });
  },
);

test('what is accepted is stored encrypted and shown to nobody', async () => {
  const accepted = await post('refill-check', { headers: { Prefer: 'wait=30' } });
  expect(accepted.body.input).toMatchObject({
    user_id: '<personal>',
    medication_id: '<personal>',
    current_supply: '<personal>',
  });
  const { rows } = await api.store.admin.query('SELECT input::text AS input FROM ops.run_payloads WHERE run_id = $1', [
    accepted.body.id,
  ]);
  expect(rows[0].input).not.toMatch(new RegExp(`${user}|Metformin`));
});

test('an answer is stored encrypted; who may start runs of its organisation reads it, nobody else does', async () => {
  const { body } = await post('interaction-check', { headers: { Prefer: 'wait=30' } });
  expect(body.result).toMatchObject({ unresolved: ['Snake oil'] });
  const { rows } = await api.store.admin.query('SELECT p::text AS row FROM ops.run_payloads p WHERE run_id = $1', [
    body.id,
  ]);
  expect(rows[0].row).not.toMatch(/snake|warfarin|aspirin|complete/i);
  const read = async (as: { tenant: string; role?: string }) => (await api.call('GET', body.url, { as })).body.result;
  expect(await read({ tenant, role: 'operator' })).toEqual(body.result);
  expect(await read({ tenant, role: 'viewer' })).toBe('<personal>');
  expect(await read({ tenant: elsewhere, role: 'admin' })).toBeUndefined();
  const form = new URLSearchParams({ user: 'admin', password: BOARD_PASSWORD }).toString();
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const signedIn = await api.call('POST', '/admin/sign-in', { as: null, body: form, headers });
  const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
  const page = await api.call('GET', `/admin/runs/${body.id}`, { as: null, headers: { Cookie: cookie } });
  expect(page.text).toContain('&lt;personal&gt;');
  expect(page.text).not.toMatch(/snake|warfarin/i);
});

test('the checks come in the seed’s order: schema before token, token before role, role before what exists', async () => {
  const before = await runs();
  const wrong = { user_id: 'nobody', medication_id: 'Snake oil', current_supply: -1 };
  const missing = { ...wrong, current_supply: 1 };
  const at = (options: CallOptions) => post('refill-check', options);
  expect(await at({ as: null, json: wrong })).toMatchObject({
    status: 400,
    body: { code: 'invalid-input', errors: [{ pointer: '/current_supply' }] },
  });
  expect(await at({ as: null, json: missing })).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
  expect(await at({ bearer: 'not-a-token', json: missing })).toMatchObject({ status: 401 });
  expect(await at({ as: { tenant, role: 'viewer' }, json: missing })).toMatchObject({ status: 403 });
  expect(await at({ as: {}, json: missing })).toMatchObject({
    status: 403,
    body: { detail: expect.stringContaining('organisation') },
  });
  expect(await at({ json: missing })).toMatchObject({
    status: 404,
    body: {
      code: 'unknown-user',
      errors: [{ pointer: '/user_id' }, { pointer: '/medication_id', code: 'unknown-medication' }],
    },
  });
  expect(await at({ as: { tenant: elsewhere } })).toMatchObject({
    status: 404,
    body: { errors: [{ pointer: '/user_id' }] },
  });
  expect(await runs()).toBe(before);
  expect(await evidence('refill-check')).toEqual([
    expect.stringMatching(/^unknown:.* 400$/),
    'ada 403',
    'ada 403',
    'ada 404',
    'ada 404',
  ]);
});

test('at the edge: size, type, method, what is no JSON; one shape for all', async () => {
  const at = (options: CallOptions) => post('interaction-check', { as: null, ...options });
  const large = JSON.stringify({ user_id: 'u', medications: ['x'.repeat(70_000)] });
  const json = { 'Content-Type': 'application/json' };
  const answers = [
    await api.call('POST', '/api/v1/jobs/interaction-check', { as: null, body: large, headers: json }),
    await api.call('POST', '/api/v1/jobs/interaction-check', {
      as: null,
      body: 'a=1',
      headers: { 'Content-Type': 'text/plain' },
    }),
    await api.call('POST', '/api/v1/jobs/interaction-check', { as: null, body: '{', headers: json }),
    await api.call('POST', '/api/v1/jobs/interaction-check', { as: null }),
    await at({ json: { user_id: 'u' } }),
    await at({ json: { user_id: 'u', medications: [] } }),
    await at({ json: { user_id: 'u', medications: ['x'], more: 1 } }),
    await api.call('GET', '/api/v1/jobs/interaction-check'),
    await api.call('POST', '/api/v1/jobs/nothing', { json: {} }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([413, 415, 400, 400, 400, 400, 400, 405, 404]);
  for (const { body, headers } of answers) {
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(body).toMatchObject({
      type: expect.any(String),
      title: expect.any(String),
      status: expect.any(Number),
      code: expect.any(String),
      requestId: expect.any(String),
    });
  }
  const { rows } = await api.store.admin.query(`SELECT sum(count)::int AS n FROM ops.refusals`);
  expect(rows[0].n).toBeGreaterThanOrEqual(9);
});

test.each(['null', '"x"', '12', 'true', '[]'])('%s, which is no object, is 400 here', async (body) => {
  const before = await runs();
  const headers = { 'Content-Type': 'application/json' };
  const answer = await api.call('POST', '/api/v1/jobs/refill-check', { as: { tenant }, body, headers });
  expect(answer).toMatchObject({ status: 400, body: { code: 'invalid-input', errors: [{ pointer: '' }] } });
  expect(await runs()).toBe(before);
});

test.each([
  ['medication-reminder', { schedule: { frequency: 'hourly', times: ['08:00'] } }, '/schedule/frequency'],
  ['medication-reminder', { schedule: { frequency: 'daily', times: ['8:00'] } }, '/schedule/times/0'],
  ['medication-reminder', { schedule: { frequency: 'daily', times: [] } }, '/schedule/times'],
  ['analytics-roll-up', { metrics_types: ['mood'] }, '/metrics_types/0'],
  ['analytics-roll-up', { time_range: { start: '2026-11-08', end: '2026-11-08' } }, '/time_range/end'],
  ['analytics-roll-up', { time_range: { start: '2025-01-01', end: '2026-02-01' } }, '/time_range/end'],
])('%s with %j is 400 and names the field', async (name, part, pointer) => {
  const answer = await post(name, { json: { ...bodies[name]?.(), ...part } });
  expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer }] } });
});

test('a failure here is 500 in the same shape and raises an alert, which says nothing of whom it was about', async () => {
  const { admin } = api.store;
  await admin.query('REVOKE SELECT ON medication.users FROM ns_app');
  try {
    const broken = await post('supply-monitor', { json: { user_id: user, medications: ['Metformin'] } });
    expect(broken).toMatchObject({ status: 500, body: { code: 'internal', requestId: expect.any(String) } });
    expect(broken.text).not.toMatch(/permission|medication\.users/);
  } finally {
    await admin.query('GRANT SELECT ON medication.users TO ns_app');
  }
  const alert = await until('the alert', async () => {
    const { rows } = await admin.query(
      `SELECT severity, message, tenant_id FROM ops.alerts WHERE key = 'http-500:POST /api/v1/jobs/supply-monitor' AND state = 'open'`,
    );
    return rows[0];
  });
  // Of the platform: its operators are told (ALERT_EMAIL_TO), not the organisation.
  expect(alert).toMatchObject({ severity: 'CRITICAL', tenant_id: null });
  expect(alert.message).not.toMatch(new RegExp(`${user}|Metformin`));
  expect(await post('supply-monitor')).toMatchObject({ status: 202 });
});

test('a caller over the rate limit is told to wait, whoever it is', async () => {
  const limited = await testApi({
    jobs: MEDICATION_JOBS,
    store: api.store,
    env: { MEDICATION_REQUESTS_PER_MINUTE: '2' },
  });
  try {
    const call = () =>
      limited.call('POST', '/api/v1/jobs/supply-monitor', { as: { tenant }, json: bodies['supply-monitor']?.() });
    expect([(await call()).status, (await call()).status]).toEqual([202, 202]);
    const refused = await call();
    expect(refused).toMatchObject({ status: 429, body: { code: 'too-many-requests' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  } finally {
    await limited.close();
  }
});

test('the same jobs by /v1: with an input as asked, without one as scheduled', async () => {
  const start = (json: object) =>
    api.call('POST', '/v1/jobs/medication.supply-monitor/runs', {
      as: { tenant },
      json,
      headers: { Prefer: 'wait=30' },
    });
  expect(await start({ input: bodies['supply-monitor']?.() })).toMatchObject({
    status: 200,
    body: { result: { medications: expect.any(Array) } },
  });
  expect(await start({})).toMatchObject({
    status: 200,
    body: { result: { medicationsProcessed: expect.any(Number), alertsRaised: 0 } },
  });
  expect(await start({ input: { user_id: user } })).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '/input/medications' }] },
  });
});
