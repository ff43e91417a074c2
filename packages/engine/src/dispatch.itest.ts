import { randomUUID } from 'node:crypto';
import { createPool, type Pool } from '@nightshift/db';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPass } from './dispatch.ts';
import {
  add,
  closeStore,
  drain,
  finish,
  inTurn,
  openStore,
  ops,
  ownQueue,
  passes,
  queue,
  states,
  store,
  worker,
} from './testing/passes.ts';

// The pass alone, without BullMQ: what it takes, in which order, and what it leaves.

beforeAll(openStore);
afterAll(closeStore);
beforeEach(ownQueue);

async function pause(kind: 'queue' | 'job' | 'tenant', key: string): Promise<() => Promise<unknown>> {
  await store.admin.query(`INSERT INTO ops.pauses (kind, key, paused_by) VALUES ($1, $2, 'test')`, [kind, key]);
  return () => store.admin.query('DELETE FROM ops.pauses WHERE kind = $1 AND key = $2', [kind, key]);
}

/** What Postgres did to `ops.open_runs` while `work` used the one connection that it is given. */
async function counted(work: (one: Pool) => Promise<unknown>): Promise<Record<'rows_read' | 'updates', number>> {
  const one = createPool({ url: store.databaseUrl, role: 'ns_ops', max: 1, name: 'test' });
  const look = async () => {
    const { rows } = await store.admin.query(
      `SELECT seq_tup_read AS rows_read, n_tup_upd AS updates FROM pg_stat_user_tables WHERE relid = 'ops.open_runs'::regclass`,
    );
    return rows[0];
  };
  const before = await look();
  try {
    await work(one);
    await one.query('SELECT pg_stat_force_next_flush()');
    await one.query('SELECT 1');
  } finally {
    await one.end();
  }
  const after = await look();
  return { rows_read: after.rows_read - before.rows_read, updates: after.updates - before.updates };
}

describe('a pass', () => {
  it('writes nothing to the rows of what it takes', async () => {
    await worker(4);
    await add({ n: 300 });
    const made = await counted((one) =>
      createPass({ ops: one, kindOf: () => 'short', msPerRun: () => undefined })(queue),
    );
    expect(made.updates).toBe(0);
    expect(await states()).toEqual({ dispatched: 300 });
  });

  it('whose statements were planned while nothing waited does not read the whole backlog later', async () => {
    await worker(4);
    const made = await counted(async (one) => {
      const pass = createPass({ ops: one, kindOf: () => 'short', msPerRun: () => undefined });
      for (let i = 0; i < 8; i++) {
        await add();
        expect((await pass(queue))?.dispatches).toHaveLength(1);
      }
      for (let i = 0; i < 10; i++) await add({ n: 1_000 });
      expect((await pass(queue))?.dispatches.flatMap((dispatch) => dispatch.runs)).toHaveLength(16 * 200 - 8 * 200);
    });
    expect(made.rows_read).toBeLessThan(1_000);
  });

  it('takes runs singly while there are idle slots, the oldest first', async () => {
    await worker(3);
    const tenant = randomUUID();
    const ids = await add({ tenant, n: 3 });
    const made = await passes()();
    expect(made.dispatches.map((dispatch) => dispatch.runs)).toEqual(ids.map((id) => [id]));
    expect(made.dispatches[0]).toMatchObject({ job: 'x', tenantIds: [tenant], priority: 3, timeoutMs: 1_000 });
    expect(await states()).toEqual({ dispatched: 3 });
  });

  it('puts together what would only wait for a slot', async () => {
    await worker(2);
    const tenant = randomUUID();
    await add({ tenant, n: 2 });
    const pass = passes();
    await pass();
    const ids = await add({ tenant, n: 5 });
    expect((await pass()).dispatches.map((dispatch) => dispatch.runs)).toEqual([ids]);
  });

  it('keeps its window of four dispatches a slot, however deep the backlog', async () => {
    await worker(3);
    await add({ n: 5_000 });
    const pass = passes();
    const first = await pass();
    expect(first.dispatches).toHaveLength(12);
    expect(Math.max(...first.dispatches.map((dispatch) => dispatch.runs.length))).toBe(200);
    expect((await pass()).dispatches).toHaveLength(0);
    await finish(first.dispatches.slice(0, 1));
    expect((await pass()).dispatches).toHaveLength(1);
  });

  it('keeps two dispatches a slot of a fleet there, and says so', async () => {
    await worker(3);
    const pass = passes();
    await add({ n: 9_000 });
    expect(await pass()).toMatchObject({ dispatches: { length: 12 }, window: 4 });
    await worker(9);
    expect(await pass()).toMatchObject({ dispatches: { length: 12 }, window: 2, again: false });
  });

  it('takes sixteen at once, and says that there is room for more', async () => {
    await worker(5);
    await add({ n: 5_000 });
    const pass = passes();
    expect(await pass()).toMatchObject({ dispatches: { length: 16 }, again: true });
    expect(await pass()).toMatchObject({ dispatches: { length: 4 }, again: false });
  });

  it('gives a long run a dispatch of its own, and no more of them than slots', async () => {
    await worker(3);
    await add({ n: 50 });
    const made = await passes({ kindOf: () => 'long' })();
    expect(made.dispatches.map((dispatch) => dispatch.runs.length)).toEqual([1, 1, 1]);
  });

  it('leaves no slot of long runs free while one waits', async () => {
    await worker(4);
    const [many, one] = [randomUUID(), randomUUID()];
    await add({ tenant: many, n: 10 });
    await add({ tenant: one });
    expect((await passes({ kindOf: () => 'long' })()).dispatches).toHaveLength(4);
  });

  it('never makes a bundle longer than its time', async () => {
    await worker(1);
    await add({ n: 500 });
    const made = await passes({ msPerRun: () => 50 })();
    expect(made.dispatches.map((dispatch) => dispatch.runs.length)).toEqual([5, 5, 5, 5]);
  });

  it('sends alone what failed before', async () => {
    await worker(1);
    const tenant = randomUUID();
    const [failed] = await add({ tenant, attempt: 2, ageSeconds: 60 });
    await add({ tenant, n: 300 });
    const made = await passes()();
    expect(made.dispatches.map((dispatch) => dispatch.runs)).toContainEqual([failed]);
  });

  it('takes nothing without a live worker', async () => {
    await add();
    expect((await passes()()).dispatches).toHaveLength(0);
    await worker(4, { x: 1 }, 60);
    expect((await passes()()).dispatches).toHaveLength(0);
    expect(await states()).toEqual({ queued: 1 });
  });

  it('takes every run once, while another process makes passes too', async () => {
    await worker(20);
    const ids = await add({ n: 500 });
    const two = [
      createPass({ ops, kindOf: () => 'short', msPerRun: () => 50 }),
      createPass({ ops, kindOf: () => 'short', msPerRun: () => 50 }),
    ];
    const taken: string[] = [];
    for (let left = true; left; ) {
      const made = await Promise.all(two.map((pass) => pass(queue)));
      for (const each of made) {
        taken.push(...(each?.dispatches.flatMap((dispatch) => dispatch.runs) ?? []));
        if (each !== null) await finish(each.dispatches);
      }
      left = 'queued' in (await states());
    }
    expect(taken.sort()).toEqual([...ids].sort());
  });
});

describe('order', () => {
  it('is that of the priorities', async () => {
    await worker(1);
    for (const priority of [4, 2, 3, 1]) await add({ priority, n: 3 });
    const order = (await drain(passes({ kindOf: () => 'long' }))).map((dispatch) => dispatch.priority);
    expect(order).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
  });

  it('gives an urgent run its own window beside a full one', async () => {
    await worker(1);
    await add({ priority: 3, n: 1_000 });
    const pass = passes();
    await pass();
    const [urgent] = await add({ priority: 1 });
    expect((await pass()).dispatches.map((dispatch) => dispatch.runs)).toEqual([[urgent]]);
  });

  it('gives tenants turns: three hundred runs of one do not delay another’s one', async () => {
    await worker(1);
    const [flood, other] = [randomUUID(), randomUUID()];
    await add({ tenant: flood, n: 300, ageSeconds: 10 });
    await add({ tenant: other });
    const order = (await drain(passes({ msPerRun: () => 250 }), 20)).flatMap((dispatch) => dispatch.tenantIds);
    expect(order.indexOf(other)).toBeLessThan(2);
    expect(order.length).toBeGreaterThan(10);
  });

  it('moves the turn on over more tenants than there is room for', async () => {
    await worker(1);
    const tenants = Array.from({ length: 9 }, () => randomUUID());
    for (const tenant of tenants) await add({ tenant, n: 5 });
    const turns = (await drain(passes({ kindOf: () => 'long' }))).flatMap((dispatch) => dispatch.tenantIds);
    for (let round = 0; round < 5; round++) {
      expect(new Set(turns.slice(round * 9, round * 9 + 9)).size).toBe(9);
    }
  });

  it('keeps the turn of tenants who wait, whatever more urgent runs come between', async () => {
    await worker(1);
    const [a, b, urgent] = inTurn(3);
    await add({ tenant: a ?? '', n: 5 });
    await add({ tenant: b ?? '', n: 5 });
    const pass = passes({ kindOf: () => 'long' });
    const turns: string[] = [];
    for (let i = 0; i < 6; i++) {
      const made = await pass();
      turns.push(...made.dispatches.flatMap((dispatch) => dispatch.tenantIds));
      // While the one slot's run goes on, an urgent one comes and is taken beside it.
      await add({ tenant: urgent ?? '', priority: 1 });
      const [beside] = (await pass()).dispatches;
      expect(beside?.tenantIds).toEqual([urgent]);
      await finish([...made.dispatches, ...(beside === undefined ? [] : [beside])]);
    }
    expect(turns).toEqual([a, b, a, b, a, b]);
  });

  it('gives one start in ten to who waited past the bound, while the urgent flood in', async () => {
    await worker(1);
    const late = await add({ priority: 4, n: 3, ageSeconds: 16 * 60 });
    await add({ priority: 4, n: 1 });
    await add({ priority: 1, n: 200 });
    const order = (await drain(passes({ kindOf: () => 'long' }), 40)).map((dispatch) => dispatch.runs[0] ?? '');
    expect(late.map((id) => Math.floor(order.indexOf(id) / 10))).toEqual([0, 1, 2]);
    expect(order.length).toBe(40);
  });

  it('does so under bundles too', async () => {
    await worker(2);
    await add({ priority: 3, n: 50, ageSeconds: 6 * 60 });
    await add({ priority: 1, n: 6_000 });
    const order = await drain(passes(), 5);
    expect(order.filter((dispatch) => dispatch.runs.length === 200).length).toBeGreaterThan(10);
    const first = order.findIndex((dispatch) => dispatch.runs.length === 50);
    expect(first).toBeGreaterThanOrEqual(0);
    expect(first).toBeLessThan(12);
  });

  it('lifts what waits in Redis past its bound', async () => {
    await worker(1);
    await add({ priority: 4, n: 1, ageSeconds: 16 * 60 });
    const pass = passes({ kindOf: () => 'long' });
    const low = await pass();
    await store.admin.query(`UPDATE ops.workers SET slots = jsonb_build_object($1::text, 20) WHERE slots ? $1`, [
      queue,
    ]);
    await add({ priority: 1, n: 100 });
    expect((await pass()).lifts).toEqual(low.dispatches.map((dispatch) => dispatch.id));
  });
});

describe('a pause', () => {
  it.each(['queue', 'job', 'tenant'] as const)(
    'of a %s keeps its runs, and lets them go when it ends',
    async (kind) => {
      await worker(2);
      const tenant = randomUUID();
      await add({ tenant, n: 2 });
      const resume = await pause(kind, { queue, job: 'x', tenant }[kind]);
      const pass = passes();
      expect((await pass()).dispatches).toHaveLength(0);
      expect(await states()).toEqual({ queued: 2 });
      await resume();
      expect((await pass()).dispatches).toHaveLength(2);
    },
  );

  it('of a job or tenants leaves the way free for all others', async () => {
    await worker(1, { x: 1, other: 1 });
    const held = Array.from({ length: 12 }, () => randomUUID());
    for (const tenant of held) await add({ tenant, n: 2, ageSeconds: 30 });
    const free = randomUUID();
    await add({ tenant: free, n: 1, job: 'other' });
    const resume = await pause('job', 'x');
    expect((await drain(passes({ kindOf: () => 'long' }), 30)).flatMap((dispatch) => dispatch.tenantIds)).toEqual([
      free,
    ]);
    await resume();
    const resumes = await Promise.all(held.slice(0, 11).map((tenant) => pause('tenant', tenant)));
    expect((await drain(passes({ kindOf: () => 'long' }), 30)).flatMap((dispatch) => dispatch.tenantIds)).toEqual([
      held[11],
      held[11],
    ]);
    await Promise.all(resumes.map((end) => end()));
  });
});

describe('a pass over a queue that was at rest', () => {
  it('takes all that may go, the most urgent first, and nothing that may not', async () => {
    await worker(8, { x: 1, other: 1 });
    const pass = passes();
    expect(await pass()).toMatchObject({ dispatches: [], more: false });
    const paused = randomUUID();
    const [low] = await add({ priority: 4, ageSeconds: 10 });
    const [urgent] = await add({ priority: 1 });
    await add({ tenant: paused });
    await add({ version: 2 });
    await add({ job: 'unknown' });
    await add({ job: 'other' });
    const ends = [await pause('tenant', paused), await pause('job', 'other')];
    expect((await pass()).dispatches.map((dispatch) => dispatch.runs)).toEqual([[urgent], [low]]);
    expect(await states()).toEqual({ dispatched: 2, queued: 4 });
    for (const end of ends) await end();
    expect((await pass()).dispatches).toHaveLength(2);
  });

  it('gives turns when more came than there is room for', async () => {
    await worker(1);
    const pass = passes();
    await pass();
    const tenants = inTurn(6);
    for (const tenant of tenants) await add({ tenant, n: 2 });
    const first = await pass();
    expect(first).toMatchObject({ more: true });
    await finish(first.dispatches);
    const next = await pass();
    // The two runs of each go together.
    expect([...first.dispatches, ...next.dispatches].flatMap((dispatch) => dispatch.tenantIds)).toEqual(tenants);
  });
});

describe('what no live worker knows', () => {
  it('stays queued, and runs once one does', async () => {
    await worker(2, { x: 1 });
    await add({ job: 'unknown' });
    await add({ version: 2 });
    const pass = passes();
    expect((await pass()).dispatches).toHaveLength(0);
    await worker(2, { x: 2, unknown: 1 });
    expect((await pass()).dispatches).toHaveLength(2);
  });

  it('holds up nobody, not even the same tenant', async () => {
    await worker(1, { x: 1 });
    const tenant = randomUUID();
    await add({ tenant, version: 2, n: 900, ageSeconds: 60 });
    for (let i = 0; i < 8; i++) await add({ job: 'unknown', n: 3 });
    const [known] = await add({ tenant });
    expect((await drain(passes(), 5)).flatMap((dispatch) => dispatch.runs)).toEqual([known]);
  });
});
