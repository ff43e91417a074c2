import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type TestEngine, testEngine, until } from './testing/index.ts';
import { createGate, type Gate, makeTinyTables, tinyTask } from './testing/tiny.ts';

// SPEC 2: of every ten runs that a queue starts, one is the longest-waiting past its bound, whatever flood of CRITICAL there is. No clock is
// looked at: runs are made old in the database, and the order of the starts is read from the effects of the one slot.

let gate: Gate;
const flood = tinyTask('flood', {
  async run(ctx, input) {
    if (input.hold) await gate.pass();
    await ctx.transaction(({ client }) =>
      client.query('INSERT INTO tiny.effects (run_id, note) VALUES ($1, $2)', [ctx.runId, input.note]),
    );
    return null;
  },
});

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ jobs: [flood], slots: { short: 1, long: 1 } });
  await makeTinyTables(engine.store);
  await engine.store.addTenant('tiny', 'loud');
  await engine.store.addTenant('tiny', 'quiet');
});
afterAll(() => engine.close());
beforeEach(async () => {
  gate = createGate();
  await engine.store.admin.query('TRUNCATE tiny.effects RESTART IDENTITY');
});

async function accept(n: number, priority: 'CRITICAL' | 'LOW', tenant: string, hold = false): Promise<string[]> {
  const accepted = await Promise.all(
    Array.from({ length: n }, () =>
      engine.producer.accept({ job: flood.name, tenant, priority, input: { note: priority, hold } }, 'test'),
    ),
  );
  return accepted.map(({ id }) => id).sort();
}

/** Past the bound of LOW (15 min), the first the longest. */
const makeOld = (ids: readonly string[]) =>
  engine.store.admin.query(
    `UPDATE ops.open_runs o SET due_at = clock_timestamp() - interval '2 h' + make_interval(mins => g.n::integer)
     FROM unnest($1::uuid[]) WITH ORDINALITY AS g(id, n) WHERE o.id = g.id`,
    [ids],
  );

async function effects(): Promise<{ run_id: string; note: string }[]> {
  return (await engine.store.admin.query('SELECT run_id, note FROM tiny.effects ORDER BY seq')).rows;
}

const FLOOD = 60;

test('of every ten started one has waited past its bound, the longest first', async () => {
  const [holder] = await accept(1, 'CRITICAL', 'loud', true);
  await gate.reached;
  const old = await accept(4, 'LOW', 'quiet');
  await makeOld(old);
  const critical = await accept(FLOOD, 'CRITICAL', 'loud');
  gate.open();
  await engine.producer.waitFor([holder ?? '', ...old, ...critical], { timeoutMs: 55_000 });
  const order = await effects();
  const late = order.flatMap(({ note }, i) => (note === 'LOW' ? [i] : []));
  expect(order.filter(({ note }) => note === 'LOW').map((one) => one.run_id)).toEqual(old);
  // Turns are counted at the hand-over: with one run in hand and one in Redis, a start may be two away from its turn.
  expect(late).toHaveLength(4);
  late.forEach((at, i) => {
    expect(at - (late[i - 1] ?? 0)).toBeLessThanOrEqual(12);
  });
  // And no more than the tenth: a fresh CRITICAL does not wait behind a backlog.
  expect((late[3] ?? 0) - (late[0] ?? 0)).toBeGreaterThanOrEqual(3 * 10 - 2 * 2);
});

test('also when it was handed to Redis before the flood', async () => {
  const [holder] = await accept(1, 'CRITICAL', 'loud', true);
  await gate.reached;
  const [low] = await accept(1, 'LOW', 'quiet');
  await until('the run in Redis', async () => {
    const { rows } = await engine.store.admin.query(
      `SELECT 1 FROM ops.run_view WHERE id = $1 AND status = 'dispatched'`,
      [low],
    );
    return rows.length === 1;
  });
  await makeOld([low ?? '']);
  const critical = await accept(FLOOD, 'CRITICAL', 'loud');
  gate.open();
  await engine.producer.waitFor([holder ?? '', low ?? '', ...critical], { timeoutMs: 55_000 });
  const at = (await effects()).findIndex(({ note }) => note === 'LOW');
  expect(at).toBeGreaterThanOrEqual(0);
  expect(at).toBeLessThanOrEqual(12);
});
