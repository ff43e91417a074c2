import { createPool, type Pool, type PoolClient } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createBroker } from './broker.ts';
import { createDispatcher } from './dispatcher.ts';
import { PASS_LOCK } from './limits/pass-lock.ts';
import { connectProducer } from './redis-connect.ts';
import { createTenants } from './tenants.ts';
import { type TestEngine, testEngine, until } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

const job = tinyRequest('shared', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const log = pino({ level: 'silent' });
/** Ends of dispatches come so often, ms: less than a dispatcher waits for one. */
const END_EVERY_MS = 20;

let engine: TestEngine;
let ops: Pool;
/** Passes asked for, and looks at all queues. */
let passes = 0;
let looks = 0;

/** The pool, with passes and looks counted. */
function counted(pool: Pool): Pool {
  return new Proxy(pool, {
    get(target, property) {
      if (property === 'connect') passes += 1;
      if (property === 'query') looks += 1;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** As another process that makes a pass over the queue. */
async function makePass(work: (end: () => Promise<unknown>) => Promise<void>): Promise<void> {
  const other: PoolClient = await ops.connect();
  try {
    await other.query('BEGIN');
    await other.query(`SELECT pg_advisory_xact_lock(${PASS_LOCK}, hashtext($1))`, [job.queue]);
    await work(() => other.query('COMMIT'));
  } finally {
    await other.query('ROLLBACK');
    other.release();
  }
}

beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 4, name: 'test' });
  await engine.store.admin.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs, heartbeat_at) VALUES ('w', 'h', 1, 'v', $1, $2, now() + interval '1 day')`,
    [JSON.stringify({ [job.queue]: 4 }), JSON.stringify({ [job.name]: job.inputVersion })],
  );
});
afterAll(async () => {
  await ops.end();
  await engine.close();
});

it('a dispatcher leaves passes to the process that makes them while dispatches end here, and asks again when none does', async () => {
  const { redisUrl, namespace } = engine.store;
  const redis = connectProducer(redisUrl, log);
  await until('Redis', async () => redis.status === 'ready');
  const broker = createBroker({ redis, namespace });
  const tenant = await engine.store.addTenant('tiny', 'a');
  const dispatcher = createDispatcher({
    ops: counted(ops),
    catalogue: engine.producer.catalogue,
    broker,
    tenants: createTenants(ops),
    log,
  });
  let ends: NodeJS.Timeout | undefined;
  try {
    await until('the first passes', async () => passes >= engine.producer.catalogue.queues.length);
    await makePass(async (end) => {
      const { id } = await engine.producer.accept({ job: job.name, tenant, input: {} }, 'test');
      const before = passes;
      dispatcher.wake([job.queue]);
      await until('a pass that is refused', async () => passes > before);
      ends = setInterval(() => dispatcher.freed(job.queue, 4), END_EVERY_MS);
      dispatcher.freed(job.queue, 4);
      // It may have looked already when the first dispatch ended: from the next look on it knows.
      const known = looks + 2;
      await until('a look', async () => looks >= known);
      const asked = passes;
      await until('three more looks', async () => looks >= known + 3);
      expect(passes).toBe(asked);

      clearInterval(ends);
      await until('another pass that is refused', async () => passes > asked);
      await end();
      await until('its dispatch', async () => {
        const { rows } = await engine.store.admin.query('SELECT 1 FROM ops.dispatches WHERE $1 = ANY (runs)', [id]);
        return rows.length === 1;
      });
    });
  } finally {
    clearInterval(ends);
    await dispatcher.stop();
    await broker.close();
    redis.disconnect();
  }
});
