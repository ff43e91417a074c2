import { inTransaction } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { AcceptRequest } from '../accept.ts';
import { InvalidInputError, NoKeyError, RunStateError, UnknownRunError } from '../errors.ts';
import { createProducer } from '../producer.ts';
import { findRun } from '../query/index.ts';
import { type TestEngine, testEngine } from '../testing/index.ts';
import { addItems, makeTinyTables, tinyRequest, tinySweep, tinyTask } from '../testing/tiny.ts';
import { forgetTenantKey } from './index.ts';
import { personal } from './personal.ts';

const NAME = 'Ada Lovelace of Marylebone';
const input = { who: { name: NAME, phones: ['+442071234567', '+442079876543'] }, n: 1 };
const schema = z.strictObject({
  who: z.strictObject({ name: personal(z.string().min(3)), phones: z.array(personal(z.e164())) }),
  n: z.int(),
});

/** What handlers were given, and what they are to do. */
let seen: unknown[] = [];
let failing = false;
const fail = () => {
  if (failing) throw new Error(`no luck with ${NAME}`);
};

const call = tinyRequest('call', {
  retry: { retries: 0 },
  input: schema,
  async before(_ctx, runs) {
    if (failing) throw new Error(`${NAME} is not at home`);
    seen.push(...runs.map((run) => run.input));
  },
  async handle(_ctx, runs) {
    fail();
    seen.push(...runs.map((run) => run.input));
    return runs.map(() => ({ ok: null }));
  },
});
const long = tinyTask('long', {
  retry: { retries: 0 },
  input: schema,
  async run(_ctx, given) {
    fail();
    seen.push(given);
    return null;
  },
});
const walk = tinySweep('walk', {
  input: schema,
  shards: { items: 2, bounds: async () => ['i001'] },
  async process(ctx, items) {
    seen.push(ctx.input);
    if (failing && items.some((item) => item.id === 'j002')) fail();
    return { changed: items.length };
  },
});

const told = { for: NAME, dose: 7_411_853 };
const answer = tinyRequest('answer', {
  retry: { retries: 0 },
  input: z.strictObject({ bad: z.boolean().default(false) }),
  personalResult: true,
  handle: async (_ctx, runs) => runs.map(({ input: { bad } }) => (bad ? { error: new Error('bad') } : { ok: told })),
});
const report = tinyTask('report', { personalResult: true, run: async () => told });

let engine: TestEngine;
let tenant: string;
let count = 0;
beforeAll(async () => {
  engine = await testEngine({ jobs: [call, long, walk, answer, report] });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  count += 1;
  tenant = await engine.store.addTenant('tiny', `t${count}`);
  seen = [];
  failing = false;
});
afterAll(() => engine.close());

const request = (job: { name: string }): AcceptRequest => ({ job: job.name, tenant, input });

async function ended(id: string) {
  await engine.producer.waitFor([id], { timeoutMs: 40_000 });
  return findRun(engine.producer.pools, id, null);
}

/** Every text of the platform's tables and of Redis, as far as the tenant's name may stand in it. */
async function anywhere(word: string): Promise<string[]> {
  const { rows } = await engine.store.admin.query<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'ops' AND table_type = 'BASE TABLE'`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const hit = await engine.store.admin.query(
      `SELECT 1 FROM ops.${name} t WHERE t::text LIKE '%' || $1 || '%' LIMIT 1`,
      [word],
    );
    if (hit.rowCount) found.push(name);
  }
  return found;
}

describe('a personal result', () => {
  test.each([
    ['request', answer],
    ['task', report],
  ])('of a %s stands nowhere in the clear, and opens with the tenant’s key alone', async (_kind, job) => {
    const { producer, store } = engine;
    const { id } = await producer.accept({ job: job.name, tenant, input: {} }, 'test');
    expect(await ended(id)).toMatchObject({ status: 'completed', result: '<personal>' });
    expect(await findRun(producer.pools, id, tenant, producer.crypto)).toMatchObject({ result: told });
    expect(await anywhere('Lovelace')).toEqual([]);
    expect(await anywhere('7411853')).toEqual([]);
    const other = await store.addTenant('tiny', `other-${job.name.slice(5)}`);
    await expect(findRun(producer.pools, id, other, producer.crypto)).rejects.toThrow(UnknownRunError);
    const moved = await producer.accept({ job: job.name, tenant: other, input: {} }, 'test');
    await ended(moved.id);
    await store.admin.query(
      'UPDATE ops.payloads SET results = (SELECT results FROM ops.payloads WHERE runs = ARRAY[$1::uuid]) WHERE runs = ARRAY[$2::uuid]',
      [id, moved.id],
    );
    expect(await findRun(producer.pools, moved.id, other, producer.crypto)).toMatchObject({ result: '<personal>' });
  });

  test('of runs that share a call is each one’s own; beside one that fails as well', async () => {
    const { producer } = engine;
    const bad = (flag: boolean) => ({ job: answer.name, tenant, input: { bad: flag } });
    const runs = await producer.acceptMany([bad(false), bad(false), bad(true), bad(false)], 'test');
    const found = [];
    for (const { id } of runs) {
      await ended(id);
      found.push(await findRun(producer.pools, id, tenant, producer.crypto));
    }
    expect(found.map(({ status, result }) => [status, result])).toEqual([
      ['completed', told],
      ['completed', told],
      ['failed', null],
      ['completed', told],
    ]);
    expect(await anywhere('Lovelace')).toEqual([]);
  });
});

describe('personal fields of an input', () => {
  test.each([
    ['request', call],
    ['task', long],
  ])('reach the handler of a %s, and stand nowhere in the clear', async (_kind, job) => {
    const { id } = await engine.producer.accept(request(job), 'test');
    const run = await ended(id);
    expect(run).toMatchObject({
      status: 'completed',
      input: { who: { name: '<personal>', phones: ['<personal>', '<personal>'] }, n: 1 },
    });
    expect(run.input).not.toHaveProperty('$personal');
    expect(seen.length).toBeGreaterThan(0);
    for (const one of seen) expect(one).toEqual(input);
    expect(await anywhere('Lovelace')).toEqual([]);
    expect(await anywhere('+4420')).toEqual([]);
  });

  test('are encrypted by every way in', async () => {
    const { producer } = engine;
    const many = await producer.acceptMany([request(call), request(call)], 'test');
    const inside = await inTransaction(producer.pools.ops, [], (client) =>
      producer.acceptIn(client, request(call), 'test'),
    );
    const started = await producer.start({ kind: 'manual', job: call.name, tenants: [tenant], input }, 'test');
    const ids = [...many, inside].map((run) => run.id).concat(started.runs.map((run) => run.runId));
    for (const id of ids) expect(await ended(id)).toMatchObject({ status: 'completed' });
    expect(await anywhere('Lovelace')).toEqual([]);
    expect(seen).toHaveLength(8);
  });

  test('are encrypted each with its own run, when there are so many that they are inserted in several statements', async () => {
    const { producer } = engine;
    const later = { ...request(call), dueAt: new Date(Date.now() + 3_600_000) };
    const runs = await producer.acceptMany(
      Array.from({ length: 1_002 }, (_, i) => ({ ...later, input: { ...input, n: i } })),
      'test',
    );
    expect(runs).toHaveLength(1_002);
    for (const n of [0, 999, 1_001])
      expect((await findRun(producer.pools, runs[n]?.id ?? '', tenant)).input).toMatchObject({
        who: { name: '<personal>' },
        n,
      });
    expect(await anywhere('Lovelace')).toEqual([]);
  });

  test('come to every shard of a sweep', async () => {
    await addItems(engine.store, tenant, 4);
    const { id } = await engine.producer.accept({ ...request(walk), options: { shards: 2 } }, 'test');
    expect(await ended(id)).toMatchObject({ status: 'completed', processed: 4 });
    expect(seen).toEqual([input, input]);
  });

  test('survive a retry and a retry of many, each under a ciphertext of its own', async () => {
    failing = true;
    const { id } = await engine.producer.accept(request(long), 'test');
    expect(await ended(id)).toMatchObject({ status: 'failed', errorMessage: 'no luck with <personal>' });
    failing = false;
    const retried = await engine.producer.retry(id, 'test', null);
    expect(await ended(retried.id)).toMatchObject({ status: 'completed', retryOf: id });
    const again = await engine.producer.retryMany({ status: 'failed', tenant, limit: 10, again: true }, 'test', null);
    const retryId = again.runs[0]?.retryId ?? '';
    expect(await ended(retryId)).toMatchObject({ status: 'completed' });
    expect(seen).toEqual([input, input]);
    const { rows } = await engine.store.admin.query<{ sealed: string }>(
      `SELECT input ->> '$personal' AS sealed FROM ops.run_payloads WHERE run_id = ANY ($1)`,
      [[id, retried.id, retryId]],
    );
    expect(new Set(rows.map((row) => row.sealed)).size).toBe(3);
  });

  test('are in no message, whoever throws it; a replay of the items that failed has them', async () => {
    failing = true;
    const called = await engine.producer.accept(request(call), 'test');
    expect(await ended(called.id)).toMatchObject({ status: 'failed', errorMessage: '<personal> is not at home' });
    await addItems(engine.store, tenant, 3, { prefix: 'j' });
    const { id } = await engine.producer.accept({ ...request(walk), options: { shards: 1 } }, 'test');
    expect(await ended(id)).toMatchObject({ status: 'completed_with_item_errors', failedItems: 1 });
    const failures = await engine.store.admin.query(
      'SELECT item_key, error_message FROM ops.item_failures WHERE run_id = $1',
      [id],
    );
    expect(failures.rows).toEqual([{ item_key: 'j002', error_message: 'no luck with <personal>' }]);
    failing = false;
    seen = [];
    const replayed = await engine.producer.replay(id, 'test', null);
    expect(await ended(replayed.id)).toMatchObject({ status: 'completed', processed: 1, replayOf: id });
    expect(seen).toEqual([input]);
    expect(await anywhere('Lovelace')).toEqual([]);
  });

  test('do not open in another run', async () => {
    const dueAt = new Date(Date.now() + 3_600_000);
    const from = await engine.producer.accept({ ...request(call), dueAt }, 'test');
    const into = await engine.producer.accept({ ...request(call), dueAt }, 'test');
    await engine.store.admin.query(
      `UPDATE ops.open_runs SET input = (SELECT input FROM ops.open_runs WHERE id = $1), due_at = now(), state = 'queued' WHERE id = $2`,
      [from.id, into.id],
    );
    const run = await ended(into.id);
    expect(run).toMatchObject({ status: 'failed', errorClass: 'DecryptionError' });
    expect(run.errorMessage).toContain('run.input');
    expect(seen).toEqual([]);
  });

  test('of a forgotten tenant cannot be done again', async () => {
    const { id } = await engine.producer.accept(request(call), 'test');
    await ended(id);
    await forgetTenantKey(engine.producer.pools.ops, tenant, 'test');
    // A process that has not seen the key: this one remembers it for a minute.
    const other = await testEngine({ jobs: [call, long, walk], workers: 0, store: engine.store });
    await expect(other.producer.retry(id, 'test', null)).rejects.toThrow(RunStateError);
    const many = await other.producer.retryMany({ status: 'failed', tenant, limit: 10 }, 'test', null);
    expect(many.runs).toEqual([]);
    await other.close();
    expect(await findRun(engine.producer.pools, id, null)).toMatchObject({
      input: { n: 1, who: { name: '<personal>' } },
    });
  });

  test('are refused by a process without keys, and a worker without keys does not start', async () => {
    const { databaseUrl, redisUrl, namespace } = engine.store;
    const bare = createProducer({
      databaseUrl,
      redisUrl,
      namespace,
      catalogue: engine.producer.catalogue,
      log: pino({ level: 'silent' }),
    });
    await expect(bare.accept(request(call), 'test')).rejects.toThrow(NoKeyError);
    await expect(bare.accept(request(call), 'test')).rejects.toThrow(/ENCRYPTION_KEYS/);
    await bare.close();
    await expect(engine.addWorker({ encryptionKeys: undefined })).rejects.toThrow(
      /tiny\.call, tiny\.long, tiny\.walk, tiny\.answer, tiny\.report need encryption keys/,
    );
    expect((await engine.store.admin.query('SELECT 1 FROM ops.runs WHERE tenant_id = $1', [tenant])).rowCount).toBe(0);
  });

  test('cannot be given as the envelope of another', async () => {
    const given = { ...request(call), input: { ...input, $personal: 'ns1.x.y.z' } };
    await expect(engine.producer.accept(given, 'test')).rejects.toThrow(InvalidInputError);
    await expect(engine.producer.accept(given, 'test')).rejects.toThrow('/input/$personal');
  });

  test('name their problem without their value', async () => {
    const bad = { ...request(call), input: { who: { name: 'x', phones: ['07712'] }, n: 1 } };
    const refused = await engine.producer.accept(bad, 'test').catch((error: Error) => error.message);
    expect(refused).toContain('/input/who/phones/0');
    expect(refused).not.toContain('07712');
  });
});
