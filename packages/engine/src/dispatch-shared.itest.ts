import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Pass } from './dispatch.ts';
import {
  add,
  closeStore,
  drain,
  finish,
  inTurn,
  openStore,
  ownQueue,
  passes,
  store,
  worker,
} from './testing/passes.ts';

beforeAll(openStore);
afterAll(closeStore);
beforeEach(ownQueue);

describe('bundles of several tenants', () => {
  const sharing = (mayShare: (job: string) => boolean = () => true, msPerRun: number | null = 0.1) =>
    passes({ msPerRun: () => msPerRun ?? undefined, mayShare });
  const tenantsOf = (made: Pass) => made.dispatches.map((dispatch) => dispatch.tenantIds.length);
  /** As many tenants with as many runs each, in the order of their turns. */
  async function backlog(tenants: number, n: number): Promise<string[]> {
    const ids = inTurn(tenants);
    for (const tenant of ids) await add({ tenant, n });
    return ids;
  }

  it('share dispatches under a backlog, and each is told whose runs it carries', async () => {
    await worker(1);
    const tenants = await backlog(40, 3);
    const pass = sharing();
    const made = await pass();
    expect(made.dispatches.flatMap((dispatch) => dispatch.tenantIds)).toEqual(tenants.slice(0, 4));
    await finish(made.dispatches);
    // Having seen that they fit, a pass looks at more of them.
    const next = await pass();
    expect(next.dispatches.flatMap((dispatch) => dispatch.tenantIds)).toEqual(tenants.slice(4, 20));
    expect(tenantsOf(next)).toEqual([10, 6]);
    const { rows } = await store.admin.query(
      `SELECT d.tenant_ids AS tenants, count(o.id)::integer AS runs, count(DISTINCT o.tenant_id)::integer AS owners
       FROM ops.dispatches d JOIN ops.open_runs o ON o.id = ANY (d.runs) WHERE d.id = ANY ($1) GROUP BY d.id ORDER BY d.id`,
      [next.dispatches.map((dispatch) => dispatch.id)],
    );
    expect(rows).toEqual([
      { tenants: tenants.slice(4, 14), runs: 30, owners: 10 },
      { tenants: tenants.slice(14, 20), runs: 18, owners: 6 },
    ]);
  });

  it('are all dispatched, each run once, whatever their size', async () => {
    await worker(2);
    const tenants = await backlog(30, 7);
    const big = randomUUID();
    await add({ tenant: big, n: 900 });
    const made = await drain(sharing(), 60);
    const runs = made.flatMap((dispatch) => dispatch.runs);
    expect([runs.length, new Set(runs).size]).toEqual([30 * 7 + 900, 30 * 7 + 900]);
    expect(new Set(made.flatMap((dispatch) => dispatch.tenantIds))).toEqual(new Set([...tenants, big]));
    expect(made.length).toBeLessThan(30);
  });

  it('are more in a dispatch of a fleet, half as many of which wait for a slot', async () => {
    const tenants = await backlog(10, 4_000);
    /** Each refills half of the window; the third looks for as many as the second saw to fit together. */
    async function threePasses() {
      const pass = sharing();
      const first = (await pass()).dispatches;
      await finish(first.slice(8));
      const second = (await pass()).dispatches;
      await finish(second);
      const third = (await pass()).dispatches;
      await finish([...first.slice(0, 8), ...third]);
      return { sizes: third.map((dispatch) => dispatch.runs.length), all: [...first, ...second, ...third] };
    }
    await worker(4);
    const few = await threePasses();
    expect(Math.max(...few.sizes)).toBe(400);
    await worker(4);
    const fleet = await threePasses();
    expect(Math.max(...fleet.sizes)).toBe(800);
    expect(new Set(fleet.all.flatMap((dispatch) => dispatch.tenantIds))).toEqual(new Set(tenants));
    const runs = [...few.all, ...fleet.all].flatMap((dispatch) => dispatch.runs);
    expect(new Set(runs).size).toBe(runs.length);
  });

  it('go each to a slot of its own while slots are idle', async () => {
    await worker(8);
    await backlog(8, 1);
    expect(tenantsOf(await sharing()())).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it.each([
    ['may not share', false, 0.1],
    ['was never measured', true, null],
    ['takes long', true, 200],
  ] as const)('keep to themselves where the job %s', async (_why, mayShare, ms) => {
    await worker(1);
    await backlog(12, 2);
    const made = await sharing(() => mayShare, ms)();
    expect(new Set(tenantsOf(made))).toEqual(new Set([1]));
  });

  it('of tenants who wait behind full dispatches have the next turn', async () => {
    await worker(1);
    const tenants = await backlog(12, 250);
    const pass = sharing();
    const seen: string[] = [];
    for (let i = 0; i < 4; i++) {
      const made = await pass();
      seen.push(...made.dispatches.flatMap((dispatch) => dispatch.tenantIds));
      await finish(made.dispatches);
    }
    expect(seen.slice(0, 12)).toEqual(tenants);
  });
});
