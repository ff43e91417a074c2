import { describe, expect, it } from 'vitest';
import { bundleSize, dispatchSize, MAX_BUNDLE, MAX_TENANTS, makeBundles, packBundles, sizesFor } from './bundle.ts';
import type { Candidate } from './dispatch-queries.ts';

describe('bundleSize', () => {
  it.each([
    [1, 16, undefined, 1],
    [16, 16, undefined, 1],
    [17, 16, undefined, 2],
    [1_000_000, 16, undefined, MAX_BUNDLE],
    [1_000, 10, 1, 100],
    [1_000_000, 16, 10, 25],
    [1_000_000, 16, 400, 1],
    [10, 0, 1, 0],
  ])('of a backlog of %i, room for %i and %s ms a run is %i', (backlog, room, ms, size) => {
    expect(bundleSize(backlog, room, ms)).toBe(size);
  });
});

let made = 0;
function candidates(n: number, like: Partial<Candidate> = {}): Candidate[] {
  return Array.from({ length: n }, () => ({
    id: `run ${++made}`,
    tenantId: 'a',
    job: 'tiny.x',
    inputVersion: 1,
    priority: 3,
    attempt: 1,
    crashes: 0,
    dueUs: 0,
    timeoutMs: 1_000,
    ...like,
  }));
}

describe('makeBundles', () => {
  it('keeps job, tenant, input version and timeout apart', () => {
    const runs = [
      ...candidates(2),
      ...candidates(2, { job: 'tiny.y' }),
      ...candidates(2, { tenantId: 'b' }),
      ...candidates(2, { inputVersion: 2 }),
      ...candidates(2, { timeoutMs: 5 }),
    ];
    const bundles = makeBundles(runs, 10, () => 5);
    expect(bundles.map((bundle) => bundle.length)).toEqual([2, 2, 2, 2, 2]);
    for (const bundle of bundles) {
      expect(new Set(bundle.map((run) => `${run.job} ${run.tenantId} ${run.inputVersion} ${run.timeoutMs}`)).size).toBe(
        1,
      );
    }
  });

  it('sends alone what failed or crashed before', () => {
    const [failed, crashed] = [candidates(1, { attempt: 2 }), candidates(1, { crashes: 1 })];
    const bundles = makeBundles([...failed, ...crashed, ...candidates(3)], 10, () => 5);
    expect(bundles.map((bundle) => bundle.length).sort()).toEqual([1, 1, 3]);
    expect(bundles).toContainEqual(failed);
    expect(bundles).toContainEqual(crashed);
  });

  it('lets tenants take turns', () => {
    const runs = [
      ...candidates(300, { tenantId: 'flood' }),
      ...candidates(1, { tenantId: 'b' }),
      ...candidates(1, { tenantId: 'c' }),
    ];
    const turns = makeBundles(runs, 4, () => 10).map((bundle) => bundle[0]?.tenantId);
    expect(turns).toEqual(['flood', 'b', 'c', 'flood']);
  });

  it('makes no more bundles than there is room for', () => {
    expect(makeBundles(candidates(50), 3, () => 2)).toHaveLength(3);
    expect(makeBundles(candidates(50), 0, () => 2)).toHaveLength(0);
  });
});

describe('sizesFor', () => {
  it.each([
    [1, 400, 4],
    [7, 400, 4],
    [8, 800, 2],
    [64, 800, 2],
  ])('%i live slots is dispatches of %i runs, %i of them a slot', (slots, runs, window) => {
    expect(sizesFor(slots)).toEqual({ runs, window });
  });
});

describe('dispatchSize', () => {
  it.each([
    [1_000_000, 1, 0.1, 400],
    [16, 8, 0.1, 2],
    [8, 8, 0.1, 1],
    [1_000_000, 1, 1, 250],
    [1_000_000, 1, 300, 0],
    [1_000_000, 0, 0, 400],
    [1_000_000, 1, undefined, 0],
  ])('of a backlog of %i over %i slots, %s ms a run, at most 400, is %i', (backlog, spread, ms, size) => {
    expect(dispatchSize(backlog, spread, ms, 400)).toBe(size);
  });
});

describe('packBundles', () => {
  const names = (packs: Candidate[][]) => packs.map((runs) => [...new Set(runs.map((run) => run.tenantId))].join(' '));
  const of = (tenantId: string, n: number, like: Partial<Candidate> = {}) => candidates(n, { tenantId, ...like });

  it('puts bundles of several tenants together, in their order, one of each', () => {
    const bundles = [of('a', 3), of('b', 3), of('c', 3), of('a', 3), of('b', 3)];
    const packs = packBundles(bundles, 10, () => 9);
    expect(names(packs)).toEqual(['a b c', 'a b']);
    expect(packs.flat()).toEqual(bundles.flat());
  });

  it('keeps to the size, the number of tenants and the room, and lets nobody overtake', () => {
    expect(names(packBundles([of('a', 5), of('b', 5), of('c', 1)], 10, () => 9))).toEqual(['a', 'b c']);
    expect(names(packBundles([of('a', 5), of('b', 5), of('c', 1)], 1, () => 9))).toEqual(['a']);
    expect(names(packBundles([of('a', 50), of('b', 1)], 10, () => 9))).toEqual(['a', 'b']);
    const many = Array.from({ length: MAX_TENANTS + 1 }, (_, i) => of(`t${i}`, 1));
    expect(packBundles(many, 10, () => 400).map((runs) => runs.length)).toEqual([MAX_TENANTS, 1]);
  });

  it('keeps apart jobs, input versions, timeouts, jobs that share nothing, and what goes alone', () => {
    const bundles = [
      of('a', 1),
      of('b', 1, { job: 'tiny.y' }),
      of('c', 1, { inputVersion: 2 }),
      of('d', 1, { timeoutMs: 5 }),
      of('e', 1, { attempt: 2 }),
      of('f', 1, { crashes: 1 }),
      of('g', 1),
    ];
    expect(names(packBundles(bundles, 10, () => 9))).toEqual(['a g', 'b', 'c', 'd', 'e', 'f']);
    expect(names(packBundles([of('a', 1), of('b', 1)], 10, () => 0))).toEqual(['a', 'b']);
  });
});
