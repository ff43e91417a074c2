import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Fleet, type Gym, startFleet } from '../bench/src/fleet/index.ts';

let fleet: Fleet;
let gym: Gym;

beforeAll(async () => {
  fleet = await startFleet({ workers: 0, gyms: { count: 2, members: 20 } });
  const [first] = fleet.gyms;
  if (first === undefined) throw new Error('the demo made no gym');
  gym = first;
});

afterAll(() => fleet?.close());

interface Refusal {
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string | null;
  readonly status: number;
  readonly code: string;
  readonly says?: string;
}

/** Refused with a problem document, nothing enqueued, and one piece of evidence more. */
async function expectRefused({ path, body, token, status, code, says = '' }: Refusal): Promise<HttpBody> {
  const before = await evidence();
  const answer = await fleet.caller.call(path, { method: 'POST', body, ...(token === undefined ? {} : { token }) });
  expect({ status: answer.status, body: answer.body }).toMatchObject({ status, body: { status, code } });
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(answer.body.detail).toContain(says);
  expect(await fleet.admin.rows('SELECT id FROM ops.open_runs UNION ALL SELECT id FROM ops.runs')).toEqual([]);
  expect(await evidence()).toBe(before + 1);
  return answer.body;
}

interface HttpBody {
  readonly errors?: readonly { readonly pointer: string; readonly code: string }[];
}

/** Refusals on record: of known callers in the audit log, of others counted by address and minute. */
async function evidence(): Promise<number> {
  const [row] = await fleet.admin.rows<{ n: number }>(
    `SELECT ((SELECT count(*) FROM ops.audit_log WHERE action = 'request.refused' AND actor <> 'platform' AND details ? 'requestId')
       + (SELECT coalesce(sum(count), 0) FROM ops.refusals))::int AS n`,
  );
  return row?.n ?? -1;
}

const SCORES = '/v1/jobs/gym.commitment-scores/runs';

test('an unknown job is 404 and names the one that was meant', async () => {
  const says = "Did you mean 'gym.commitment-scores'?";
  await expectRefused({ path: '/v1/jobs/gym.comitment-scores/runs', body: {}, status: 404, code: 'unknown-job', says });
});

test('an unknown tenant is 404', async () => {
  await expectRefused({ path: SCORES, body: { tenant: 'nowhere' }, status: 404, code: 'unknown-tenant' });
});

test('wrong types and unknown fields are 422, each named', async () => {
  const body = { tenant: gym.slug, priority: 'URGENT', colour: 'red', options: { batchSize: 'many', depth: 1 } };
  const { errors = [] } = await expectRefused({ path: SCORES, body, status: 422, code: 'invalid-input' });
  const pointers = errors.map((error) => error.pointer).sort();
  expect(pointers).toEqual(['/colour', '/options/batchSize', '/options/depth', '/priority']);
});

test("the job's own input is checked as well", async () => {
  const body = { input: { workMs: -1, shout: true } };
  const { errors = [] } = await expectRefused({
    path: '/v1/jobs/ops.canary/runs',
    body,
    status: 422,
    code: 'invalid-input',
  });
  expect(errors.map((error) => error.pointer).sort()).toEqual([
    expect.stringMatching(/shout$/),
    expect.stringMatching(/workMs$/),
  ]);
});

test('a body over 1 MB is 413, malformed JSON 400', async () => {
  const large = { tenant: gym.slug, input: { pad: 'x'.repeat(1_048_577) } };
  await expectRefused({ path: SCORES, body: large, status: 413, code: 'body-too-large' });
  await expectRefused({ path: SCORES, body: '{"tenant":', status: 400, code: 'malformed-json' });
});

test('no token, a wrong one, one of another secret: 401', async () => {
  const body = { tenant: gym.slug };
  for (const token of [null, 'nonsense', foreignToken()]) {
    await expectRefused({ path: SCORES, body, token, status: 401, code: 'unauthorized' });
  }
  await expectRefused({ path: '/api/cron/commitment-scores', token: 'wrong', status: 401, code: 'unauthorized' });
});

function foreignToken(): string {
  const [header, claims] = fleet.caller.token({ sub: 'x', role: 'admin' }).split('.');
  return `${header}.${claims}.${Buffer.alloc(32).toString('base64url')}`;
}

test('a role that may not: 403; the platform job is not for a tenant; another tenant does not exist', async () => {
  const viewer = fleet.caller.token({ sub: 'v', role: 'viewer' });
  await expectRefused({ path: SCORES, body: { tenant: gym.slug }, token: viewer, status: 403, code: 'forbidden' });
  const bound = fleet.caller.token({ sub: 'o', role: 'admin', tenant: gym.id });
  await expectRefused({ path: '/v1/jobs/ops.canary/runs', body: {}, token: bound, status: 403, code: 'forbidden' });
  const other = fleet.gyms.find((one) => one.id !== gym.id)?.slug;
  const answer = await fleet.caller.call(SCORES, { method: 'POST', body: { tenant: other }, token: bound });
  expect([403, 404]).toContain(answer.status);
  expect(await fleet.admin.rows('SELECT id FROM ops.open_runs')).toEqual([]);
});
