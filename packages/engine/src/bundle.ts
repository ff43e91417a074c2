import type { Candidate } from './dispatch-queries.ts';

/** Runs in one dispatch at most, and the time that a bundle should take at most. */
export const MAX_BUNDLE = 200;
export const BUNDLE_MS = 250;

/**
 * Size of the next bundles, over which `spread` of them the backlog is to be spread: 1 while there is an idle slot for every run on its own
 * (latency, and a Bull Board that shows runs), growing with the backlog, never so large that a bundle takes longer than 250 ms.
 */
export function bundleSize(backlog: number, spread: number, msPerRun: number | undefined): number {
  if (spread <= 0) return 0;
  const byTime = msPerRun === undefined || msPerRun <= 0 ? MAX_BUNDLE : Math.max(1, Math.floor(BUNDLE_MS / msPerRun));
  return Math.max(1, Math.min(Math.ceil(backlog / spread), MAX_BUNDLE, byTime));
}

/** A run that failed or crashed before goes alone, so that it cannot take others with it. */
function goesAlone(run: Candidate): boolean {
  return run.attempt > 1 || run.crashes > 0;
}

/**
 * Puts candidates into bundles of one job, tenant, priority, input version and timeout, oldest first, tenants in turn.
 * At most `room` bundles; who finds no room stays queued.
 */
export function makeBundles(
  candidates: readonly Candidate[],
  room: number,
  sizeOf: (job: string, backlog: number) => number,
): Candidate[][] {
  const lanes = new Map<string, Candidate[]>();
  for (const run of candidates) {
    const key = goesAlone(run) ? `alone ${run.id}` : `${run.tenantId} ${run.job} ${run.inputVersion} ${run.timeoutMs}`;
    const lane = lanes.get(key);
    if (lane === undefined) lanes.set(key, [run]);
    else lane.push(run);
  }
  const tenants = new Map<string, Candidate[][]>();
  for (const lane of lanes.values()) {
    const [first] = lane;
    if (first === undefined) continue;
    const size = goesAlone(first) ? 1 : sizeOf(first.job, candidates.length);
    const chunks = tenants.get(first.tenantId) ?? [];
    tenants.set(first.tenantId, chunks);
    for (let i = 0; i < lane.length; i += size) chunks.push(lane.slice(i, i + size));
  }
  const bundles: Candidate[][] = [];
  // One bundle a tenant and round: a tenant with many gets what the others leave.
  for (let round = 0, more = true; more && bundles.length < room; round++) {
    more = false;
    for (const chunks of tenants.values()) {
      const bundle = chunks[round];
      if (bundle === undefined || bundles.length >= room) continue;
      bundles.push(bundle);
      more = true;
    }
  }
  return bundles;
}
