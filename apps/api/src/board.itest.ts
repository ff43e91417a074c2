import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BOARD_PASSWORD, type CallOptions, type Reply, type TestApi, testApi, tokenFor } from './testing/test-api.ts';

let api: TestApi;
let harbour: string;
let run: { id: string };
beforeAll(async () => {
  api = await testApi({ workers: 1 });
  harbour = await api.store.addTenant('gym', 'harbour-fit');
  await api.store.addTenant('gym', 'cracked');
  const reply = await api.call('POST', '/v1/jobs/gym.commitment-scores/runs', {
    json: { tenant: 'cracked' },
    headers: { Prefer: 'wait=20' },
  });
  run = reply.body;
});
afterAll(() => api.close());

const HTML = { Accept: 'text/html' };
const form = (fields: Record<string, string>, headers: Record<string, string> = {}): CallOptions => ({
  as: null,
  body: new URLSearchParams(fields).toString(),
  headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
});
const right = { user: 'admin', password: BOARD_PASSWORD };

function cookieOf(reply: Reply): string {
  return (reply.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}

async function session(): Promise<CallOptions> {
  return { as: null, headers: { Cookie: cookieOf(await api.call('POST', '/admin/sign-in', form(right))) } };
}

async function audited(action: string): Promise<string[]> {
  const { rows } = await api.store.admin.query<{ actor: string }>(
    'SELECT actor FROM ops.audit_log WHERE action = $1 ORDER BY seq',
    [action],
  );
  return rows.map((row) => row.actor);
}

describe('the sign-in', () => {
  test('stands before everything, as 401', async () => {
    for (const path of ['/admin/queues', `/admin/runs/${run.id}`, '/admin/queues/queue/gym-long']) {
      const reply = await api.call('GET', path, { as: null, headers: HTML });
      expect([path, reply.status]).toEqual([path, 401]);
      expect(reply.text).toContain('<form method="post" action="/admin/sign-in">');
      expect(reply.text).not.toContain('cracked');
    }
    const data = await api.call('GET', '/admin/queues/api/queues', { as: null });
    expect([data.status, data.headers.get('content-type')]).toEqual([401, 'application/problem+json; charset=utf-8']);
    expect((await api.call('GET', '/admin/queues/static/js/main.js', { as: null })).status).toBe(401);
  });

  test('lets a person in with the password, for eight hours, by a cookie that scripts and other sites cannot use', async () => {
    const reply = await api.call('POST', '/admin/sign-in', form({ ...right, next: `/admin/runs/${run.id}` }));
    expect([reply.status, reply.headers.get('location')]).toEqual([303, `/admin/runs/${run.id}`]);
    expect(reply.headers.get('set-cookie')).toMatch(
      /^ns_session=\S+; Max-Age=28800; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
    );
    expect(await audited('board.signed_in')).toContain('board:admin');
  });

  test('lets a person in with a platform token, under that person’s name', async () => {
    const reply = await api.call(
      'POST',
      '/admin/sign-in',
      form({ token: await tokenFor({ role: 'viewer', sub: 'vera' }) }),
    );
    expect(reply.status).toBe(303);
    const page = await api.call('GET', `/admin/runs/${run.id}`, {
      as: null,
      headers: { ...HTML, Cookie: cookieOf(reply) },
    });
    expect(page.text).toContain('vera');
    expect(await audited('board.signed_in')).toContain('vera');
  });

  test.each<[string, () => Promise<Record<string, string>>]>([
    ['a wrong password', async () => ({ user: 'admin', password: 'wrong' })],
    ['another user', async () => ({ ...right, user: 'root' })],
    ['nothing', async () => ({})],
    ['a wrong token', async () => ({ token: await tokenFor({}, 'another-secret-of-more-than-thirty-two-chars') })],
  ])('%s does not', async (_name, fields) => {
    const reply = await api.call('POST', '/admin/sign-in', form(await fields()));
    expect([reply.status, reply.headers.get('set-cookie')]).toEqual([401, null]);
    expect(reply.text).toContain('is not right');
  });

  test('failures are counted by address', async () => {
    const total = async () =>
      (await api.store.admin.query(`SELECT coalesce(sum(count), 0)::int AS n FROM ops.refusals`)).rows[0].n;
    const before = await total();
    await api.call('POST', '/admin/sign-in', form({ user: 'admin', password: 'wrong' }));
    expect(await total()).toBe(before + 1);
  });

  test('many failures are slowed down', async () => {
    const strict = await testApi({ store: api.store, limits: { perAddress: 2, together: 100, windowMs: 60_000 } });
    try {
      const statuses = [];
      for (let i = 0; i < 4; i++)
        statuses.push((await strict.call('POST', '/admin/sign-in', form({ password: 'x' }))).status);
      expect(statuses).toEqual([401, 401, 429, 429]);
    } finally {
      await strict.close();
    }
  });

  test('a tenant’s token is 403: the board shows all tenants', async () => {
    const bound = { tenant: harbour, role: 'admin' };
    expect((await api.call('POST', '/admin/sign-in', form({ token: await tokenFor(bound) }))).status).toBe(403);
    expect((await api.call('GET', '/admin/queues/api/queues', { as: bound })).status).toBe(403);
  });

  test('leads back into the board alone', async () => {
    for (const next of [
      'https://evil.tld/',
      '//evil.tld',
      '/v1/runs',
      '/admin/../v1',
      '/admin/sign-out',
      '/admin/queues//x',
      'javascript:1',
    ]) {
      const reply = await api.call('POST', '/admin/sign-in', form({ ...right, next }));
      expect([next, reply.headers.get('location')]).toEqual([next, '/admin/queues']);
    }
  });

  test('a session is no API token, an API token no session, and a changed one is nothing', async () => {
    const cookie = cookieOf(await api.call('POST', '/admin/sign-in', form(right)));
    const token = cookie.split('=')[1] ?? '';
    expect((await api.call('GET', '/v1/runs', { bearer: token })).status).toBe(401);
    for (const forged of [await tokenFor({ role: 'admin' }), `${token.slice(0, -2)}xx`, '']) {
      const reply = await api.call('GET', '/admin/queues/api/queues', {
        as: null,
        headers: { Cookie: `ns_session=${forged}` },
      });
      expect(reply.status).toBe(401);
    }
  });

  test('the way out ends the session', async () => {
    const reply = await api.call('POST', '/admin/sign-out', await session());
    expect([reply.status, reply.headers.get('location')]).toEqual([303, '/admin/sign-in']);
    expect(reply.headers.get('set-cookie')).toMatch(/^ns_session=; .*Expires=Thu, 01 Jan 1970/);
    expect(await audited('board.signed_out')).toContain('board:admin');
  });

  test('over https the cookie is bound to the host', async () => {
    const secure = await testApi({ store: api.store, env: { PUBLIC_URL: 'https://jobs.example.org' } });
    try {
      const reply = await secure.call('POST', '/admin/sign-in', form(right));
      expect(reply.headers.get('set-cookie')).toMatch(/^__Host-ns_session=\S+;.* Secure/);
      expect(reply.headers.get('strict-transport-security')).toMatch(/max-age/);
    } finally {
      await secure.close();
    }
  });
});

describe('requests of other sites', () => {
  test.each([
    ['a form', 'POST', '/admin/sign-in', { 'Sec-Fetch-Site': 'cross-site' }],
    ['a form of an old browser', 'POST', '/admin/sign-out', { Origin: 'https://evil.tld' }],
    ['a script', 'PUT', '/admin/queues/api/queues/gym/pause', { 'Sec-Fetch-Site': 'cross-site' }],
    [
      'a read by a script',
      'GET',
      '/admin/queues/api/queues',
      { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'cors' },
    ],
  ])('%s is 403', async (_name, method, path, headers) => {
    const { headers: cookie } = await session();
    const reply = await api.call(method, path, { as: null, headers: { ...cookie, ...headers } });
    expect([reply.status, reply.body.code]).toEqual([403, 'cross-site']);
  });
});

describe('the board', () => {
  test('shows the queues with their jobs, each linked to its run', async () => {
    const reply = await api.call(
      'GET',
      '/admin/queues/api/queues?activeQueue=gym-long&status=completed&page=1',
      await session(),
    );
    expect(reply.status).toBe(200);
    const names = reply.body.queues.map((queue: { name: string }) => queue.name);
    expect(names).toEqual(['gym', 'gym-long', 'ops', 'schedules']);
    const [, long] = reply.body.queues;
    expect(long).toMatchObject({ readOnlyMode: true, allowRetries: false });
    expect(long.jobs).toMatchObject([
      {
        name: 'gym.commitment-scores',
        data: { runs: [run.id], tenant: 'cracked' },
        externalUrl: { href: `/admin/runs/${run.id}` },
      },
    ]);
    expect(JSON.stringify(long.jobs)).not.toMatch(/m3|broken|\.ts:/);
  });

  test('answers with a platform token as well', async () => {
    expect((await api.call('GET', '/admin/queues/api/queues', { as: { role: 'viewer' } })).status).toBe(200);
  });

  test('comes from this origin alone, and scripts of nowhere else run', async () => {
    const reply = await api.call('GET', '/admin/queues', { as: { role: 'viewer' }, headers: HTML });
    expect(reply.status).toBe(200);
    expect(reply.text).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(reply.headers.get('content-security-policy')).toMatch(/default-src 'none';script-src 'self';/);
    expect(reply.headers.get('x-powered-by')).toBeNull();
    expect(reply.headers.get('cache-control')).toBe('no-store');
    for (const [, file] of reply.text.matchAll(/(?:src|href)="(static\/[^"]+)"/g)) {
      expect((await api.call('GET', `/admin/queues/${file}`, { as: { role: 'viewer' } })).status).toBe(200);
    }
  });

  test.each([
    ['POST', 'gym/add'], ['PUT', 'gym/pause'], ['PUT', 'gym/clean/completed'], ['PUT', 'gym/empty'], ['PUT', 'gym/obliterate'],
    ['PATCH', 'gym/x/update-data'], ['DELETE', 'gym'],
  ])('changes nothing: %s %s is 405', async (method, path) => {
    const reply = await api.call(method, `/admin/queues/api/queues/${path}`, { as: { role: 'admin' }, json: {} });
    expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'GET']);
  }); // biome-ignore format: a list of addresses

  test.each([
    ['/api/queues?page=-1', [400]],
    ['/api/queues?activeQueue=gym&status=latest&page=1&jobsPerPage=100000', [400, 200]],
    ['/api/redis/stats', [403]],
    ['/api/queues/gym/workers', [403]],
    ['/api/queues/hidden/metrics', [404]],
    ['/api/queues/gym/no-such-job', [404]],
  ])('%s is %j', async (path, statuses) => {
    const reply = await api.call('GET', `/admin/queues${path}`, { as: { role: 'viewer' } });
    expect(statuses).toContain(reply.status);
  });
});

describe('the page of a run', () => {
  test('tells what happened', async () => {
    const reply = await api.call('GET', `/admin/runs/${run.id}`, await session());
    expect([reply.status, reply.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    for (const word of [
      run.id,
      'gym.commitment-scores',
      'cracked',
      'completed with item errors',
      'm3',
      'the item is broken',
      'run.accepted',
    ]) {
      expect(reply.text).toContain(word);
    }
  });

  test('of no run is 404, of no id 400', async () => {
    expect((await api.call('GET', '/admin/runs/0192f1c0-0000-7000-8000-00000000000a', await session())).status).toBe(
      404,
    );
    expect((await api.call('GET', '/admin/runs/x', await session())).status).toBe(400);
  });

  test('of a bundle lists its runs', async () => {
    const ids = (
      await api.call('GET', '/admin/queues/api/queues?activeQueue=gym-long&status=completed&page=1', await session())
    ).body;
    const [job] = ids.queues.find((queue: { name: string }) => queue.name === 'gym-long').jobs;
    const reply = await api.call('GET', `/admin/bundles/gym-long/${job.id}`, await session());
    expect(reply.text).toContain(`href="/admin/runs/${run.id}"`);
    expect((await api.call('GET', '/admin/bundles/gym-long/gone', await session())).status).toBe(404);
    expect((await api.call('GET', '/admin/bundles/nowhere/x', await session())).status).toBe(404);
  });
});
