import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dispatchByHand, dispatchOf, type TestEngine, testEngine } from '../testing/index.ts';
import { tinyRequest } from '../testing/tiny.ts';

const job = tinyRequest('idle', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
let engine: TestEngine;
let tenant: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [job], workers: 0 });
  tenant = await engine.store.addTenant('tiny', 'one');
});
afterAll(() => engine.close());

/** A run as it stands once it is in Redis. */
async function dispatched(): Promise<string> {
  const { id } = await engine.producer.accept({ job: job.name, tenant: 'one', input: {} }, 'test');
  await dispatchByHand(engine.store.admin, [id]);
  return id;
}

async function statusOf(id: string): Promise<unknown> {
  const { rows } = await engine.store.admin.query('SELECT status FROM ops.run_view WHERE id = $1', [id]);
  return rows[0]?.status;
}

test.each([
  ['queue', (): string => 'tiny'],
  ['job', (): string => job.name],
  ['tenant', (): string => tenant],
] as const)(
  'a pause of a %s takes back what waits in Redis, and leaves what a worker has in hand',
  async (kind, key) => {
    const [waiting, inHand] = [await dispatched(), await dispatched()];
    const worker = new pg.Client({ connectionString: engine.store.adminUrl });
    await worker.connect();
    await worker.query('BEGIN');
    await worker.query('SELECT 1 FROM ops.dispatches WHERE $1 = ANY (runs) FOR UPDATE', [inHand]);
    await engine.producer.pause(kind, key(), 'ada');
    expect(await statusOf(waiting)).toBe('queued');
    expect(await statusOf(inHand)).toBe('dispatched');
    await worker.end();
    expect(await engine.producer.resume(kind, key(), 'ada')).toBe(true);
  },
);

test('a pause of a tenant leaves what its dispatch carries of others', async () => {
  await engine.store.addTenant('tiny', 'other');
  const { id: own } = await engine.producer.accept({ job: job.name, tenant: 'one', input: {} }, 'test');
  const { id: others } = await engine.producer.accept({ job: job.name, tenant: 'other', input: {} }, 'test');
  const dispatch = await dispatchByHand(engine.store.admin, [own, others]);
  await engine.producer.pause('tenant', tenant, 'ada');
  expect([await statusOf(own), await statusOf(others)]).toEqual(['queued', 'dispatched']);
  expect(await dispatchOf(engine.store.admin, others)).toBe(dispatch);
  await engine.producer.resume('tenant', tenant, 'ada');
});

test('a pause waits for the pass under way, so that none starts a run after it', async () => {
  const pass = new pg.Client({ connectionString: engine.store.adminUrl });
  await pass.connect();
  await pass.query('BEGIN');
  await pass.query(`SELECT pg_advisory_xact_lock(hashtext('nightshift.pass'), hashtext('tiny'))`);
  let paused = false;
  const pausing = engine.producer.pause('queue', 'tiny', 'ada').then(() => {
    paused = true;
  });
  await expect
    .poll(async () => {
      const { rows } = await engine.store.admin.query(
        `SELECT count(*)::integer AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`,
      );
      return rows[0].n;
    })
    .toBeGreaterThan(0);
  expect(paused).toBe(false);
  await pass.query('COMMIT');
  await pausing;
  await pass.end();
});
