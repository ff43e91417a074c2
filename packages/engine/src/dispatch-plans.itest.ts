import type { PoolClient } from '@nightshift/db';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { oldestInTurn, oldestOf, readStateAtRest, tenantsInTurn } from './dispatch-queries.ts';
import {
  add,
  closeStore,
  finish,
  inTurn,
  openStore,
  ops,
  ownQueue,
  passes,
  queue,
  store,
  worker,
} from './testing/passes.ts';

beforeAll(openStore);
afterAll(closeStore);
beforeEach(ownQueue);

interface Prepared {
  readonly name: string;
  readonly text: string;
}

const READABLE = { x: 1 };
const TURN = { cursor: '00000000-0000-0000-0000-000000000000', limit: 10, readable: READABLE, paused: [] };
const SHARE = { tenants: 10, runs: 1_000, most: 1_000, bundle: 200 };

/** What a pass asks of what is queued. */
async function askedBy(client: PoolClient): Promise<Prepared[]> {
  const asked: Prepared[] = [];
  const recorder = {
    query(prepared: Prepared) {
      asked.push(prepared);
      return client.query(prepared);
    },
  } as unknown as PoolClient;
  for (const held of [[], ['x 00000000-0000-0000-0000-000000000000']]) {
    await tenantsInTurn(recorder, queue, 3, { ...TURN, held });
    await oldestInTurn(recorder, queue, 3, { ...TURN, held }, SHARE);
    await oldestOf(recorder, queue, 3, inTurn(2), [0, 0], 100, READABLE, held);
  }
  await readStateAtRest(recorder, queue, 10);
  return asked;
}

it('a pass looks its candidates up by hash in what is in hand, however much of that Postgres expects', async () => {
  await worker(2);
  await add({ n: 30 });
  const made = await passes()();
  // As after many small rows that were vacuumed, and large ones in their pages since: the planner expects as many rows a page.
  await store.admin.query(`UPDATE pg_class SET reltuples = 1e9, relpages = 1 WHERE oid = 'ops.dispatches'::regclass`);
  const client = await ops.connect();
  try {
    await client.query(`BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL work_mem = '64MB'`);
    const asked = await askedBy(client);
    expect(new Set(asked.map(({ name }) => name)).size).toBe(7);
    for (const { name, text } of asked) {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN (GENERIC_PLAN) ${text}`);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      expect(plan, name).toContain('(hashed SubPlan');
      // Not by hash, each candidate is compared with every run in hand: with some ten thousand of them a pass takes seconds.
      expect(plan, name).not.toMatch(/= \(SubPlan/);
    }
  } finally {
    await client.query('ROLLBACK');
    client.release();
    await finish(made.dispatches);
  }
});
