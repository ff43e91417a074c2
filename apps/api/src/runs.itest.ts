import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import * as schemas from './routes/schemas.ts';
import { type Claims, type TestApi, testApi, unknownId } from './testing/test-api.ts';

let api: TestApi;
let ironWorks: string;
let harbour: string;
beforeAll(async () => {
  api = await testApi({ workers: 1 });
  ironWorks = await api.store.addTenant('gym', 'iron-works');
  harbour = await api.store.addTenant('gym', 'harbour-fit');
  await api.store.addTenant('gym', 'cracked');
  await api.store.addTenant('gym', 'ruined');
});
afterAll(() => api.close());

const GREET = '/v1/jobs/gym.greet/runs';
const WAIT = { Prefer: 'wait=20' };
const later = () => new Date(Date.now() + 3_600_000).toISOString();
const greeting = (name: string, more: object = {}) => ({ tenant: 'iron-works', input: { name }, ...more });

async function runOf(json: object, options: { as?: Claims; headers?: Record<string, string> } = {}): Promise<string> {
  const reply = await api.call('POST', GREET, { json, ...options });
  expect({ status: reply.status, text: reply.text }).toMatchObject({ status: 202 });
  return reply.body.id;
}

async function sweep(tenant: string): Promise<z.output<typeof schemas.runDetailSchema>> {
  const reply = await api.call('POST', '/v1/jobs/gym.commitment-scores/runs', { json: { tenant }, headers: WAIT });
  expect(reply.status).toBe(200);
  return schemas.runDetailSchema.parse(reply.body);
}

describe('a run', () => {
  test('is accepted, executed and told, with everything the document promises', async () => {
    const id = await runOf(greeting('Ann'), { as: { sub: 'ada' } });
    const ended = await api.producer.waitFor([id], { timeoutMs: 20_000 });
    expect(ended.get(id)).toBe('completed');
    const run = schemas.runDetailSchema.parse((await api.call('GET', `/v1/runs/${id}`)).body);
    expect(run).toMatchObject({
      id, url: `/v1/runs/${id}`, tenant: 'iron-works', tenantId: ironWorks, job: 'gym.greet', status: 'completed', priority: 'HIGH',
      attempts: 1, actor: 'ada', input: { name: 'Ann' }, result: { greeting: 'hello Ann' }, errors: [], totalErrors: 0,
    }); // biome-ignore format: a run
  });

  test('answers 200 with its result to who waits', async () => {
    const reply = await api.call('POST', GREET, { json: greeting('Bo'), headers: WAIT });
    expect([reply.status, reply.headers.get('preference-applied')]).toEqual([200, 'wait=20']);
    expect(schemas.runDetailSchema.parse(reply.body).result).toEqual({ greeting: 'hello Bo' });
  });

  test('answers 202 when the wait is over first', async () => {
    const reply = await api.call('POST', GREET, {
      json: greeting('Cy', { dueAt: later() }),
      headers: { Prefer: 'wait=1' },
    });
    expect([reply.status, reply.body.status]).toEqual([202, 'scheduled']);
    schemas.acceptedSchema.parse(reply.body);
  });

  test('takes a priority of the caller’s', async () => {
    const id = await runOf(greeting('Di', { priority: 'LOW', dueAt: later() }));
    expect((await api.call('GET', `/v1/runs/${id}`)).body).toMatchObject({ priority: 'LOW', status: 'scheduled' });
  });

  test('with item errors is completed all the same, and its items are listed', async () => {
    const run = await sweep('cracked');
    expect(run).toMatchObject({
      status: 'completed_with_item_errors',
      processed: 4,
      changed: 3,
      failedItems: 1,
      totalErrors: 1,
      errors: [{ item: 'm3', errorClass: 'BrokenItemError', errorMessage: 'the item is broken' }],
    });
    const failures = await api.call('GET', `/v1/runs/${run.id}/failures`);
    expect(schemas.pageSchema(schemas.failureSchema).parse(failures.body)).toMatchObject({
      items: [{ item: 'm3' }],
      nextCursor: null,
    });
  });

  test('that failed says why, and its last attempt is listed', async () => {
    const run = await sweep('ruined');
    expect(run).toMatchObject({ status: 'failed', result: null });
    expect(run.errorMessage).not.toBeNull();
    const attempts = await api.call('GET', `/v1/runs/${run.id}/attempts`);
    expect(schemas.pageSchema(schemas.attemptSchema).parse(attempts.body)).toMatchObject({
      items: [{ attempt: 1, outcome: 'failed', errorClass: run.errorClass }],
    });
  });

  test('that fails once has two attempts', async () => {
    const reply = await api.call('POST', '/v1/jobs/ops.canary/runs', {
      as: { role: 'admin' },
      json: { input: { echo: 'hi', fail: 'once' } },
      headers: WAIT,
    });
    expect(reply.body).toMatchObject({ status: 'completed', attempts: 2, result: { echo: 'hi' } });
    const { items } = (await api.call('GET', `/v1/runs/${reply.body.id}/attempts`)).body;
    expect(items).toMatchObject([
      { attempt: 1, outcome: 'failed', errorClass: 'CanaryError' },
      { attempt: 2, outcome: 'completed' },
    ]);
  });

  test('has an audit trail, oldest first, page by page', async () => {
    const id = await runOf(greeting('Ed', { dueAt: later() }), { as: { sub: 'ada' } });
    await api.call('POST', `/v1/runs/${id}/cancel`, { as: { sub: 'bob' } });
    const all = schemas.pageSchema(schemas.auditSchema).parse((await api.call('GET', `/v1/runs/${id}/audit`)).body) as {
      items: { action: string; actor: string }[];
    };
    expect(all.items.length).toBeGreaterThan(1);
    expect(all.items[0]).toMatchObject({ actor: 'ada' });
    const paged = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: { items: unknown[]; nextCursor: string | null } = (
        await api.call('GET', `/v1/runs/${id}/audit?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`)
      ).body;
      paged.push(...page.items);
      cursor = page.nextCursor;
    }
    expect(paged).toEqual(all.items);
  });
});

describe('control', () => {
  test('a waiting run is cancelled at once; an ended one cannot be', async () => {
    const id = await runOf(greeting('Flo', { dueAt: later() }));
    const cancelled = await api.call('POST', `/v1/runs/${id}/cancel`);
    expect([cancelled.status, cancelled.body.status]).toEqual([200, 'cancelled']);
    const again = await api.call('POST', `/v1/runs/${id}/cancel`, { json: {} });
    expect([again.status, again.body.code]).toEqual([409, 'run-state']);
  });

  test('a retry is a new run; the old one stays as it is', async () => {
    const failed = await sweep('ruined');
    const retry = await api.call('POST', `/v1/runs/${failed.id}/retry`, { headers: WAIT });
    expect(schemas.runDetailSchema.parse(retry.body)).toMatchObject({ retryOf: failed.id, status: 'failed' });
    expect(retry.body.id).not.toBe(failed.id);
    expect((await api.call('GET', `/v1/runs/${failed.id}`)).body).toEqual(failed);
  });

  test('a replay takes up the failed items alone', async () => {
    const run = await sweep('cracked');
    const replay = await api.call('POST', `/v1/runs/${run.id}/replay`, { headers: WAIT });
    expect({ status: replay.status, text: replay.text }).toMatchObject({ status: 200 });
    // The one item fails again, and a run all of whose items fail has failed.
    expect(replay.body).toMatchObject({ replayOf: run.id, expected: 1, status: 'completed_with_item_errors' });
    const clean = await sweep('iron-works');
    expect((await api.call('POST', `/v1/runs/${clean.id}/replay`)).status).toBe(409);
  });

  test('an open run cannot be retried', async () => {
    const id = await runOf(greeting('Gus', { dueAt: later() }));
    expect((await api.call('POST', `/v1/runs/${id}/retry`)).body).toMatchObject({ status: 409, code: 'run-state' });
  });

  test('unknown fields are refused here too', async () => {
    const reply = await api.call('POST', `/v1/runs/${unknownId()}/cancel`, { json: { force: true } });
    expect(reply.status).toBe(404);
    const id = await runOf(greeting('Hal', { dueAt: later() }));
    const known = await api.call('POST', `/v1/runs/${id}/cancel`, { json: { force: true } });
    expect(known.body).toMatchObject({ status: 422, errors: [{ pointer: '/force', code: 'unknown-field' }] });
  });
});

describe('Idempotency-Key', () => {
  const keyed = (key: string) => ({ 'Idempotency-Key': key });

  test('fifty at once make one run', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, () =>
        api.call('POST', GREET, {
          json: greeting('Ida', { dueAt: `${later().slice(0, 10)}T23:59:59.999Z` }),
          headers: keyed('fifty'),
        }),
      ),
    );
    expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set([202]));
    expect(new Set(replies.map((reply) => reply.body.id)).size).toBe(1);
    expect(replies.filter((reply) => !reply.body.joined)).toHaveLength(1);
  });

  test('another body is refused, another order of fields is not another body', async () => {
    const id = await runOf(greeting('Joe'), { headers: keyed('order') });
    const swapped = await api.call('POST', GREET, {
      json: { input: { name: 'Joe' }, tenant: 'iron-works' },
      headers: keyed('order'),
    });
    expect([swapped.status, swapped.body.id, swapped.body.joined]).toEqual([202, id, true]);
    const other = await api.call('POST', GREET, { json: greeting('Kim'), headers: keyed('order') });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-conflict']);
  });

  test('the same key after the end gives the ended run', async () => {
    const first = await api.call('POST', GREET, { json: greeting('Lea'), headers: { ...WAIT, ...keyed('ended') } });
    const second = await api.call('POST', GREET, { json: greeting('Lea'), headers: { ...WAIT, ...keyed('ended') } });
    expect([second.status, second.body.id]).toEqual([200, first.body.id]);
  });

  test('a retry that is sent twice is one run', async () => {
    const ended = await api.call('POST', GREET, { json: greeting('Lia'), headers: WAIT });
    const retry = () =>
      api.call('POST', `/v1/runs/${ended.body.id}/retry`, { headers: { ...WAIT, ...keyed('again') } });
    const [first, second] = [await retry(), await retry()];
    expect(first.body).toMatchObject({ retryOf: ended.body.id, status: 'completed' });
    expect(second.body.id).toBe(first.body.id);
    const unkeyed = await api.call('POST', `/v1/runs/${ended.body.id}/retry`, { headers: WAIT });
    expect(unkeyed.body.id).not.toBe(first.body.id);
  });

  test('keys are a principal’s and a tenant’s own', async () => {
    const ids = [
      await runOf(greeting('Max'), { headers: keyed('own') }),
      await runOf(greeting('Max'), { headers: keyed('own'), as: { sub: 'bob' } }),
      await runOf(greeting('Max', { tenant: 'harbour-fit' }), { headers: keyed('own') }),
    ];
    expect(new Set(ids).size).toBe(3);
  });
});

describe('a token that is bound to a tenant', () => {
  const mine = () => ({ as: { tenant: harbour, role: 'admin', sub: 'hana' } });

  test('starts its own tenant’s runs without naming it', async () => {
    const reply = await api.call('POST', GREET, { ...mine(), json: { input: { name: 'Noa' } } });
    expect(reply.status).toBe(202);
    expect((await api.call('GET', `/v1/runs/${reply.body.id}`)).body.tenant).toBe('harbour-fit');
  });

  test('cannot start another’s: the answer is that of a tenant that is not there', async () => {
    const other = await api.call('POST', GREET, { ...mine(), json: greeting('Ole') });
    const byId = await api.call('POST', GREET, { ...mine(), json: greeting('Ole', { tenant: ironWorks }) });
    const none = await api.call('POST', GREET, { ...mine(), json: greeting('Ole', { tenant: 'nowhere' }) });
    const { requestId: _, ...expected } = none.body;
    expect(none.status).toBe(404);
    for (const reply of [other, byId]) expect(reply.body).toMatchObject(expected);
  });

  test('finds no run of another tenant, whatever it does: the answer is that of an unknown run', async () => {
    const id = await runOf(greeting('Pia', { dueAt: later() }));
    const unknown = unknownId();
    const paths = ['', '/explain', '/attempts', '/failures', '/audit'].map((part) => ['GET', part] as const);
    const actions = ['/cancel', '/retry', '/replay'].map((part) => ['POST', part] as const);
    for (const [method, part] of [...paths, ...actions]) {
      const theirs = await api.call(method, `/v1/runs/${id}${part}`, mine());
      const nobodys = await api.call(method, `/v1/runs/${unknown}${part}`, mine());
      const shape = ({ body }: typeof theirs) => ({ ...body, requestId: '', instance: '' });
      expect([theirs.status, shape(theirs)]).toEqual([404, shape(nobodys)]);
    }
    expect((await api.call('GET', `/v1/runs/${id}`)).body.status).toBe('scheduled');
  });

  test('sees itself alone in every list', async () => {
    await runOf(greeting('Quin'));
    for (const list of [
      '/v1/runs',
      `/v1/runs?tenant=${ironWorks}`,
      '/v1/runs?tenant=iron-works',
      '/v1/audit',
      '/v1/alerts',
    ]) {
      const { items } = (await api.call('GET', list, mine())).body;
      for (const item of items) expect([list, item.tenantId]).toEqual([list, harbour]);
    }
    expect((await api.call('GET', `/v1/runs?tenant=${ironWorks}`, mine())).body.items).toEqual([]);
    expect((await api.call('GET', '/v1/tenants', mine())).body.items).toMatchObject([{ slug: 'harbour-fit' }]);
    expect((await api.call('GET', '/v1/tenants')).body.items.length).toBeGreaterThan(1);
  });
});

describe('lists of runs', () => {
  test('are read page by page, newest first, without gap or repetition', async () => {
    const made = [];
    for (let i = 0; i < 7; i++)
      made.push(await runOf(greeting(`Page ${i}`, { tenant: 'harbour-fit', dueAt: later() })));
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `/v1/runs?tenant=harbour-fit&status=scheduled&limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const page = (await api.call('GET', query)).body;
      schemas.pageSchema(schemas.runSchema).parse(page);
      seen.push(...page.items.map((run: { id: string }) => run.id));
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(made.toReversed());
  });

  test('are narrowed by job, status and time', async () => {
    const before = new Date().toISOString();
    const run = await sweep('cracked');
    const find = async (query: string) =>
      (await api.call('GET', `/v1/runs?${query}`)).body.items.map((one: { id: string }) => one.id);
    const mine = `job=gym.commitment-scores&since=${before}`;
    expect(await find(mine)).toEqual([run.id]);
    expect(await find(`${mine}&status=completed_with_item_errors`)).toEqual([run.id]);
    expect(await find(`${mine}&status=completed`)).toEqual([]);
    expect(await find(`${mine}&status=running`)).toEqual([]);
    expect(await find(`job=gym.commitment-scores&until=${before}`)).not.toContain(run.id);
  });

  test('the audit log is narrowed by actor and action', async () => {
    await runOf(greeting('Rita', { dueAt: later() }), { as: { sub: 'rita' } });
    const page = (await api.call('GET', '/v1/audit?actor=rita&limit=1')).body;
    expect(schemas.pageSchema(schemas.auditSchema).parse(page)).toMatchObject({ items: [{ actor: 'rita' }] });
    expect((await api.call('GET', `/v1/audit?actor=rita&action=no.such`)).body.items).toEqual([]);
  });
});

describe('the catalogue and its document', () => {
  test('jobs are listed with schedule and policy; one has the schema of its input', async () => {
    const { items } = (await api.call('GET', '/v1/jobs', { as: { role: 'viewer' } })).body;
    for (const job of items) schemas.jobSchema.parse(job);
    expect(items.map((job: { name: string }) => job.name)).toContain('gym.coach-actions');
    const one = schemas.jobDetailSchema.parse((await api.call('GET', '/v1/jobs/gym.greet')).body);
    expect(one.inputSchema).toMatchObject({ type: 'object', required: ['name'], additionalProperties: false });
  });

  test.each([
    ['POST', '/v1/jobs/{job}/runs', [400, 401, 403, 404, 409, 413, 415, 422, 429, 503]],
    ['POST', '/v1/runs/retry', [400, 401, 403, 413, 415, 422, 429, 503]],
    ['GET', '/v1/runs', [400, 401, 403, 429, 503]],
    ['GET', '/v1/runs/{id}', [400, 401, 403, 404, 429, 503]],
  ] as const)('the OpenAPI document declares the refusals of %s %s', async (method, path, statuses) => {
    const { paths } = JSON.parse((await api.call('GET', '/openapi.json', { as: null })).text);
    const { responses } = paths[path][method.toLowerCase()];
    for (const status of statuses) {
      expect([status, responses[status]]).toEqual([
        status,
        {
          description: expect.any(String),
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ]);
    }
    const declared = Object.keys(responses).filter((status) => Number(status) >= 400);
    expect(declared).toEqual(statuses.map(String));
  });

  test('the OpenAPI document says that a snooze takes one of its two fields', async () => {
    const { components } = JSON.parse((await api.call('GET', '/openapi.json', { as: null })).text);
    expect(components.schemas.Snooze).toMatchObject({
      type: 'object',
      properties: { until: { type: 'string' }, forMs: { type: 'integer' } },
      oneOf: [{ required: ['until'] }, { required: ['forMs'] }],
      additionalProperties: false,
    });
  });

  test('every reference in the OpenAPI document leads somewhere, and every path is served', async () => {
    const document = JSON.parse((await api.call('GET', '/openapi.json', { as: null })).text);
    expect(document.openapi).toBe('3.1.0');
    const refs = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name as string,
    );
    expect(refs.length).toBeGreaterThan(20);
    for (const name of refs) expect(document.components.schemas).toHaveProperty([name]);
    for (const [path, methods] of Object.entries<Record<string, unknown>>(document.paths)) {
      for (const method of Object.keys(methods)) {
        const reply = await api.call(method.toUpperCase(), path.replaceAll(/\{\w+\}/g, unknownId()), {
          as: null,
          headers: { Accept: 'application/json' },
        });
        // Without a token: known paths ask for one, or for a body before it; unknown ones (there is none in the document) would say 404.
        const asks = path.startsWith('/api/v1/jobs/') ? 400 : 401;
        expect({ path, method, known: [200, asks].includes(reply.status), status: reply.status }).toMatchObject({
          path,
          method,
          known: true,
        });
      }
    }
  });
});
