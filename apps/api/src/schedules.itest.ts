import { afterAll, beforeAll, expect, test } from 'vitest';
import { pageSchema, scheduleSchema, startedSchema, tickSchema } from './routes/schemas.ts';
import { type TestApi, testApi, unknownId } from './testing/test-api.ts';

let api: TestApi;
let harbour: string;
let id: string;
beforeAll(async () => {
  api = await testApi();
  await api.store.addTenant('gym', 'iron-works');
  harbour = await api.store.addTenant('gym', 'harbour-fit');
  await api.producer.syncSchedules();
  id = (await api.call('GET', '/v1/schedules?job=gym.commitment-scores')).body.items[0].id;
});
afterAll(() => api.close());

async function audited(action: string): Promise<string[]> {
  const { rows } = await api.store.admin.query<{ actor: string }>('SELECT actor FROM ops.audit_log WHERE action = $1', [
    action,
  ]);
  return rows.map((row) => row.actor);
}

test('are listed with what comes next', async () => {
  const { items } = pageSchema(scheduleSchema).parse(
    (await api.call('GET', '/v1/schedules', { as: { role: 'viewer' } })).body,
  ) as {
    items: { job: string; cron: string; nextDueAt: string; paused: unknown }[];
  };
  expect(items.map((one) => one.job)).toEqual(['gym.at-risk-detection', 'gym.coach-actions', 'gym.commitment-scores']);
  expect(items[2]).toMatchObject({ cron: '0 2 * * *', paused: null });
  expect(new Date(items[2]?.nextDueAt ?? 0).getTime()).toBeGreaterThan(Date.now() - 86_400_000);
});

test('an unknown one is 404, for every action', async () => {
  for (const [method, part] of [
    ['GET', ''],
    ['GET', '/ticks'],
    ['POST', '/pause'],
    ['POST', '/resume'],
    ['POST', '/trigger'],
  ] as const) {
    const reply = await api.call(method, `/v1/schedules/${unknownId()}${part}`);
    expect([method, part, reply.status, reply.body.code]).toEqual([method, part, 404, 'unknown-schedule']);
  }
});

test('is paused and resumed, by name and on record', async () => {
  const paused = await api.call('POST', `/v1/schedules/${id}/pause`, { as: { sub: 'olga' } });
  expect(scheduleSchema.parse(paused.body).paused).toMatchObject({ by: 'olga' });
  const resumed = await api.call('POST', `/v1/schedules/${id}/resume`, { as: { sub: 'olga' } });
  expect(scheduleSchema.parse(resumed.body).paused).toBeNull();
  expect(await audited('schedule.paused')).toEqual(['olga']);
  expect(await audited('schedule.resumed')).toEqual(['olga']);
});

test('is changed by an admin, on record', async () => {
  const before = (await api.call('GET', `/v1/schedules/${id}`)).body;
  const reply = await api.call('PATCH', `/v1/schedules/${id}`, {
    as: { role: 'admin', sub: 'ada' },
    json: { cron: '30 4 * * 1', zone: 'Europe/Paris', overlap: 'queue', priority: 'LOW' },
  });
  const after = scheduleSchema.parse(reply.body);
  expect(after).toMatchObject({
    cron: '30 4 * * 1',
    zone: 'Europe/Paris',
    overlap: 'queue',
    priority: 'LOW',
    edited: true,
  });
  expect(after.version).toBe(before.version + 1);
  expect(after.nextDueAt).not.toBe(before.nextDueAt);
  expect((await audited('schedule.edited')).length).toBe(1);
});

test.each([
  ['61 * * * *'], ['5-1 * * * *'], ['*/0 * * * *'], ['0 0 30 2 *'], ['0 0 * * * * *'], ['@reboot'], [''],
])('a cron of %j is 422 and changes nothing', async (cron) => {
  const before = (await api.call('GET', `/v1/schedules/${id}`)).body;
  const reply = await api.call('PATCH', `/v1/schedules/${id}`, { as: { role: 'admin' }, json: { cron } });
  expect(reply.body).toMatchObject({ status: 422, errors: [{ pointer: '/cron' }] });
  expect((await api.call('GET', `/v1/schedules/${id}`)).body).toEqual(before);
}); // biome-ignore format: a list of patterns

test.each([
  ['an unknown zone', { zone: 'Mars/Base' }],
  ['an unknown field', { every: -1 }],
  ['nothing', {}],
  ['a negative window', { misfireWithinMs: -1 }],
])('%s is 422', async (_name, json) => {
  expect((await api.call('PATCH', `/v1/schedules/${id}`, { as: { role: 'admin' }, json })).status).toBe(422);
});

test('is triggered for its tenants; those that are open are joined', async () => {
  const first = startedSchema.parse((await api.call('POST', `/v1/schedules/${id}/trigger`)).body);
  expect(first.runs.map((run) => [run.tenant, run.joined])).toEqual([
    ['harbour-fit', false],
    ['iron-works', false],
  ]);
  const second = startedSchema.parse((await api.call('POST', `/v1/schedules/${id}/trigger`)).body);
  expect(second.runs.map((run) => [run.id, run.joined])).toEqual(first.runs.map((run) => [run.id, true]));
  const { items } = (await api.call('GET', `/v1/runs?trigger=${first.triggerId}`)).body;
  expect(items.map((run: { id: string }) => run.id).sort()).toEqual(first.runs.map((run) => run.id).sort());
});

test('a trigger that is sent twice with one key starts nothing twice', async () => {
  const trigger = (key: string) =>
    api.call('POST', `/v1/schedules/${id}/trigger`, { headers: { 'Idempotency-Key': key } });
  const first = startedSchema.parse((await trigger('once')).body);
  const second = startedSchema.parse((await trigger('once')).body);
  const other = startedSchema.parse((await trigger('another')).body);
  expect(second.triggerId).toBe(first.triggerId);
  expect(second.runs.map((run) => run.id).sort()).toEqual(first.runs.map((run) => run.id).sort());
  expect(other.triggerId).not.toBe(first.triggerId);
});

test('a tenant’s operator triggers it for that tenant alone, and cannot stop it for the others', async () => {
  const as = { tenant: harbour, role: 'admin' };
  const started = startedSchema.parse((await api.call('POST', `/v1/schedules/${id}/trigger`, { as })).body);
  expect(started.runs.map((run) => run.tenant)).toEqual(['harbour-fit']);
  expect((await api.call('POST', `/v1/schedules/${id}/pause`, { as })).status).toBe(403);
  expect((await api.call('PATCH', `/v1/schedules/${id}`, { as, json: { enabled: false } })).status).toBe(403);
});

test('its ticks are listed, newest first', async () => {
  const due = ['2026-11-19T02:00:00Z', '2026-11-20T02:00:00Z', '2026-11-21T02:00:00Z'];
  for (const at of due) {
    await api.store.admin.query(
      `INSERT INTO ops.ticks (schedule_id, due_at, job, state, reason, schedule_version, lateness_ms) VALUES ($1, $2, 'gym.commitment-scores', 'missed', 'all was down', 1, 5)`,
      [id, at],
    );
  }
  const first = pageSchema(tickSchema).parse((await api.call('GET', `/v1/schedules/${id}/ticks?limit=2`)).body) as {
    items: { dueAt: string }[];
    nextCursor: string;
  };
  const second = (await api.call('GET', `/v1/schedules/${id}/ticks?limit=2&cursor=${first.nextCursor}`)).body;
  const instants = [...first.items, ...second.items].map((tick) => new Date(tick.dueAt).toISOString());
  expect(instants).toEqual(due.toReversed().map((at) => new Date(at).toISOString()));
  expect((await api.call('GET', `/v1/schedules/${id}`)).body.lastTick).toMatchObject({
    state: 'missed',
    reason: 'all was down',
  });
});
