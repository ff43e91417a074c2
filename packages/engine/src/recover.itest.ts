import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { countCrashes, MAX_CRASHES } from './crashes.ts';
import { newId } from './id.ts';
import { findRun, listAttempts } from './query/index.ts';
import { recordCrashes } from './recover.ts';
import { incarnationKey } from './redis-names.ts';
import { dispatchByHand, dispatchOf, type TestEngine, testEngine, until } from './testing/index.ts';
import {
  addItems,
  countAsDone,
  createGate,
  doneItems,
  type Gate,
  makeTinyTables,
  tinyRequest,
  tinySweep,
} from './testing/tiny.ts';

let gate: Gate;

/** Leaves an effect a run; waits before its claim when it is told to. */
const request = tinyRequest('request', {
  async before(_ctx, runs) {
    if (runs.some((run) => run.input.hold)) await gate.pass();
  },
  async handle(ctx, runs) {
    await ctx.client.query('INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])', [
      runs.map((run) => run.runId),
    ]);
    return runs.map(() => ({ ok: null }));
  },
});
/** Item → gate at which the next batch that begins with it is held. */
const holds = new Map<string, Gate>();
const sweep = tinySweep('sweep', {
  async process(ctx, items) {
    const hold = holds.get(items[0]?.id ?? '');
    holds.delete(items[0]?.id ?? '');
    await hold?.pass();
    return countAsDone(ctx, items);
  },
});

let engine: TestEngine;
let tenant: string;
let tenants = 0;

beforeAll(async () => {
  engine = await testEngine({ jobs: [request, sweep], slots: { short: 1, long: 2 } });
  await makeTinyTables(engine.store);
});
beforeEach(async () => {
  gate = createGate();
  tenant = await engine.store.addTenant('tiny', `t${++tenants}`);
});
afterAll(() => engine.close());

const accept = async (job: string, input: object = {}) =>
  (await engine.producer.accept({ job: `tiny.${job}`, tenant, input }, 'test')).id;
const find = (id: string) => findRun(engine.producer.pools, id, null);
const states = async (ids: readonly string[]) => (await Promise.all(ids.map(find))).map((run) => run.status);
const sql = (text: string, values: unknown[] = []) => engine.store.admin.query(text, values);

async function effects(ids: readonly string[]): Promise<number> {
  return (await sql('SELECT FROM tiny.effects WHERE run_id = ANY ($1)', [ids])).rowCount ?? 0;
}

/** What FLUSHDB would do, without the other tests' keys. */
async function emptyRedis(): Promise<void> {
  const redis = new Redis(engine.store.redisUrl);
  const { namespace } = engine.store;
  const keys = [...(await redis.keys(`{${namespace}:*`)), ...(await redis.keys(`${namespace}:*`))];
  expect(keys.length).toBeGreaterThan(2);
  await redis.del(...keys);
  redis.disconnect();
}

describe('an emptied Redis', () => {
  it('loses no run and doubles none, neither waiting, dispatched nor executing', async () => {
    const executing = await accept('request', { hold: true });
    await gate.reached;
    const rest = await Promise.all(Array.from({ length: 300 }, () => accept('request')));
    await until('some dispatches', async () => (await states(rest)).includes('dispatched'));
    const redis = new Redis(engine.store.redisUrl);
    const before = await redis.get(incarnationKey(engine.store.namespace));
    await emptyRedis();
    await until('a new incarnation', async () => {
      const now = await redis.get(incarnationKey(engine.store.namespace));
      return now !== null && now !== before;
    });
    redis.disconnect();
    gate.open();
    const ids = [executing, ...rest];
    expect((await engine.producer.waitFor(ids, { timeoutMs: 40_000 })).size).toBe(301);
    expect(await effects(ids)).toBe(301);
    expect(new Set(await states(ids))).toEqual(new Set(['completed']));
  });

  it('takes back a dispatch that it never had', async () => {
    const id = await accept('request', { hold: true });
    await gate.reached;
    const restored = await accept('request');
    const unknown = await dispatchByHand(engine.store.admin, [restored]);
    await emptyRedis();
    await until(
      'the restored run to be taken back',
      async () => (await dispatchOf(engine.store.admin, restored)) !== unknown,
    );
    gate.open();
    expect((await engine.producer.waitFor([id, restored], { timeoutMs: 40_000 })).size).toBe(2);
    expect(await effects([id, restored])).toBe(2);
  });
});

/** Its dispatch is a minute older. */
async function age(run: string): Promise<void> {
  await sql(`UPDATE ops.dispatches SET dispatched_at = dispatched_at - interval '1 minute' WHERE $1 = ANY (runs)`, [
    run,
  ]);
}

describe('a dispatch that Redis lost', () => {
  it('goes back, and its run ends', async () => {
    const id = await accept('request', { hold: true });
    await gate.reached;
    const lost = await accept('request');
    await until('its dispatch', async () => (await find(lost)).status === 'dispatched');
    const redis = new Redis(engine.store.redisUrl);
    const keys = await redis.keys(`{${engine.store.namespace}:tiny}*`);
    const dispatch = (await dispatchOf(engine.store.admin, lost)) ?? '';
    const job = keys.find((key) => key.endsWith(`:${dispatch}`)) ?? '';
    await redis.del(job);
    await redis.zrem(`${job.slice(0, job.lastIndexOf(':'))}:prioritized`, dispatch);
    redis.disconnect();
    await age(lost);
    await until('the run to be queued again', async () => (await dispatchOf(engine.store.admin, lost)) !== dispatch);
    gate.open();
    expect((await engine.producer.waitFor([id, lost], { timeoutMs: 40_000 })).size).toBe(2);
    expect(await effects([id, lost])).toBe(2);
  });

  it('is not called lost while it only waits', async () => {
    const id = await accept('request', { hold: true });
    await gate.reached;
    const waiting = await accept('request');
    await until('its dispatch', async () => (await find(waiting)).status === 'dispatched');
    const before = await dispatchOf(engine.store.admin, waiting);
    await age(id);
    await age(waiting);
    // Another dispatch that is lost shows that recovery has looked.
    const fake = await accept('request');
    const lost = await dispatchByHand(engine.store.admin, [fake]);
    await age(fake);
    await until('recovery', async () => (await dispatchOf(engine.store.admin, fake)) !== lost);
    expect(await dispatchOf(engine.store.admin, waiting)).toBe(before);
    gate.open();
    expect((await engine.producer.waitFor([id, waiting, fake], { timeoutMs: 40_000 })).size).toBe(3);
    expect(await effects([id, waiting, fake])).toBe(3);
  });
});

describe('the table of dispatches', () => {
  it('forgets those whose runs are gone, once they are old', async () => {
    const add = async (ageSeconds: number) => {
      const id = newId();
      await sql(
        `INSERT INTO ops.dispatches (id, queue, job, priority, tenant_ids, runs, dispatched_at)
         VALUES ($1, 'tiny', 'tiny.request', 1, ARRAY[$2::uuid], $3, clock_timestamp() - make_interval(secs => $4))`,
        [id, tenant, [newId()], ageSeconds],
      );
      return id;
    };
    const [young, old] = [await add(0), await add(60)];
    const left = async () =>
      (await sql('SELECT id FROM ops.dispatches WHERE id = ANY ($1)', [[old, young]])).rows.map((row) => row.id);
    await until('the old one to go', async () => !(await left()).includes(old));
    expect(await left()).toEqual([young]);
  });
});

describe('a crash', () => {
  it('that BullMQ saw is counted, and the runs of the bundle go on alone', async () => {
    const holding = await accept('request', { hold: true });
    await gate.reached;
    const ids = await Promise.all([accept('request'), accept('request')]);
    const dispatchId = '00000000-0000-4000-8000-000000000001';
    await dispatchByHand(engine.store.admin, ids, dispatchId);
    const crashed = await countCrashes(engine.producer.pools.ops, { dispatchId });
    expect(crashed.map((run) => [run.id, run.crashes]).sort()).toEqual(ids.map((id) => [id, 1]).sort());
    expect(await countCrashes(engine.producer.pools.ops, { dispatchId })).toEqual([]);
    gate.open();
    await engine.producer.waitFor([holding, ...ids], { timeoutMs: 40_000 });
    for (const id of ids) {
      expect(await find(id)).toMatchObject({ status: 'completed', attempts: 1, crashes: 1, bundleSize: 1 });
      const attempts = await listAttempts(engine.producer.pools, id, tenant);
      expect(attempts.map((attempt) => attempt.outcome)).toEqual(['crashed', 'completed']);
    }
  });

  it('that BullMQ saw is told by it; whoever was taken for dead and lives writes nothing', async () => {
    const other = await engine.addWorker();
    const id = await accept('request', { hold: true, note: 'lives' });
    await gate.reached;
    const dispatch = await dispatchOf(engine.store.admin, id);
    // As when its worker had died: the lock runs out, and is not there to be renewed.
    const redis = new Redis(engine.store.redisUrl);
    await redis.del(`{${engine.store.namespace}:tiny}:tiny:${dispatch}:lock`);
    redis.disconnect();
    await until('the crash', async () => (await find(id)).crashes === 1);
    gate.open();
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    expect(await find(id)).toMatchObject({ status: 'completed', crashes: 1, attempts: 1 });
    await other.stop();
    expect(await effects([id])).toBe(1);
  });

  it('too many is the end: no fourth worker gets the run', async () => {
    const id = (
      await engine.producer.accept(
        { job: 'tiny.request', tenant, input: {}, dueAt: new Date(Date.now() + 3_600_000) },
        'test',
      )
    ).id;
    const dispatchId = '00000000-0000-4000-8000-000000000002';
    await dispatchByHand(engine.store.admin, [id], dispatchId);
    await sql('UPDATE ops.open_runs SET crashes = $2 WHERE id = $1', [id, MAX_CRASHES - 1]);
    const announced: unknown[] = [];
    const log = (await import('pino')).pino({ level: 'silent' });
    const crashed = await recordCrashes(
      { ops: engine.producer.pools.ops, log, announce: (ended) => announced.push(...ended) },
      { dispatchId },
    );
    expect(crashed).toMatchObject([{ id, crashes: MAX_CRASHES }]);
    expect(announced).toEqual([[id, 'failed']]);
    expect(await find(id)).toMatchObject({ status: 'failed', errorClass: 'CrashLoopError', crashes: MAX_CRASHES });
    const { rows } = await sql('SELECT severity, job, run_id FROM ops.alerts WHERE tenant_id = $1', [tenant]);
    expect(rows).toEqual([{ severity: 'CRITICAL', job: 'tiny.request', run_id: id }]);
    expect(await effects([id])).toBe(0);
  });
});

describe('an expired lease', () => {
  it('gives the sweep to another at its checkpoint; the first can no longer commit', async () => {
    await addItems(engine.store, tenant, 30, { prefix: `t${tenants}-` });
    const later = createGate();
    holds.set(`t${tenants}-010`, gate).set(`t${tenants}-020`, later);
    const id = await accept('sweep');
    await gate.reached;
    // Recovery trusts no expiry in the first seconds of a Postgres that was away: nobody could renew then.
    await until('Postgres to have been up for a lease', async () => {
      const { rows } = await sql(
        `SELECT pg_postmaster_start_time() < clock_timestamp() - interval '15 seconds' AS long`,
      );
      return rows[0]?.long === true;
    });
    await until('the second claim', async () => {
      // The first worker lives and renews: until recovery has looked, its lease is made to expire again and again.
      const { rows } = await sql(
        `UPDATE ops.open_runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = $1 AND fence = 1 AND state = 'running' RETURNING fence`,
        [id],
      );
      return rows.length === 0;
    });
    await later.reached;
    // Both are in the middle of a batch; the first is let go while the second holds the run.
    gate.open();
    await until('the first to have given up', async () => {
      const { rows } = await sql(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nightshift-worker' AND xact_start IS NOT NULL`,
      );
      return rows.length === 1;
    });
    later.open();
    await engine.producer.waitFor([id], { timeoutMs: 40_000 });
    expect(await find(id)).toMatchObject({ status: 'completed', processed: 30, changed: 30, crashes: 1, attempts: 1 });
    expect(Object.values(await doneItems(engine.store, tenant))).toEqual(Array(30).fill(1));
    const attempts = await listAttempts(engine.producer.pools, id, tenant);
    expect(attempts.map((attempt) => attempt.outcome)).toEqual(['crashed', 'completed']);
  });
});
