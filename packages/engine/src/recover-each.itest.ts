import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRun } from './query/index.ts';
import { dispatchByHand, type TestEngine, testEngine } from './testing/index.ts';
import { makeTinyTables, tinyRequest, tinySweep } from './testing/tiny.ts';

// Recovery looks for all that crashes left, whatever of it cannot be mended for now.

const request = tinyRequest('request', { handle: async (_ctx, runs) => runs.map(() => ({ ok: null })) });
const sweep = tinySweep('sweep', { shards: { items: 10, bounds: async () => [] } });

let engine: TestEngine;
let tenant: string;
beforeAll(async () => {
  engine = await testEngine({ jobs: [request, sweep] });
  await makeTinyTables(engine.store);
  tenant = await engine.store.addTenant('tiny', 'a');
  // A run of this actor cannot be ended, whoever tries.
  await engine.store.admin.query(
    `CREATE FUNCTION tiny.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it cannot be ended'; END $$;
     CREATE TRIGGER refuse BEFORE DELETE ON ops.open_runs FOR EACH ROW WHEN (OLD.actor = 'stuck') EXECUTE FUNCTION tiny.refuse()`,
  );
});
afterAll(() => engine.close());

/** The parent of shards that have all ended, and the last of them with its worker. Resolves to its id. */
async function leftParent(actor: string): Promise<string> {
  const { rows } = await engine.store.admin.query<{ id: string }>(
    `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input, started_at)
     VALUES (gen_random_uuid(), $1, $2, 1, 'tiny-long', 2, 'blocked', $3, '{"timeoutMs": 10000, "batchSize": 10, "batchDelayMs": 0}', '{}', now()) RETURNING id`,
    [tenant, sweep.name, actor],
  );
  return rows[0]?.id ?? '';
}

/** A dispatch that Redis knows nothing of. Resolves to its run. */
async function lostRun(): Promise<string> {
  const { id } = await engine.producer.accept(
    { job: request.name, tenant, input: {}, dueAt: new Date(Date.now() + 3_600_000) },
    'test',
  );
  await dispatchByHand(engine.store.admin, [id]);
  await engine.store.admin.query(
    `UPDATE ops.dispatches SET dispatched_at = dispatched_at - interval '1 minute' WHERE $1 = ANY (runs)`,
    [id],
  );
  await engine.store.admin.query('UPDATE ops.open_runs SET due_at = clock_timestamp() WHERE id = $1', [id]);
  return id;
}

const status = async (id: string) => (await findRun(engine.producer.pools, id, null)).status;

describe('recovery', () => {
  it('finds the rest where one run cannot be ended, and that one once it can', async () => {
    const stuck = await leftParent('stuck');
    const others = [await leftParent('test'), await lostRun()];
    await engine.producer.waitFor(others, { timeoutMs: 50_000 });
    expect(await Promise.all(others.map(status))).toEqual(['completed', 'completed']);
    expect(await status(stuck)).toBe('blocked');
    await engine.store.admin.query(`UPDATE ops.open_runs SET actor = 'test' WHERE id = $1`, [stuck]);
    await engine.producer.waitFor([stuck], { timeoutMs: 50_000 });
    expect(await status(stuck)).toBe('completed');
  });
});
