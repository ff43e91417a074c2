import { dispatchByHand } from '@nightshift/engine/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rawRequest } from './testing/raw-request.ts';
import { type CallOptions, CRON_SECRET, type Reply, type TestApi, testApi } from './testing/test-api.ts';

const PATH = '/api/cron/commitment-scores';
const cron = { bearer: CRON_SECRET };

async function openRuns(api: TestApi): Promise<number> {
  const { rows } = await api.store.admin.query<{ n: number }>('SELECT count(*)::int AS n FROM ops.open_runs');
  return rows[0]?.n ?? -1;
}

describe('with workers', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi({ workers: 1 });
    await api.store.addTenant('gym', 'iron-works');
    await api.store.addTenant('gym', 'harbour-fit');
  });
  afterAll(() => api.close());

  test.each<[string, Record<string, number>]>([
    ['commitment-scores', { membersProcessed: 8, membersUpdated: 8 }],
    ['at-risk-detection', { membersProcessed: 8, membersUpdated: 8 }],
    ['coach-actions', { coachesProcessed: 8, actionsCreated: 8 }],
  ])('%s answers with the sums over the gyms', async (name, sums) => {
    const reply = await api.call('POST', `/api/cron/${name}`, cron);
    expect({ status: reply.status, text: reply.text }).toMatchObject({ status: 200 });
    expect(reply.body).toEqual({
      success: true,
      job: `gym.${name}`,
      ...sums,
      errors: [],
      totalErrors: 0,
      duration: expect.any(Number),
      tenants: [
        { tenant: 'harbour-fit', runId: expect.any(String), status: 'completed' },
        { tenant: 'iron-works', runId: expect.any(String), status: 'completed' },
      ],
    });
  });

  test.each<[string, object]>([
    ['a form', { body: 'a=1&a=2', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }],
    ['no JSON', { body: '{"a":', headers: { 'Content-Type': 'application/json' } }],
    ['unknown fields', { json: { anything: { goes: true } } }],
    ['an encoding of its own', { body: 'x', headers: { 'Content-Encoding': 'snappy', 'Content-Type': 'image/png' } }],
    ['another site’s Origin', { headers: { Origin: 'https://cron.example' } }],
  ])('takes %s', async (_name, options) => {
    expect((await api.call('POST', PATH, { ...cron, ...options })).status).toBe(200);
  });

  test('failed items are listed with their gym and leave success true', async () => {
    const cracked = await api.store.addTenant('gym', 'cracked');
    try {
      const { status, body } = await api.call('POST', PATH, cron);
      expect([status, body.success, body.totalErrors]).toEqual([200, true, 1]);
      expect(body).toMatchObject({ membersProcessed: 12, membersUpdated: 11 });
      expect(body.errors).toEqual([{ tenant: 'cracked', item: 'm3', error: 'the item is broken' }]);
      expect(body.tenants).toContainEqual({
        tenant: 'cracked',
        runId: expect.any(String),
        status: 'completed_with_item_errors',
      });
    } finally {
      await api.store.admin.query('UPDATE ops.tenants SET system = $2 WHERE id = $1', [cracked, 'closed']);
    }
  });

  test('a gym whose run failed is named, and the answer is 500', async () => {
    const ruined = await api.store.addTenant('gym', 'ruined');
    try {
      const { status, body } = await api.call('POST', PATH, cron);
      expect([status, body.success]).toEqual([500, false]);
      expect(body.tenants).toContainEqual({ tenant: 'ruined', runId: expect.any(String), status: 'failed' });
      expect(body.errors).toContainEqual(expect.objectContaining({ tenant: 'ruined', item: null }));
    } finally {
      await api.store.admin.query('UPDATE ops.tenants SET system = $2 WHERE id = $1', [ruined, 'closed']);
    }
  });

  test('in development a GET from this machine needs no secret, a POST does', async () => {
    expect((await api.call('GET', PATH, { as: null })).status).toBe(200);
    expect((await api.call('POST', PATH, { as: null })).status).toBe(401);
  });

  test.each([
    ['through a proxy', { 'X-Forwarded-For': '203.0.113.7' }],
    ['for another host', { Host: 'evil.tld' }],
    ['from a page of another site', { 'Sec-Fetch-Site': 'cross-site' }],
  ])('a GET %s needs it', async (_name, headers) => {
    const lines = Object.entries({ Host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    expect(await rawRequest(api.url, `GET ${PATH} HTTP/1.1\r\n${lines.join('')}\r\n`)).toMatch(/^HTTP\/1.1 401 /);
  });
});

describe('without workers', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi();
    await api.store.addTenant('gym', 'iron-works');
  });
  afterAll(() => api.close());

  test.each([
    ['none', { as: null }],
    ['one of the same length', { bearer: CRON_SECRET.replace(/.$/, '!') }],
    ['a shorter one', { bearer: CRON_SECRET.slice(0, 5) }],
    ['a long one', { bearer: 'x'.repeat(10_000) }],
  ])('a wrong secret is 401 and starts nothing: %s', async (_name, options) => {
    const reply = await api.call('POST', PATH, options);
    expect([reply.status, reply.headers.get('content-type')]).toEqual([401, 'application/problem+json; charset=utf-8']);
    expect(await openRuns(api)).toBe(0);
  });

  test('a body over 1 MB is 413 and starts nothing', async () => {
    const reply = await api.call('POST', PATH, { ...cron, body: 'x'.repeat(1_048_577) });
    expect([reply.status, reply.body.code]).toEqual([413, 'body-too-large']);
    expect(await openRuns(api)).toBe(0);
  });

  test('other methods are 405', async () => {
    const reply = await api.call('PUT', PATH, cron);
    expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'POST, GET']);
  });

  test('when the time is up: 202 with the addresses, and the next call joins the same runs', async () => {
    const [first, second] = [
      await api.call('POST', `${PATH}?wait=0`, cron),
      await api.call('POST', `${PATH}?wait=1`, cron),
    ];
    expect([first.status, second.status]).toEqual([202, 202]);
    const [run] = first.body.tenants;
    expect(run).toMatchObject({ tenant: 'iron-works', url: `/v1/runs/${run.runId}` });
    expect(second.body.tenants).toEqual(first.body.tenants);
    expect(await openRuns(api)).toBe(1);
  });

  test('what has not ended when the time is up is told as it stands', async () => {
    const { body } = await api.call('POST', `${PATH}?wait=0`, cron);
    const [{ runId, status }] = body.tenants;
    expect(status).toBe('queued');
    await dispatchByHand(api.store.admin, [runId]);
    const other = await api.store.addTenant('gym', 'harbour-fit');
    try {
      expect((await api.call('POST', `${PATH}?wait=0`, cron)).body.tenants).toMatchObject([
        { tenant: 'harbour-fit', status: 'queued' },
        { tenant: 'iron-works', runId, status: 'dispatched' },
      ]);
    } finally {
      await api.store.admin.query('UPDATE ops.tenants SET system = $2 WHERE id = $1', [other, 'closed']);
    }
  });

  describe('with an Idempotency-Key', () => {
    const AT_RISK = '/api/cron/at-risk-detection?wait=0';
    const call = (key: string, more: CallOptions = {}, path = AT_RISK) =>
      api.call('POST', path, { ...cron, ...more, headers: { ...more.headers, 'Idempotency-Key': key } });
    const runIds = (reply: Reply): string[] => reply.body.tenants.map((one: { runId: string }) => one.runId);

    test('the same key and body is the same runs, after they have ended as well', async () => {
      const first = await call('k-1', { body: 'a=1' });
      expect(first.status).toBe(202);
      for (const id of runIds(first)) await api.producer.cancel(id, 'ada', null);
      const again = await call('k-1', { body: 'a=1' });
      expect(again.body.triggerId ?? first.body.triggerId).toBe(first.body.triggerId);
      expect(runIds(again)).toEqual(runIds(first));
      const fresh = await call('k-2', { body: 'a=1' });
      expect(runIds(fresh)).not.toEqual(runIds(first));
    });

    test.each<[string, CallOptions, string?]>([
      ['another body', { body: 'a=2' }],
      ['no body', {}],
      ['the same fields in another order of bytes', { body: 'b=1&a=1' }],
      ['the same body on another path', { body: 'a=1&b=1' }, '/api/cron/coach-actions?wait=0'],
    ])('the same key with %s is 422', async (_what, more, path) => {
      expect((await call('k-3', { body: 'a=1&b=1' })).status).toBe(202);
      const before = await openRuns(api);
      const reply = await call('k-3', more, path);
      expect([reply.status, reply.body.code]).toEqual([422, 'idempotency-conflict']);
      expect(await openRuns(api)).toBe(before);
    });

    test.each(['x'.repeat(256), 'a b'])('a key that is none is 400 and starts nothing', async (key) => {
      const before = await openRuns(api);
      const reply = await call(key, {}, '/api/cron/coach-actions?wait=0');
      expect([reply.status, reply.body.code]).toEqual([400, 'invalid-idempotency-key']);
      expect(await openRuns(api)).toBe(before);
    });

    test('a GET has no body, and the same key is the same runs', async () => {
      const get = () => api.call('GET', AT_RISK, { as: null, headers: { 'Idempotency-Key': 'k-4' } });
      const [first, again] = [await get(), await get()];
      expect([first.status, runIds(again)]).toEqual([202, runIds(first)]);
    });
  });

  test('a caller that hangs up cancels nothing', async () => {
    const before = await openRuns(api);
    const controller = new AbortController();
    const call = fetch(`${api.url}/api/cron/coach-actions`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${CRON_SECRET}` },
      signal: controller.signal,
    }).catch((error: Error) => error.name);
    for (let open = before; open === before; open = await openRuns(api)) await new Promise(setImmediate);
    controller.abort();
    expect(await call).toBe('AbortError');
    // Whatever the hang-up sets in motion has been by the time another request is answered.
    await api.call('GET', '/readyz');
    const { rows } = await api.store.admin.query(
      `SELECT state::text, cancel_requested_at FROM ops.open_runs WHERE job = 'gym.coach-actions'`,
    );
    expect(rows).toEqual([{ state: 'queued', cancel_requested_at: null }]);
  });
});

describe('in production', () => {
  const production = { NODE_ENV: 'production', PUBLIC_URL: 'https://jobs.example.org' };

  test('a GET starts nothing, unless it is allowed, and then with the secret', async () => {
    const closed = await testApi({ env: production });
    const open = await testApi({ env: { ...production, GYM_CRON_ALLOW_GET: 'true' }, store: closed.store });
    try {
      const refused = await closed.call('GET', PATH, cron);
      expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'POST']);
      expect((await open.call('GET', PATH, { as: null })).status).toBe(401);
      expect((await open.call('GET', PATH, cron)).status).toBe(200);
    } finally {
      await open.close();
      await closed.close();
    }
  });
});
