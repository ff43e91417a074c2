import { inTransaction } from '@nightshift/db';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { RunStateError } from './errors.ts';
import { newId } from './id.ts';
import { findRun, findRuns } from './query/index.ts';
import { endClean } from './record.ts';
import { dispatchByHand } from './testing/dispatch-by-hand.ts';
import { type TestEngine, testEngine } from './testing/index.ts';
import { tinyRequest } from './testing/tiny.ts';

const input = z.strictObject({ n: z.int().optional() });
const echo = tinyRequest('echo', {
  input,
  retry: { retries: 0 },
  handle: async (_ctx, runs) =>
    runs.map(({ input: { n } }) => (n === 13 ? { error: new Error('13') } : { ok: n ?? null })),
});

let engine: TestEngine;
let tenants: readonly [string, string, string];
beforeAll(async () => {
  engine = await testEngine({ jobs: [echo] });
  const [a = '', b = '', c = ''] = await Promise.all(
    ['a', 'b', 'c'].map((slug) => engine.store.addTenant('tiny', slug)),
  );
  tenants = [a, b, c];
});
afterAll(() => engine.close());

const read = async <T extends object>(text: string, values: unknown[] = []): Promise<T[]> =>
  (await engine.store.admin.query<T>(text, values)).rows;

async function ran(inputs: readonly object[], tenant = tenants[0]): Promise<string[]> {
  const accepted = await engine.producer.acceptMany(
    inputs.map((each) => ({ job: echo.name, tenant, input: each })),
    'test',
  );
  const ids = accepted.map(({ id }) => id);
  await engine.producer.waitFor(ids, { timeoutMs: 30_000 });
  return ids;
}

describe('what a dispatch ends clean', () => {
  /** Open runs that nobody executes, in one dispatch. */
  async function dispatched(
    each: readonly { tenant: string; input: object }[],
  ): Promise<{ id: string; runs: string[] }> {
    const runs = each.map(() => newId());
    await engine.store.admin.query(
      `INSERT INTO ops.open_runs (id, tenant_id, job, input_version, queue, priority, state, actor, options, input)
       SELECT id, tenant, 'tiny.nobodys', 1, 'nobodys', 2, 'queued', 'test', '{}', input FROM unnest($1::uuid[], $2::uuid[], $3::jsonb[]) AS g(id, tenant, input)`,
      [runs, each.map(({ tenant }) => tenant), each.map((one) => JSON.stringify(one.input))],
    );
    return { id: await dispatchByHand(engine.store.admin, runs, newId()), runs };
  }

  const end = async (dispatch: { id: string; runs: string[] }, results: Record<string, unknown>) => {
    const bundles = await read<{ tenantId: string; runs: number; durationMs: number }>(
      'SELECT tenant_id AS "tenantId", count(*)::int AS runs, 1 AS "durationMs" FROM ops.open_runs WHERE id = ANY ($1) GROUP BY tenant_id',
      [dispatch.runs],
    );
    return inTransaction(engine.producer.pools.ops, [], (client) =>
      endClean(client, { dispatchId: dispatch.id, job: 'tiny.nobodys', bundles, results }, 'test'),
    );
  };
  const stored = (id: string) =>
    read<{ tenant_id: string; runs: string[] }>('SELECT * FROM ops.payloads WHERE id = $1', [id]);

  it('is one row a tenant; each run has its own part of it, and one with nothing to store has none', async () => {
    const [a, b, c] = tenants;
    const dispatch = await dispatched([
      ...Array.from({ length: 30 }, (_, n) => ({
        tenant: n % 2 === 0 ? a : b,
        input: n === 4 || n === 5 ? {} : { n },
      })),
      { tenant: c, input: {} },
    ]);
    const { runs } = dispatch;
    // Of tenant a alone some answered, one with JSON's null.
    const results = { [runs[0] ?? '']: { ok: 'first' }, [runs[4] ?? '']: 'no input', [runs[8] ?? '']: null };
    await end(dispatch, results);
    const rows = await stored(dispatch.id);
    expect(rows.map((row) => [row.tenant_id, row.runs.length]).sort()).toEqual(
      [
        [a, 15],
        [b, 14],
      ].sort(),
    );
    expect(rows.find((row) => row.tenant_id === b)).toMatchObject({ results: null });
    const seen = await read<{ id: string; input: unknown; result: string | null }>(
      `SELECT r.id, p.input, p.result::text, r.payload_id FROM ops.runs r LEFT JOIN ops.run_payloads p ON p.run_id = r.id WHERE r.id = ANY ($1) ORDER BY r.id`,
      [runs],
    );
    expect(seen).toEqual(
      runs.map((id, n) => {
        const none = n === 5 || n === 30;
        return {
          id,
          input: none ? null : n === 4 ? {} : { n },
          result: id in results ? JSON.stringify(results[id]).replace(':', ': ') : null,
          payload_id: none ? null : dispatch.id,
        };
      }),
    );
    const found = await findRuns(engine.producer.pools, runs, a);
    expect(found.map((run) => run.input)).toEqual(
      runs.flatMap((_, n) => (n % 2 === 0 && n < 30 ? [n === 4 ? {} : { n }] : [])),
    );
  });

  it('is no row where nobody has anything to store', async () => {
    const dispatch = await dispatched([
      { tenant: tenants[0], input: {} },
      { tenant: tenants[1], input: {} },
    ]);
    await end(dispatch, {});
    expect(await stored(dispatch.id)).toEqual([]);
    expect(
      await read('SELECT DISTINCT payload_id, outcome FROM ops.runs WHERE id = ANY ($1)', [dispatch.runs]),
    ).toEqual([{ payload_id: null, outcome: 'completed' }]);
  });
});

it('is a bundle’s where all of it completed, and each run’s own where one failed; both are read alike', async () => {
  for (const numbers of [Array.from({ length: 100 }, (_, n) => 100 + n), Array.from({ length: 40 }, (_, n) => n)]) {
    const ids = await ran(numbers.map((n) => ({ n })));
    const runs = await findRuns(engine.producer.pools, ids, null);
    expect(runs.map((run) => [run.id, run.input, run.result])).toEqual(
      ids.map((id, i) => [id, { n: numbers[i] }, numbers[i] === 13 ? null : numbers[i]]),
    );
  }
  const shared = await read<{ shared: boolean }>(
    'SELECT DISTINCT cardinality(runs) > 1 AS shared FROM ops.payloads ORDER BY 1',
  );
  expect(shared).toEqual([{ shared: false }, { shared: true }]);
  expect(
    await read(
      `SELECT 1 FROM ops.runs r JOIN ops.payloads p ON p.id = r.payload_id AND p.tenant_id = r.tenant_id WHERE r.outcome = 'failed' AND (p.runs <> ARRAY[r.id] OR p.results IS NOT NULL)`,
    ),
  ).toEqual([]);
});

it('is gone with its week: the run is still told, and not done again with an input that it never had', async () => {
  const { admin } = engine.store;
  const [[asked = ''], [bare = '']] = [await ran([{ n: 7 }]), await ran([{}])];
  const retry = (id: string) => engine.producer.retry(id, 'test', null);
  await engine.producer.waitFor([(await retry(asked)).id, (await retry(bare)).id], { timeoutMs: 30_000 });
  const [week] = await read<{ name: string }>(
    `SELECT 'ops.payloads_' || to_char(now() AT TIME ZONE 'UTC', 'IYYY"w"IW') AS name`,
  );
  await admin.query(`DROP TABLE ${week?.name}`);
  expect(await findRun(engine.producer.pools, asked, null)).toMatchObject({
    status: 'completed',
    input: null,
    result: null,
  });
  for (const id of [asked, bare]) {
    await expect(retry(id)).rejects.toThrow(RunStateError);
    await expect(retry(id)).rejects.toThrow('past its retention');
  }
  // A week that is there again tells nothing of what it held before.
  await admin.query('SELECT ops.ensure_partitions()');
  await expect(retry(asked)).rejects.toThrow('past its retention');
  expect((await retry(bare)).joined).toBe(false);
});
