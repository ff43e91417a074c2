import { createPool, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createBroker } from './broker.ts';
import { createDispatcher } from './dispatcher.ts';
import { createJobSettings } from './job-settings.ts';
import { connectProducer } from './redis-connect.ts';
import { createClock } from './schedule/clock.ts';
import { createTenants } from './tenants.ts';
import { type TestEngine, testEngine, until } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

const job = tinyRequest('idle', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const log = pino({ level: 'silent' });

let engine: TestEngine;
let ops: Pool;
/** Questions outside a transaction, and transactions begun. */
let asked: string[] = [];
let begun = 0;

/** The pool, with what is asked of it written down. */
function overheard(pool: Pool): Pool {
  return new Proxy(pool, {
    get(target, property) {
      if (property === 'connect') begun += 1;
      if (property === 'query')
        return (statement: string | { text: string }, ...rest: [unknown[]?]) => {
          asked.push(typeof statement === 'string' ? statement : statement.text);
          return target.query(statement as string, ...rest);
        };
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** After so many more questions, those and the transactions among them. */
async function questions(n: number): Promise<{ different: number; transactions: number }> {
  asked = [];
  begun = 0;
  await until(`${n} questions`, async () => asked.length >= n);
  return { different: new Set(asked).size, transactions: begun };
}

beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  ops = createPool({ url: engine.store.databaseUrl, role: 'ns_ops', max: 4, name: 'test' });
});
afterAll(async () => {
  await ops.end();
  await engine.close();
});

it('a dispatcher with nothing to hand out asks one question for all queues, and misses nothing that it was not woken for', async () => {
  const { redisUrl, namespace } = engine.store;
  const redis = connectProducer(redisUrl, log);
  await until('Redis', async () => redis.status === 'ready');
  const broker = createBroker({ redis, namespace });
  const { catalogue } = engine.producer;
  const tenants = createTenants(ops);
  const dispatcher = createDispatcher({ ops: overheard(ops), catalogue, broker, tenants, log });
  try {
    // Each queue is passed over once at the start.
    await until('the first passes', async () => begun >= catalogue.queues.length);
    expect(await questions(3)).toEqual({ different: 1, transactions: 0 });

    await engine.store.admin.query(
      `INSERT INTO ops.workers (id, host, pid, version, slots, jobs) VALUES ('w', 'h', 1, 'v', $1, $2)`,
      [JSON.stringify({ [job.queue]: 1 }), JSON.stringify({ [job.name]: job.inputVersion })],
    );
    const tenant = await engine.store.addTenant('tiny', 'a');
    // The producer wakes dispatchers over Redis, which this one does not listen to.
    const { id } = await engine.producer.accept({ job: job.name, tenant, input: {} }, 'test');
    await until('its dispatch', async () => {
      const { rows } = await engine.store.admin.query('SELECT 1 FROM ops.dispatches WHERE $1 = ANY (runs)', [id]);
      return rows.length === 1;
    });
  } finally {
    await dispatcher.stop();
    await broker.close();
    redis.disconnect();
  }
});

it('a clock with nothing due asks one question', async () => {
  const clock = createClock({
    ops: overheard(ops),
    catalogue: engine.producer.catalogue,
    settings: createJobSettings(ops),
    log,
    wake: () => undefined,
    fireSchedules: true,
  });
  try {
    expect(await questions(3)).toEqual({ different: 1, transactions: 0 });
  } finally {
    await clock.stop();
  }
});
