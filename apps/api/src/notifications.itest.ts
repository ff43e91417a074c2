import { defineJob, defineTemplate } from '@nightshift/engine';
import { runJob, type TestEngine, type TestStore, testEngine, testStore } from '@nightshift/engine/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { type TestApi, testApi } from './testing/test-api.ts';

const template = defineTemplate({
  name: 'tiny.hello',
  data: z.object({ name: z.string() }),
  subject: (d) => d.name,
  text: (d) => d.name,
});
const greet = defineJob({
  kind: 'request',
  name: 'tiny.greet',
  title: 'Greet',
  description: 'Greets.',
  scope: 'tenant',
  priority: 'HIGH',
  typicalMs: 1_000,
  maxMs: 5_000,
  input: z.strictObject({ key: z.string() }),
  handle: async (ctx, runs) => {
    await ctx.notify(
      runs.map((run) => ({
        tenantId: run.tenantId,
        runId: run.runId,
        dedupeKey: run.input.key,
        channel: 'email' as const,
        to: 'ada@example.org',
        template: 'tiny.hello',
        data: { name: 'Ada Lovelace' },
      })),
    );
    return runs.map(() => ({ ok: null }));
  },
});

let store: TestStore;
let engine: TestEngine;
let api: TestApi;
let one: string;
let other: string;
let run: string;
beforeAll(async () => {
  store = await testStore();
  engine = await testEngine({ jobs: [greet], templates: [template], store });
  api = await testApi({ jobs: [greet], store });
  one = await store.addTenant('tiny', 'one');
  other = await store.addTenant('tiny', 'other');
  run = (await runJob(engine, { job: 'tiny.greet', tenant: one, input: { key: 'a' } })).id;
  await runJob(engine, { job: 'tiny.greet', tenant: other, input: { key: 'b' } });
});
afterAll(async () => {
  await api.close();
  await engine.close();
  await store.close();
});

test('notifications are listed without recipient and content, a tenant sees its own', async () => {
  const all = await api.call('GET', '/v1/notifications', { as: { role: 'viewer' } });
  expect(all.status).toBe(200);
  expect(all.body.items).toHaveLength(2);
  expect(all.text).not.toMatch(/ada@|Lovelace|_enc|ns1\./);
  const own = await api.call('GET', '/v1/notifications?state=waiting&channel=email', {
    as: { role: 'viewer', tenant: one },
  });
  expect(own.body.items).toMatchObject([
    {
      tenant: 'one',
      dedupeKey: 'a',
      runId: run,
      job: 'tiny.greet',
      state: 'waiting',
      template: 'tiny.hello',
      priority: 'HIGH',
      attempts: 0,
    },
  ]);
  const ofRun = await api.call('GET', `/v1/notifications?run=${run}`, { as: { role: 'viewer' } });
  expect(ofRun.body.items).toHaveLength(1);
  const [first, second] = [
    await api.call('GET', '/v1/notifications?limit=1', { as: { role: 'viewer' } }),
    await api.call('GET', '/v1/notifications?limit=1&tenant=one', { as: { role: 'viewer' } }),
  ];
  expect(first.body.nextCursor).not.toBeNull();
  expect(second.body.nextCursor).toBeNull();
  const rest = await api.call('GET', `/v1/notifications?cursor=${first.body.nextCursor}`, { as: { role: 'viewer' } });
  expect(rest.body.items).toHaveLength(1);
  expect((await api.call('GET', '/v1/notifications?state=lost', { as: { role: 'viewer' } })).status).toBe(400);
});

test('only what ended undelivered is sent again, by whoever may, in its tenant', async () => {
  const { rows } = await store.admin.query<{ id: string }>('SELECT id FROM ops.notifications WHERE tenant_id = $1', [
    one,
  ]);
  const path = `/v1/notifications/${rows[0]?.id}/resend`;
  const operator = { role: 'operator' as const };
  expect((await api.call('POST', path, { as: operator, json: {} })).body.code).toBe('notification-state');
  await store.admin.query(
    `UPDATE ops.notifications SET state = 'failed', ended_at = now(), outcome = '550', attempts = 1 WHERE tenant_id = $1`,
    [one],
  );
  expect((await api.call('POST', path, { as: { role: 'viewer' }, json: {} })).status).toBe(403);
  expect((await api.call('POST', path, { as: { ...operator, tenant: other }, json: {} })).status).toBe(404);
  expect((await api.call('POST', path, { as: operator, json: {} })).status).toBe(200);
  const again = await api.call('GET', '/v1/notifications?tenant=one', { as: { role: 'viewer' } });
  expect(again.body.items).toMatchObject([{ state: 'waiting', attempts: 1, outcome: null }]);
});

test('the scrape counts them by channel and state', async () => {
  const { text } = await api.call('GET', '/metrics', { as: null });
  expect(text).toMatch(/nightshift_notifications\{channel="email",state="waiting"\} 2/);
  expect(text).toMatch(/nightshift_notifications_oldest_due_seconds\{channel="email"\} \d/);
});

test('a user’s preference is set by whoever may, in its tenant, on record; and listed', async () => {
  const path = '/v1/notification-preferences';
  const quiet = { userKey: 'u1', channel: 'email', quietFrom: '22:00', quietUntil: '07:00' };
  const own = { role: 'operator' as const, tenant: one, sub: 'ada' };
  const put = (json: object, as: object = own) => api.call('PUT', path, { as, json });
  expect((await put(quiet, { role: 'viewer', tenant: one })).status).toBe(403);
  expect((await put(quiet)).body).toMatchObject({ tenant: 'one', ...quiet, enabled: true });
  expect((await put({ ...quiet, tenant: other })).body.code).toBe('unknown-tenant');
  expect((await put({ userKey: 'u1', channel: 'email', enabled: false })).body).toMatchObject({
    enabled: false,
    quietFrom: null,
    quietUntil: null,
  });
  const platform = { role: 'admin' as const };
  expect((await put(quiet, platform)).body.errors).toMatchObject([{ pointer: '/tenant', code: 'required' }]);
  expect((await put({ ...quiet, tenant: '01930000-0000-7000-8000-00000000dead' }, platform)).status).toBe(404);
  expect((await put({ ...quiet, tenant: other }, platform)).status).toBe(200);
  for (const wrong of [
    { quietUntil: null },
    { quietUntil: '22:00' },
    { quietFrom: '24:00' },
    { channel: 'fax' },
    { userKey: '' },
  ])
    expect((await put({ ...quiet, ...wrong })).status, JSON.stringify(wrong)).toBe(422);
  const list = async (query: string, as: object = platform) => (await api.call('GET', `${path}${query}`, { as })).body;
  expect((await list('')).items).toHaveLength(2);
  expect((await list(`?tenant=other&userKey=u1&channel=email`)).items).toMatchObject([{ tenantId: other, ...quiet }]);
  expect((await list('', { role: 'viewer', tenant: one })).items).toMatchObject([{ tenantId: one, enabled: false }]);
  const { nextCursor } = await list('?limit=1');
  expect((await list(`?limit=1&cursor=${nextCursor}`)).items).toHaveLength(1);
  const { rows } = await store.admin.query(
    `SELECT actor, details FROM ops.audit_log WHERE action = 'notification.preference_set' AND tenant_id = $1 ORDER BY at`,
    [one],
  );
  expect(rows).toMatchObject([{ actor: 'ada', details: quiet }, { details: { userKey: 'u1', enabled: false } }]);
});
