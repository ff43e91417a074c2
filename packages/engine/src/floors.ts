import type { Candidate } from './dispatch-queries.ts';

/** How long the pass begins behind what it took: longer would hide a run that was put back. */
const FLOOR_MS = 1_000;

/**
 * Where each tenant's scan of a deep backlog begins: at the time at which what was taken last was due. Before it lie the dead index entries of what
 * was taken, which an open snapshot keeps. Only while more is left: at the end of a backlog a run that commits late, with an earlier due time, would not be seen.
 */
export function createFloors() {
  const floors = new Map<string, { dueUs: number; until: number }>();
  const key = (queue: string, priority: number, tenant: string) => `${queue} ${priority} ${tenant}`;
  /** Until when a queue has a floor of this priority. */
  const latest = new Map<string, number>();
  return {
    any: (queue: string, priority: number): boolean => (latest.get(`${queue} ${priority}`) ?? 0) > Date.now(),
    /** µs since 1970. */
    of(queue: string, priority: number, tenant: string): number {
      const known = floors.get(key(queue, priority, tenant));
      return known !== undefined && known.until > Date.now() ? known.dueUs : 0;
    },
    set(queue: string, priority: number, found: readonly Candidate[], taken: ReadonlySet<string>, left: boolean): void {
      const last = new Map<string, Candidate | null>();
      const closed = new Set<string>();
      for (const run of found) {
        if (closed.has(run.tenantId)) continue;
        if (left && taken.has(run.id)) last.set(run.tenantId, run);
        else {
          closed.add(run.tenantId);
          if (!left) last.set(run.tenantId, null);
        }
      }
      const now = Date.now();
      for (const [tenant, run] of last) {
        const at = key(queue, priority, tenant);
        const until = floors.get(at)?.until ?? 0;
        if (run !== null) latest.set(`${queue} ${priority}`, now + FLOOR_MS);
        if (run === null) floors.delete(at);
        else floors.set(at, { dueUs: run.dueUs, until: until > now ? until : now + FLOOR_MS });
      }
      if (floors.size > 10_000) floors.clear();
    },
  };
}
