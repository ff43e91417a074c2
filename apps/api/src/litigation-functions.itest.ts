import { type DefinedJob, defineJob } from '@nightshift/engine';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { FUNCTIONS_API_KEY, type TestApi, testApi } from './testing/test-api.ts';

const PATH = '/functions/v1/check-sla-and-overdue';
const key = { bearer: FUNCTIONS_API_KEY };

/** Two findings a run and a follow-up run with two more; for the firm `ruined` it fails, for `cracked` one item does. */
const tiny = defineJob({
  kind: 'sweep',
  name: 'litigation.check-sla-and-overdue',
  title: 'tiny',
  description: 'Under the name of the real one; its rules are tested beside it.',
  scope: 'tenant',
  priority: 'CRITICAL',
  retry: { retries: 0 },
  typicalMs: 1_000,
  maxMs: 10_000,
  input: z.strictObject({ rest: z.boolean().default(false) }),
  options: { batchSize: 10, batchDelayMs: 0 },
  items: async (ctx, after) => {
    if (after !== null) return [];
    if (!ctx.input.rest) await ctx.followUp({ input: { rest: true } });
    return ['a', 'b'];
  },
  key: (item: string) => item,
  process: async (ctx, items) => {
    const slug = ctx.tenants[0]?.slug ?? '';
    if (slug === 'ruined' || (slug === 'cracked' && items.includes('b'))) throw new Error('the case is sealed');
    return { changed: items.length, tally: { found: items.length } };
  },
  summarize: ({ tally }) => ({ overdueTasks: tally.found ?? 0, slaViolations: 0, rulesTriggered: 1 }),
}) as unknown as DefinedJob;

const others = [
  'send-hearing-reminders',
  'analytics-snapshot',
  'check-upcoming-deadlines',
  'automation-health-check',
].map(
  (name) =>
    defineJob({
      kind: 'task',
      name: `litigation.${name}`,
      title: name,
      description: 'Answers what the health check would.',
      scope: 'tenant',
      priority: 'MEDIUM',
      typicalMs: 1_000,
      maxMs: 10_000,
      input: z.strictObject({}),
      run: async () => ({
        total_executions: 10,
        successful_executions: 9,
        failed_executions: 1,
        inactive_rules: ['Silent'],
      }),
    }) as unknown as DefinedJob,
);

describe('with workers', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi({ jobs: [tiny, ...others], workers: 1 });
    for (const slug of ['sharma', 'cracked']) await api.store.addTenant('litigation', slug);
  });
  afterAll(() => api.close());

  test('answers in the seed’s shape with sums over firms and follow-up runs; item errors alone stay success', async () => {
    const reply = await api.call('POST', PATH, { ...key, body: 'anything', headers: { 'Content-Type': 'text/html' } });
    expect({ status: reply.status, body: reply.body }).toEqual({
      status: 200,
      body: {
        success: true,
        job: 'check-sla-and-overdue',
        executedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        // Two runs a firm: four and two findings.
        results: { overdueTasks: 6, slaViolations: 0, rulesTriggered: 4 },
        executionTime: expect.stringMatching(/^\d+\.\ds$/),
      },
    });
    expect(reply.headers.get('access-control-allow-origin')).toBe('*');
    expect(reply.headers.get('access-control-allow-credentials')).toBeNull();
  });

  test('the health check has the seed’s metrics, over all firms', async () => {
    const { body } = await api.call('POST', '/functions/v1/automation-health-check', key);
    expect(body.results).toEqual({
      total_executions: 20,
      successful_executions: 18,
      failed_executions: 2,
      success_rate: 0.9,
      inactive_rules: ['Silent', 'Silent'],
      degraded_rules: [],
    });
  });

  test('a failed run is 500 in the seed’s other shape, and names the firm', async () => {
    const ruined = await api.store.addTenant('litigation', 'ruined');
    try {
      const { status, body } = await api.call('POST', PATH, key);
      expect([status, body]).toEqual([
        500,
        {
          success: false,
          job: 'check-sla-and-overdue',
          error: expect.stringMatching(/^\d of \d runs failed$/),
          errorDetails: expect.stringContaining('ruined: every item of the first batch'),
          executedAt: expect.any(String),
        },
      ]);
    } finally {
      await api.store.admin.query('UPDATE ops.tenants SET system = $2 WHERE id = $1', [ruined, 'closed']);
    }
  });
});

describe('without workers', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await testApi({ jobs: [tiny, ...others], env: { FUNCTIONS_ALLOW_ORIGIN: 'https://app.example.org' } });
    await api.store.addTenant('litigation', 'sharma');
  });
  afterAll(() => api.close());

  test.each([
    ['none', { as: null }],
    ['a wrong one', { bearer: 'no' }],
    ['one of the same length', { bearer: FUNCTIONS_API_KEY.replace(/.$/, '!') }],
  ])(
    'a key that is %s is 401 with the text Unauthorized, starts nothing and leaves evidence',
    async (_name, options) => {
      const reply = await api.call('POST', PATH, options);
      expect([reply.status, reply.text]).toEqual([401, 'Unauthorized']);
      expect(reply.headers.get('access-control-allow-origin')).toBe('https://app.example.org');
      const { rows } = await api.store.admin.query(
        'SELECT (SELECT count(*)::int FROM ops.open_runs) AS runs, (SELECT sum(count)::int FROM ops.refusals) AS refusals',
      );
      expect(rows[0].runs).toBe(0);
      expect(rows[0].refusals).toBeGreaterThan(0);
    },
  );

  test('OPTIONS needs no key', async () => {
    const reply = await api.call('OPTIONS', PATH, { as: null });
    expect([reply.status, reply.text]).toEqual([200, '']);
    expect(reply.headers.get('access-control-allow-headers')).toBe(
      'authorization, x-client-info, apikey, content-type',
    );
  });

  test('another method is 405; a body over 1 MB is 413', async () => {
    expect((await api.call('GET', PATH, key)).status).toBe(405);
    expect((await api.call('POST', PATH, { ...key, body: 'x'.repeat(1_048_577) })).status).toBe(413);
  });

  test('with an Idempotency-Key the same body is the same runs, another one is 422 in the seed’s shape', async () => {
    const call = (body: string) =>
      api.call('POST', `${PATH}?wait=0`, { ...key, body, headers: { 'Idempotency-Key': 'once' } });
    const first = await call('{"a":1}');
    expect(first.status).toBe(202);
    const [{ runId }] = first.body.results.tenants;
    await api.producer.cancel(runId, 'ada', null);
    const again = await call('{"a":1}');
    expect(again.headers.get('x-nightshift-trigger')).toBe(first.headers.get('x-nightshift-trigger'));
    expect(again.text).toContain(runId);
    const other = await call('{"a":2}');
    expect([other.status, other.body]).toMatchObject([422, { success: false, job: 'check-sla-and-overdue' }]);
    expect(other.body.errorDetails).toContain('was used with another body');
  });

  test('a key that is none is 400 and starts nothing', async () => {
    const count = async () => (await api.store.admin.query('SELECT FROM ops.run_view')).rowCount;
    const before = await count();
    const reply = await api.call('POST', PATH, { ...key, headers: { 'Idempotency-Key': 'a b' } });
    expect([reply.status, reply.body]).toMatchObject([400, { success: false }]);
    expect(reply.body.errorDetails).toContain('Idempotency-Key');
    expect(await count()).toBe(before);
  });

  test('past the wait it is 202 with addresses of the runs', async () => {
    const reply = await api.call('POST', `${PATH}?wait=0`, key);
    expect(reply.status).toBe(202);
    expect(reply.body.results.tenants).toEqual([
      { tenant: 'sharma', runId: expect.any(String), status: 'queued', url: expect.stringContaining('/v1/runs/') },
    ]);
  });
});

test('LOVABLE_API_KEY is another name for the key; FUNCTIONS_API_KEY comes first', async () => {
  const deps = { LOVABLE_API_KEY: 'the-old-name-of-the-key' };
  const api = await testApi({ jobs: [tiny, ...others], env: deps });
  try {
    expect((await api.call('POST', `${PATH}?wait=0`, { bearer: deps.LOVABLE_API_KEY })).status).toBe(401);
    expect((await api.call('POST', `${PATH}?wait=0`, key)).status).toBe(200);
  } finally {
    await api.close();
  }
  const alone = await testApi({ jobs: [tiny, ...others], env: deps, functionsKey: false });
  try {
    expect((await alone.call('POST', `${PATH}?wait=0`, { bearer: deps.LOVABLE_API_KEY })).status).toBe(200);
  } finally {
    await alone.close();
  }
});
