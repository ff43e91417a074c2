import { describe, expect, it } from 'vitest';
import { bundleSize, MAX_BUNDLE, makeBundles } from './bundle.ts';
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
