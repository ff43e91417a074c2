import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { problemSchema } from './http/problem.ts';
import { rawRequest } from './testing/raw-request.ts';
import { type CallOptions, CRON_SECRET, type Reply, type TestApi, testApi, tokenFor } from './testing/test-api.ts';

let api: TestApi;
let tenantId: string;
beforeAll(async () => {
  api = await testApi();
  tenantId = await api.store.addTenant('gym', 'iron-works');
});
afterAll(() => api.close());

const START = '/v1/jobs/gym.greet/runs';
const good = { tenant: 'iron-works', input: { name: 'Ann' } };
const text = (body: string, type = 'application/json'): CallOptions => ({ body, headers: { 'Content-Type': type } });

async function openRuns(): Promise<number> {
  const { rows } = await api.store.admin.query<{ n: number }>('SELECT count(*)::int AS n FROM ops.open_runs');
  return rows[0]?.n ?? -1;
}

/** A problem document that says nothing of the inside, and nothing enqueued. */
function expectProblem(reply: Reply, status: number, code: string | RegExp): void {
  expect({ status: reply.status, text: reply.text.slice(0, 300) }).toMatchObject({ status });
  expect(reply.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  const problem = problemSchema.parse(reply.body);
  expect(problem.code).toMatch(code);
  expect(problem.requestId).toBe(reply.headers.get('x-request-id'));
  expect(reply.text).not.toMatch(/node_modules|\.ts:|SELECT|INSERT|127\.0\.0\.1:|at \w+ \(|hunter2/);
}

describe('bodies', () => {
  const gzip = (bytes: Uint8Array): CallOptions => ({
    body: gzipSync(bytes),
    headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
  });
  test.each<[string, CallOptions, number, string]>([
    ['truncated JSON', text('{"a":'), 400, 'malformed-json'],
    ['no body', {}, 422, 'invalid-input'],
    ['null', text('null'), 422, 'invalid-input'],
    ['a text', text('"x"'), 422, 'invalid-input'],
    ['a number', text('12'), 422, 'invalid-input'],
    ['a truth', text('true'), 422, 'invalid-input'],
    ['a list', text('[1]'), 422, 'invalid-input'],
    ['NaN', text('{"tenant":NaN}'), 400, 'malformed-json'],
    ['text/plain', text(JSON.stringify(good), 'text/plain'), 415, 'unsupported-media-type'],
    ['a form', text('tenant=iron-works', 'application/x-www-form-urlencoded'), 415, 'unsupported-media-type'],
    ['utf-7', text(JSON.stringify(good), 'application/json; charset=utf-7'), 415, 'unsupported-media-type'],
    [
      'snappy',
      { ...text('x'), headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'snappy' } },
      415,
      'unsupported-encoding',
    ],
    [
      'broken gzip',
      { body: 'no gzip', headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } },
      400,
      'malformed-request',
    ],
    ['over 1 MB', text(JSON.stringify({ ...good, pad: 'x'.repeat(1_048_576) })), 413, 'body-too-large'],
    ['a gzip bomb', gzip(Buffer.alloc(50_000_000, 0x20)), 413, 'body-too-large'],
    ['40,000 nested lists', text(`{"input":${'['.repeat(40_000)}${']'.repeat(40_000)}}`), 422, 'invalid-input'],
    [
      '100,000 keys',
      text(JSON.stringify({ input: Object.fromEntries(Array.from({ length: 99_999 }, (_, i) => [i, 0])) })),
      422,
      'invalid-input',
    ],
    ['a NUL', { json: { ...good, input: { name: 'a\0b' } } }, 422, 'invalid-input'],
    ['half a surrogate pair', text('{"tenant":"iron-works","input":{"name":"\\ud800"}}'), 422, 'invalid-input'],
  ])('%s', async (_name, options, status, code) => {
    const before = await openRuns();
    expectProblem(await api.call('POST', START, options), status, code);
    expect(await openRuns()).toBe(before);
  });

  test.each(['null', '"x"', '12', 'true'])('%s is told that it must be an object', async (body) => {
    const reply = await api.call('POST', START, text(body));
    expect(reply.body.errors).toEqual([{ pointer: '', code: 'invalid-type', detail: 'must be a JSON object' }]);
  });

  test('exactly 1 MB is read', async () => {
    const json = JSON.stringify(good);
    const reply = await api.call('POST', START, text(json + ' '.repeat(1_048_576 - json.length)));
    expect(reply.status).toBe(202);
  });

  test('gzip is read', async () => {
    expect((await api.call('POST', START, gzip(Buffer.from(JSON.stringify(good))))).status).toBe(202);
  });

  test('a prototype is not polluted', async () => {
    expectProblem(
      await api.call('POST', START, text('{"tenant":"iron-works","__proto__":{"polluted":1}}')),
      422,
      'invalid-input',
    );
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe('fields', () => {
  test.each<[string, object, string[]]>([
    [
      'unknown ones are each named',
      { ...good, tenantId: 'x', state: 'running', fence: 7, jobId: 'a:b' },
      ['/tenantId', '/state', '/fence', '/jobId'],
    ],
    ['unknown ones of the input', { ...good, input: { name: 'Ann', shout: true } }, ['/input/shout']],
    [
      'wrong types, everywhere at once',
      { tenant: 5, input: { times: 0, x: 1 }, priority: 'URGENT' },
      ['/tenant', '/priority', '/input/name', '/input/times', '/input/x'],
    ],
    ['wrong types of the input', { ...good, input: { name: 7, times: '3' } }, ['/input/name', '/input/times']],
    ['a missing tenant and a wrong input', { input: { name: 4 } }, ['/tenant', '/input/name']],
    ['missing input', { tenant: 'iron-works' }, ['/input/name']],
    [
      'numbers out of range',
      { ...good, options: { timeoutMs: -1, batchSize: 1.5, batchDelayMs: 1e18 } },
      ['/options/batchSize', '/options/batchDelayMs', '/options/timeoutMs'],
    ],
    ['a time that is none', { ...good, dueAt: 'tomorrow' }, ['/dueAt']],
    ['a time without a zone', { ...good, dueAt: '2027-01-01T00:00:00' }, ['/dueAt']],
    ['a time too far', { ...good, dueAt: '2999-01-01T00:00:00Z' }, ['/dueAt']],
    ['an integer that would be rounded', { ...good, input: { name: 'Ann', times: 2 ** 60 } }, ['/input/times']],
    ['a dry run of a request job', { ...good, options: { dryRun: true } }, ['/options/dryRun']],
  ])('%s', async (_name, json, pointers) => {
    const before = await openRuns();
    const reply = await api.call('POST', START, { json });
    expectProblem(reply, 422, 'invalid-input');
    expect(reply.body.errors.map((error: { pointer: string }) => error.pointer).sort()).toEqual([...pointers].sort());
    expect(await openRuns()).toBe(before);
  });

  test('an input over 64 kB', async () => {
    const reply = await api.call('POST', '/v1/jobs/ops.canary/runs', {
      as: { role: 'admin' },
      json: { input: { echo: 'x'.repeat(65_537) } },
    });
    expectProblem(reply, 422, 'invalid-input');
  });
});

describe('names and addresses', () => {
  test('an unknown job: 404 with the nearest name', async () => {
    const reply = await api.call('POST', '/v1/jobs/gym.comitment-scores/runs', { json: good });
    expectProblem(reply, 404, 'unknown-job');
    expect(reply.body.detail).toContain("Did you mean 'gym.commitment-scores'?");
    expectProblem(await api.call('GET', '/v1/jobs/nothing.like-it'), 404, 'unknown-job');
  });

  test('an unknown tenant', async () => {
    expectProblem(await api.call('POST', START, { json: { ...good, tenant: 'nowhere' } }), 404, 'unknown-tenant');
  });

  test.each([
    '/v1/runs/%E0%A4%A', '/v1/runs/%00', '/v1/runs/%0d%0a', '/v1/runs/..%2f..%2fetc', "/v1/runs/'%20OR%201=1--", '/v1/runs/17',
    '/v1/schedules/$ne', '/v1/runs?limit=1&limit=2', '/v1/runs?limit=-1', '/v1/runs?limit=1e9', '/v1/runs?limit=abc', '/v1/runs?limit=0',
    '/v1/runs?limit=201', '/v1/runs?cursor=abc', '/v1/runs?cursor=WyJ4Il0', '/v1/runs?status=done', '/v1/runs?sort=id;drop', '/v1/runs?since=yesterday',
    '/v1/audit?cursor=WyJub3ciLCIxIl0', '/v1/jobs?x=1',
  ])('%s is 400', async (path) => {
    expectProblem(await api.call('GET', path), 400, /^(invalid-parameter|malformed-request)$/);
  }); // biome-ignore format: a list of addresses

  test.each([
    ['/v1/runs?job=a%00b', '/job'],
    ['/v1/runs?tenant=%00', '/tenant'],
    ['/v1/runs?status=failed&cursor=%00', '/cursor'],
    ['/v1/runs/%00', '/id'],
    ['/v1/runs/%00/attempts', '/id'],
    ['/v1/jobs/gym.%00greet', '/job'],
    ['/v1/schedules?job=%00', '/job'],
    ['/v1/schedules/%00', '/id'],
    ['/v1/audit?actor=%00', '/actor'],
    ['/v1/alerts?job=%00', '/job'],
    ['/v1/tenants?system=%00', '/system'],
  ])('a NUL in %s is 400 and names %s', async (path, pointer) => {
    const reply = await api.call('GET', path, { as: { role: 'admin' } });
    expectProblem(reply, 400, 'invalid-parameter');
    expect(reply.body.errors.map((error: { pointer: string }) => error.pointer)).toEqual([pointer]);
  });

  test('a NUL in the name of a job to start is 400, and nothing is enqueued', async () => {
    const before = await openRuns();
    const reply = await api.call('POST', '/v1/jobs/gym.greet%00/runs', { json: good });
    expectProblem(reply, 400, 'invalid-parameter');
    expect(reply.body.errors).toMatchObject([{ pointer: '/job', code: 'unstorable-text' }]);
    expect(await openRuns()).toBe(before);
  });

  test('a filter that looks like SQL is a name like any other', async () => {
    const reply = await api.call(
      'GET',
      `/v1/runs?job=${encodeURIComponent("' OR 1=1--")}&tenant=${encodeURIComponent("x'; DROP TABLE ops.runs")}`,
    );
    expect([reply.status, reply.body.items]).toEqual([200, []]);
  });

  test.each<[string, string, number]>([
    ['GET', '/v1/nothing', 404],
    ['PUT', '/v1/runs', 405],
    ['DELETE', '/v1/jobs/gym.greet', 405],
    ['OPTIONS', '/v1/runs', 405],
    ['POST', '/healthz', 405],
    ['POST', '/docs', 405],
    ['GET', '/nothing', 404],
  ])('%s %s is %s', async (method, path, status) => {
    const reply = await api.call(method, path);
    expect(reply.status).toBe(status);
    if (status === 405) expect(reply.headers.get('allow')).toMatch(/GET|POST/);
    expect(reply.headers.get('access-control-allow-origin')).toBeNull();
    expect(reply.headers.get('x-powered-by')).toBeNull();
  });

  test.each(['x'.repeat(1_024), 'a b'])('an unusable Idempotency-Key is 400', async (key) => {
    expectProblem(
      await api.call('POST', START, { json: good, headers: { 'Idempotency-Key': key } }),
      400,
      'invalid-idempotency-key',
    );
  });

  test('an unusable wait is 400, and nothing is enqueued', async () => {
    const before = await openRuns();
    expectProblem(await api.call('POST', START, { json: good, headers: { Prefer: 'wait=soon' } }), 400, 'invalid-wait');
    expect(await openRuns()).toBe(before);
  });

  test.each(['null', 'https://evil.tld', 'http://127.0.0.1.evil.tld'])(
    'no other origin is let in: %s',
    async (origin) => {
      const reply = await api.call('GET', '/v1/jobs', { headers: { Origin: origin } });
      expect(reply.headers.get('access-control-allow-origin')).toBeNull();
    },
  );
});

describe('who asks', () => {
  const bearerless = (headers: Record<string, string>): CallOptions => ({ as: null, headers });
  test.each<[string, () => Promise<CallOptions>]>([
    ['no token', async () => bearerless({})],
    ['Basic', async () => bearerless({ Authorization: 'Basic YWRtaW46YWRtaW4=' })],
    ['an empty bearer', async () => bearerless({ Authorization: 'Bearer ' })],
    ['noise', async () => bearerless({ Authorization: 'Bearer hunter2' })],
    ['another secret', async () => ({ bearer: await tokenFor({}, 'another-secret-of-more-than-thirty-two-chars') })],
    ['the cron secret', async () => ({ bearer: CRON_SECRET })],
  ])('%s is 401', async (_name, options) => {
    const before = await openRuns();
    const reply = await api.call('POST', START, { ...(await options()), json: good });
    expectProblem(reply, 401, 'unauthorized');
    expect(reply.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(await openRuns()).toBe(before);
  });

  test('a token in the address is none', async () => {
    expectProblem(
      await api.call('GET', `/v1/runs?access_token=${await tokenFor()}`, { as: null }),
      401,
      'unauthorized',
    );
  });

  test('a wrong token is 401 before anything else is looked at', async () => {
    expectProblem(await api.call('POST', '/v1/jobs/nothing/runs', { as: null, body: '{"a":' }), 401, 'unauthorized');
    expectProblem(await api.call('GET', '/v1/nothing', { as: null }), 401, 'unauthorized');
  });

  test.each<[string, string, string]>([
    ['viewer', 'POST', START],
    ['viewer', 'POST', '/v1/runs/0192f1c0-0000-7000-8000-00000000000a/cancel'],
    ['service', 'POST', '/v1/runs/0192f1c0-0000-7000-8000-00000000000a/retry'],
    ['operator', 'PATCH', '/v1/schedules/0192f1c0-0000-7000-8000-00000000000a'],
    ['operator', 'POST', '/v1/jobs/ops.canary/runs'],
  ])('a %s may not %s %s', async (role, method, path) => {
    expectProblem(await api.call(method, path, { as: { role }, json: {} }), 403, 'forbidden');
  });

  test('a tenant’s admin may not start the platform’s jobs', async () => {
    const reply = await api.call('POST', '/v1/jobs/ops.canary/runs', {
      as: { role: 'admin', tenant: tenantId },
      json: {},
    });
    expectProblem(reply, 403, 'forbidden');
  });

  test('many wrong tokens are slowed down, right ones are not', async () => {
    const strict = await testApi({ store: api.store, limits: { perAddress: 3, together: 100, windowMs: 60_000 } });
    try {
      const statuses = [];
      for (let i = 0; i < 5; i++) statuses.push((await strict.call('GET', '/v1/jobs', { as: null })).status);
      expect(statuses).toEqual([401, 401, 401, 429, 429]);
      const refused = await strict.call('POST', '/api/cron/coach-actions', { bearer: 'wrong' });
      expectProblem(refused, 429, 'too-many-attempts');
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect((await strict.call('GET', '/v1/jobs')).status).toBe(200);
    } finally {
      await strict.close();
    }
  });
});

describe('evidence', () => {
  test('a known caller’s refusal stands in the audit log, under its name', async () => {
    const path = '/v1/jobs/gym.coach-action/runs';
    await api.call('POST', path, { as: { sub: 'mallory' }, json: good });
    await api.call('POST', path, { as: { sub: 'mallory', role: 'viewer' }, json: good });
    expect(await api.refusals(path)).toEqual([
      { actor: 'mallory', status: 404, code: 'unknown-job' },
      { actor: 'mallory', status: 403, code: 'forbidden' },
    ]);
  });

  test('a tenant’s caller’s refusal belongs to its tenant', async () => {
    await api.call('GET', '/v1/runs/17', { as: { tenant: tenantId, sub: 'eve' } });
    const { rows } = await api.store.admin.query(
      `SELECT tenant_id FROM ops.audit_log WHERE actor = 'eve' AND action = 'request.refused'`,
    );
    expect(rows).toEqual([{ tenant_id: tenantId }]);
  });

  test('unknown callers’ refusals are counted by address and minute', async () => {
    const total = async () =>
      (await api.store.admin.query<{ n: number }>('SELECT coalesce(sum(count), 0)::int AS n FROM ops.refusals')).rows[0]
        ?.n ?? 0;
    const before = await total();
    await api.call('GET', '/v1/runs', { as: null });
    await api.call('POST', START, { bearer: 'wrong', json: good });
    await api.call('GET', '/no/such/path', { as: null });
    await api.call('POST', '/api/cron/commitment-scores', { bearer: 'wrong' });
    expect((await total()) - before).toBe(4);
    const rows = (await api.store.admin.query('SELECT DISTINCT address FROM ops.refusals')).rows;
    expect(rows).toHaveLength(1);
  });
});

describe('what is no HTTP', () => {
  const post = (headers: string, body = '') => `POST /v1/jobs HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n${body}`;
  test.each([
    ['length and chunks', post('Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400],
    ['two lengths', post('Content-Length: 1\r\nContent-Length: 2', 'ab'), 400],
    ['a negative length', post('Content-Length: -1'), 400],
    ['chunked, identity', post('Transfer-Encoding: chunked, identity'), 400],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 400],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n', 400],
    ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n', 400],
    ['20 kB of header', `GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['20 kB of address', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: x\r\n\r\n', 405],
    ['an unknown method', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    [
      'two Authorization headers',
      'GET /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n',
      401,
    ],
  ])('%s', async (_name, bytes, status) => {
    expect(await rawRequest(api.url, bytes)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });
});

test('after all of that the next good request is accepted', async () => {
  const reply = await api.call('POST', START, { json: good });
  expect(reply.status).toBe(202);
  expect(reply.body).toEqual({
    id: expect.any(String),
    status: 'queued',
    url: `/v1/runs/${reply.body.id}`,
    joined: false,
  });
  expect(reply.headers.get('location')).toBe(reply.body.url);
});
