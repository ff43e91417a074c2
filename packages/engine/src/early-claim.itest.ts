import { createPool, inTransaction, type Pool } from '@nightshift/db';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBroker } from './broker.ts';
import type { DefinedJob } from './define-job.ts';
import { createPass, type Pass } from './dispatch.ts';
import { createDispatcher } from './dispatcher.ts';
import type { Dispatch, ExecuteDeps } from './execute/execution.ts';
import { executeLong } from './execute/long.ts';
import { executeShort } from './execute/short.ts';
import { findRun } from './query/index.ts';
import { connectProducer } from './redis-connect.ts';
import { createTenants } from './tenants.ts';
import { executeDeps } from './testing/execute-deps.ts';
import { dispatchOf, type TestEngine, testEngine, until } from './testing/index.ts';
import { makeTinyTables, tinyRequest, tinyTask } from './testing/tiny.ts';

// Redis has a dispatch before the pass that made it has committed.

const idsOf = (runs: readonly { runId: string }[]) => runs.map((run) => run.runId);
const LEAVE = 'INSERT INTO tiny.effects (run_id) SELECT unnest($1::uuid[])';
const handle: Parameters<typeof tinyRequest>[1]['handle'] = async (ctx, runs) => {
  await ctx.client.query(LEAVE, [idsOf(runs)]);
  await during();
  return runs.map(() => ({ ok: null }));
};
let before: string[] = [];
let during: () => Promise<void> = async () => undefined;
const lone = tinyRequest('lone', { handle });
const waits = tinyRequest('waits', {
  before: async (_ctx, runs) => {
    before.push(...idsOf(runs));
  },
  handle,
});
const long = tinyTask('long', {
  async run(ctx) {
    await ctx.transaction(({ client }) => client.query(LEAVE, [[ctx.runId]]));
    return null;
  },
});
const jobs: readonly DefinedJob[] = [lone, waits, long];
const log = pino({ level: 'silent' });

let engine: TestEngine;
let app: Pool;
let ops: Pool;
let deps: ExecuteDeps;
let tenants: string[];

beforeAll(async () => {
  engine = await testEngine({ jobs, workers: 0 });
  await makeTinyTables(engine.store);
  tenants = await Promise.all(['a', 'b', 'c'].map((slug) => engine.store.addTenant('tiny', slug)));
  const { databaseUrl: url } = engine.store;
  app = createPool({ url, role: 'ns_app', max: 4, name: 'test-app' });
  ops = createPool({ url, role: 'ns_ops', max: 4, name: 'test-pass' });
  deps = executeDeps(engine, { app, ops }, jobs);
  await engine.store.admin.query(
    `INSERT INTO ops.workers (id, host, pid, version, slots, jobs, heartbeat_at) VALUES ('w', 'h', 1, 'v', $1, $2, now() + interval '1 day')`,
    [
      JSON.stringify(Object.fromEntries(jobs.map((job) => [job.queue, 1]))),
      JSON.stringify(Object.fromEntries(jobs.map((job) => [job.name, job.inputVersion]))),
    ],
  );
});
afterAll(async () => {
  await Promise.all([app.end(), ops.end()]);
  await engine.close();
});

const accept = (job: DefinedJob, of: readonly string[]) =>
  Promise.all(
    of.map(async (tenant) => (await engine.producer.accept({ job: job.name, tenant, input: {} }, 'test')).id),
  );
const find = (id: string) => findRun(engine.producer.pools, id, null);

async function effectsOf(runs: readonly string[]): Promise<number> {
  const { rows } = await engine.store.admin.query('SELECT FROM tiny.effects WHERE run_id = ANY ($1)', [runs]);
  return rows.length;
}

/** Backends of the test that wait for a lock, by the name of their pool. */
async function waiting(name: string): Promise<number[]> {
  const { rows } = await engine.store.admin.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND wait_event_type = 'Lock'`,
    [name],
  );
  return rows.map((row) => row.pid);
}

/** Does `work` while no hand-out of the queue can be committed: a pass waits for the row that it counts its dispatches in. */
async function withoutCommit(queue: string, work: () => Promise<void>): Promise<void> {
  const { admin } = engine.store;
  await admin.query('INSERT INTO ops.queues (queue) VALUES ($1) ON CONFLICT DO NOTHING', [queue]);
  await inTransaction(admin, [], async (client) => {
    await client.query('SELECT FROM ops.queues WHERE queue = $1 FOR UPDATE', [queue]);
    await work();
  });
}

interface Early {
  /** What became of the pass; an error it failed with. */
  readonly passed: Promise<Pass | null | Error>;
  readonly executed: Promise<unknown>;
}

/** A pass over the queue, which `meanwhile` finds before its commit, and its dispatch executed since before that. */
async function early(
  job: DefinedJob,
  { by = deps, meanwhile }: { by?: ExecuteDeps; meanwhile?: (passed: Early['passed']) => Promise<unknown> } = {},
): Promise<Early> {
  const pass = createPass({
    ops,
    kindOf: () => (job.kind === 'request' ? 'short' : 'long'),
    msPerRun: () => 1,
    mayShare: () => true,
  });
  let executed: Promise<unknown> = Promise.resolve();
  let passed: Promise<Pass | null | Error> = Promise.resolve(null);
  await withoutCommit(job.queue, async () => {
    const told = new Promise<Dispatch>((resolve) => {
      passed = pass(job.queue, ([first]) => first !== undefined && resolve(first)).catch((error: Error) => error);
    });
    const dispatch = await told;
    executed = job.kind === 'request' ? executeShort(by, dispatch) : executeLong(by, dispatch, new Map());
    await until('the pass and the claim wait', async () => {
      const [passes, claims] = [await waiting('test-pass'), await waiting('test-app')];
      return passes.length === 1 && claims.length === 1;
    });
    await meanwhile?.(passed);
  });
  return { passed, executed };
}

describe('a dispatch that is claimed before its pass has committed', () => {
  it.each([
    ['a lone run', lone, 1],
    ['bundles of several tenants', lone, 3],
    ['a job that waits before its claim', waits, 1],
    ['a long run', long, 1],
  ] as const)('is executed after the commit: %s', async (_of, job, n) => {
    before = [];
    const runs = await accept(job, tenants.slice(0, n));
    const { passed, executed } = await early(job);
    expect(await passed).toMatchObject({ dispatches: [{ runs: expect.arrayContaining(runs) }] });
    await executed;
    for (const run of runs) expect(await find(run)).toMatchObject({ status: 'completed', attempts: 1 });
    expect(await effectsOf(runs)).toBe(n);
    if (job === waits) expect(before).toEqual(runs);
  });

  it('keeps no pass away while it is executed: the lock that its claim waited for is free again', async () => {
    let held: unknown[] | null = null;
    during = async () => {
      const { rows } = await engine.store.admin.query(
        `SELECT mode FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND application_name = 'test-app' AND datname = current_database()`,
      );
      held = rows;
    };
    try {
      const [run = ''] = await accept(lone, tenants.slice(0, 1));
      await (await early(lone)).executed;
      expect(held).toEqual([]);
      expect(await find(run)).toMatchObject({ status: 'completed' });
    } finally {
      during = async () => undefined;
    }
  });

  it.each([
    ['short', lone],
    ['long', long],
  ] as const)('is given back by a worker that does not know its job: %s', async (_kind, job) => {
    const [run = ''] = await accept(job, tenants.slice(0, 1));
    const { executed } = await early(job, { by: executeDeps(engine, { app, ops }, []) });
    await executed;
    expect(await dispatchOf(engine.store.admin, run)).toBeNull();
    await (await early(job)).executed;
    expect(await find(run)).toMatchObject({ status: 'completed', attempts: 1 });
  });

  it.each([
    ['short', lone],
    ['long', long],
  ] as const)(
    'is nothing to whoever claims it when the pass fails, and its runs are handed out again: %s',
    async (_kind, job) => {
      const runs = await accept(job, tenants.slice(0, 1));
      const meanwhile = async (passed: Early['passed']) => {
        for (const pid of await waiting('test-pass'))
          await engine.store.admin.query('SELECT pg_terminate_backend($1)', [pid]);
        await until('the end of the pass', async () => (await passed) instanceof Error);
      };
      const { executed } = await early(job, { meanwhile });
      await executed;
      const [run = ''] = runs;
      expect(await find(run)).toMatchObject({ status: 'queued', attempts: 1 });
      expect(await effectsOf(runs)).toBe(0);
      await (await early(job)).executed;
      expect(await find(run)).toMatchObject({ status: 'completed', attempts: 1, crashes: 0 });
      expect(await effectsOf(runs)).toBe(1);
    },
  );
});

describe('a dispatcher', () => {
  async function withDispatcher(
    change: (broker: ReturnType<typeof createBroker>) => Partial<ReturnType<typeof createBroker>>,
    work: () => Promise<void>,
  ): Promise<void> {
    const { redisUrl, namespace } = engine.store;
    const redis = connectProducer(redisUrl, log);
    await until('Redis', async () => redis.status === 'ready');
    const broker = createBroker({ redis, namespace });
    const { catalogue } = engine.producer;
    const changed = { ...broker, ...change(broker) };
    const dispatcher = createDispatcher({ ops, catalogue, broker: changed, tenants: createTenants(ops), log });
    try {
      await work();
    } finally {
      await dispatcher.stop();
      await broker.close();
      redis.disconnect();
    }
  }

  it('tells BullMQ while the commit is on its way', async () => {
    await withDispatcher(
      () => ({}),
      async () => {
        await withoutCommit(lone.queue, async () => {
          const [run = ''] = await accept(lone, tenants.slice(0, 1));
          const { redisUrl, namespace } = engine.store;
          const redis = connectProducer(redisUrl, log);
          await until('Redis', async () => redis.status === 'ready');
          const queue = createBroker({ redis, namespace }).queue(lone.queue);
          await until('its BullMQ job', async () =>
            (await queue.getJobs(['prioritized', 'waiting'])).some((job) => job.data.runs.includes(run)),
          );
          expect(await dispatchOf(engine.store.admin, run)).toBeNull();
          redis.disconnect();
        });
      },
    );
  });

  it('hands runs out again when Redis did not take them', async () => {
    let refused: string[] = [];
    await withDispatcher(
      (broker) => ({
        async add(queue, dispatches, of) {
          if (refused.length > 0) return broker.add(queue, dispatches, of);
          refused = dispatches.map((dispatch) => dispatch.id);
          throw new Error('OOM command not allowed');
        },
      }),
      async () => {
        const [run = ''] = await accept(lone, tenants.slice(0, 1));
        await until('another dispatch', async () => {
          const dispatch = await dispatchOf(engine.store.admin, run);
          return refused.length > 0 && dispatch !== null && !refused.includes(dispatch);
        });
      },
    );
  });
});
