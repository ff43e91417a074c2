import { createFieldCrypto, parseKeyring } from '@nightshift/db/crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { NewNotification } from '../index.ts';
import { listFailures } from '../query/index.ts';
import { runJob, type TestEngine, testEngine, until } from '../testing/index.ts';
import { smtpStub } from '../testing/smtp-stub.ts';
import { TEST_ENCRYPTION_KEYS } from '../testing/test-engine.ts';
import { addItems, makeTinyTables, type TinyItem, tinyRequest, tinySweep, tinyTask } from '../testing/tiny.ts';
import { senderOptions } from './channels.ts';
import { DATA_PLACE, TO_PLACE } from './notify.ts';
import { defineTemplate } from './template.ts';

const hello = defineTemplate({
  name: 'tiny.hello',
  data: z.object({ name: z.string(), at: z.string().optional() }),
  subject: (d) => `Hello ${d.name}`,
  text: (d) => `Hello ${d.name}.`,
});

const mail = (tenantId: string, key: string, more: Partial<NewNotification> = {}): NewNotification => ({
  tenantId,
  dedupeKey: `hello:${key}`,
  channel: 'email',
  to: `${key}@example.org`,
  template: 'tiny.hello',
  data: { name: key },
  ...more,
});

let created: number[] = [];
const notifyEach = (more: Partial<NewNotification> = {}) => ({
  options: { batchSize: 4, batchDelayMs: 0 },
  process: async (ctx: Parameters<ReturnType<typeof tinySweep>['process']>[0], items: readonly TinyItem[]) => {
    const broken = await ctx.client.query('SELECT FROM tiny.items WHERE broken AND id = ANY ($1)', [
      items.map((item) => item.id),
    ]);
    const made = await ctx.notify(items.map((item) => mail(item.tenant_id, item.id, more)));
    if ((broken.rowCount ?? 0) > 0) throw new Error('a broken item');
    created.push(made.created);
    return { changed: made.created };
  },
});
const sweep = tinySweep('remind', notifyEach());
const capped = tinySweep('capped', { ...notifyEach(), maxNotifications: 6 });
const unknown = tinySweep('unknown-template', { ...notifyEach({ template: 'tiny.helo' }), retry: { retries: 0 } });
const unfit = tinySweep('unfit', notifyEach({ data: { name: 7 } }));
const request = tinyRequest('greet', {
  handle: async (ctx, runs) => {
    await ctx.notify(runs.map((run) => mail(run.tenantId, run.input.name, { runId: run.runId })));
    return runs.map((run) => (run.input.fail ? { error: new Error('no') } : { ok: null }));
  },
  retry: { retries: 0 },
});
const task = tinyTask('announce', {
  run: async (ctx) => {
    const first = await ctx.transaction((tx) => tx.notify([mail(ctx.tenant.id, 'first')]));
    await ctx
      .transaction(async (tx) => {
        await tx.notify([mail(ctx.tenant.id, 'undone')]);
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    return first;
  },
});

let engine: TestEngine;
let tenant: string;
let slug = 0;
beforeAll(async () => {
  engine = await testEngine({
    jobs: [sweep, capped, unknown, unfit, request, task],
    templates: [hello],
  });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  await engine.store.admin.query('TRUNCATE tiny.items');
  tenant = await engine.store.addTenant('tiny', `t${slug++}`);
  created = [];
});
afterAll(() => engine.close());

interface Row {
  readonly id: string;
  readonly run_id: string;
  readonly dedupe_key: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly priority: number;
  readonly to_enc: string;
  readonly data_enc: string;
  readonly due_at: Date;
}

async function rows(): Promise<Row[]> {
  const found = await engine.store.admin.query<Row>(
    'SELECT * FROM ops.notifications WHERE tenant_id = $1 ORDER BY dedupe_key',
    [tenant],
  );
  return found.rows;
}
const keys = async () => (await rows()).map((row) => row.dedupe_key.slice('hello:'.length));

describe('ctx.notify', () => {
  test('writes a row a message with its batch, recipient and data encrypted for that row', async () => {
    await addItems(engine.store, tenant, 10);
    const run = await runJob(engine, { job: 'tiny.remind', tenant, input: {} });
    expect(run.status).toBe('completed');
    const made = await rows();
    expect(made).toHaveLength(10);
    const [first] = made;
    expect(first).toMatchObject({ run_id: run.id, state: 'waiting', priority: 2 });
    const text = JSON.stringify(made);
    expect(text).not.toContain('example.org');
    const crypto = createFieldCrypto({ keyring: parseKeyring(TEST_ENCRYPTION_KEYS), pool: engine.store.admin });
    const opened = await crypto.decryptAll([
      { ref: { tenantId: tenant, place: TO_PLACE, row: first?.id ?? '' }, envelope: first?.to_enc ?? '' },
      { ref: { tenantId: tenant, place: DATA_PLACE, row: first?.id ?? '' }, envelope: first?.data_enc ?? '' },
    ]);
    expect(opened).toEqual(['i000@example.org', '{"name":"i000"}']);
    const elsewhere = { tenantId: tenant, place: TO_PLACE, row: made[1]?.id ?? '' };
    await expect(crypto.decryptAll([{ ref: elsewhere, envelope: first?.to_enc ?? '' }])).rejects.toThrow();
  });

  test('run again, leaves out what exists', async () => {
    await addItems(engine.store, tenant, 10);
    await runJob(engine, { job: 'tiny.remind', tenant, input: {} });
    const before = await rows();
    created = [];
    await runJob(engine, { job: 'tiny.remind', tenant, input: {} });
    expect(created).toEqual([0, 0, 0]);
    expect(await rows()).toEqual(before);
  });

  test('is undone with its batch: one bad item leaves no message', async () => {
    await addItems(engine.store, tenant, 10, { broken: ['i005'] });
    const run = await runJob(engine, { job: 'tiny.remind', tenant, input: {} });
    expect(run.status).toBe('completed_with_item_errors');
    expect(await keys()).toHaveLength(9);
    expect(await keys()).not.toContain('i005');
  });

  test('in a dry run writes nothing and says what it would', async () => {
    await addItems(engine.store, tenant, 6);
    await engine.store.admin.query(
      `INSERT INTO ops.notifications (id, tenant_id, dedupe_key, channel, template, priority, to_enc, data_enc)
       VALUES (gen_random_uuid(), $1, 'hello:i000', 'email', 'tiny.hello', 1, 'x', 'x')`,
      [tenant],
    );
    await runJob(engine, { job: 'tiny.remind', tenant, input: {}, options: { dryRun: true } });
    expect(created).toEqual([3, 2]);
    expect(await rows()).toHaveLength(1);
  });

  test('over the cap fails the run as a whole, and keeps what earlier batches made', async () => {
    await addItems(engine.store, tenant, 10);
    const run = await runJob(engine, { job: 'tiny.capped', tenant, input: {} });
    expect(run).toMatchObject({ status: 'failed', errorClass: 'NotificationCapError', attempts: 1 });
    expect(run.errorMessage).toContain('may make 6 notifications and was about to have 8');
    expect(await keys()).toEqual(['i000', 'i001', 'i002', 'i003']);
    expect((await listFailures(engine.producer.pools, run.id, null, { limit: 10 })).items).toEqual([]);
  });

  test('refuses a template that is not there, with the nearest, and data that does not fit, without its value', async () => {
    await addItems(engine.store, tenant, 1);
    const missing = await runJob(engine, { job: 'tiny.unknown-template', tenant, input: {} });
    expect(missing.errorMessage).toContain(`Did you mean 'tiny.hello'?`);
    const wrong = await runJob(engine, { job: 'tiny.unfit', tenant, input: {} });
    expect(wrong.errorMessage).toContain('/data/name');
    expect(await rows()).toEqual([]);
  });

  test('in a bundle belongs to its run, and goes with a run that fails', async () => {
    const accepted = await engine.producer.acceptMany(
      [
        { job: 'tiny.greet', tenant, input: { name: 'a' } },
        { job: 'tiny.greet', tenant, input: { name: 'b', fail: true } },
        { job: 'tiny.greet', tenant, input: { name: 'c' } },
      ],
      'test',
    );
    const ids = accepted.map((one) => one.id);
    await engine.producer.waitFor(ids, { timeoutMs: 30_000 });
    expect((await rows()).map((row) => [row.dedupe_key, row.run_id])).toEqual([
      ['hello:a', ids[0]],
      ['hello:c', ids[2]],
    ]);
  });

  test('in a task belongs to the transaction', async () => {
    const run = await runJob(engine, { job: 'tiny.announce', tenant, input: {} });
    expect(run.status).toBe('completed');
    expect(await keys()).toEqual(['first']);
  });

  test('for a user who wants none of the channel is suppressed, with the reason', async () => {
    await addItems(engine.store, tenant, 1);
    await engine.store.admin.query(
      `INSERT INTO ops.notification_preferences (tenant_id, user_key, channel, enabled) VALUES ($1, 'ada', 'email', false)`,
      [tenant],
    );
    const own = tinySweep('own', notifyEach({ userKey: 'ada' }));
    const other = await testEngine({ jobs: [own], templates: [hello], store: engine.store });
    await runJob(other, { job: 'tiny.own', tenant, input: {} });
    await other.close();
    expect(await rows()).toMatchObject([{ state: 'suppressed', outcome: 'the user wants no email' }]);
  });

  test('is followed by the mail, from whichever worker sends', async () => {
    const stub = await smtpStub();
    await addItems(engine.store, tenant, 3);
    const sender = await engine.addWorker({
      notifications: senderOptions({
        production: true,
        smtpUrl: stub.url,
        mailFrom: 'Jobs <jobs@example.org>',
        whatsapp: { url: 'http://127.0.0.1:1' },
        perSecond: { email: 100, whatsapp: 1, webhook: 1 },
        inHand: 2,
      }),
    });
    await runJob(engine, { job: 'tiny.remind', tenant, input: {} });
    // What earlier tests left waiting goes out too.
    const ended = await until('the mails', async () => {
      const all = await rows();
      return all.length === 3 && all.every((row) => row.state === 'sent') && all;
    });
    for (const row of ended) expect(stub.received.filter((id) => id === `<${row.id}@example.org>`)).toHaveLength(1);
    await sender.stop(2_000);
    await stub.close();
  });
});
