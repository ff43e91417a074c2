import type { Candidate } from './dispatch-queries.ts';

/** Runs of one call of a handler at most. */
export const MAX_BUNDLE = 200;
/** How long a dispatch should take at most. */
export const BUNDLE_MS = 250;
/** Tenants of one dispatch at most. */
export const MAX_TENANTS = 10;
/** Runs of one dispatch at most: for a few slots, and for a fleet. */
export const MAX_DISPATCH = 400;
const MAX_DISPATCH_OF_FLEET = 800;
/** Live slots of a queue from which on a fleet is at work: more than one worker has by default. */
const FLEET = 8;
/** Dispatches of one priority that Redis may hold, a live slot, so that no slot waits for the next pass; of a fleet's half as many, twice as large. */
const WINDOW_PER_SLOT = 4;

/**
 * How a queue's dispatches are cut for so many live slots: runs of one at most, and how many of one priority Redis may hold a slot. A dispatch costs
 * Postgres as much for one run as for many, and it is what a fleet shares; among many slots the next is free as soon, however long each is busy.
 */
export function sizesFor(slots: number): { readonly runs: number; readonly window: number } {
  const fleet = slots >= FLEET;
  return { runs: fleet ? MAX_DISPATCH_OF_FLEET : MAX_DISPATCH, window: fleet ? WINDOW_PER_SLOT / 2 : WINDOW_PER_SLOT };
}

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

/**
 * Runs of a dispatch, `most` at most, of a job whose runs take so long: 0 before that is known, when nobody else's runs should have to wait for them.
 */
export function dispatchSize(backlog: number, spread: number, msPerRun: number | undefined, most: number): number {
  if (msPerRun === undefined) return 0;
  const byTime = msPerRun <= 0 ? most : Math.floor(BUNDLE_MS / msPerRun);
  return Math.min(Math.ceil(backlog / Math.max(1, spread)), most, byTime);
}

/**
 * Puts bundles of several tenants together into dispatches, at most one of each tenant, in their order: a dispatch costs as much for one as for
 * many. At most `room` dispatches. `sizeOf`: runs of a dispatch at most; a larger bundle, and what goes alone, is a dispatch of its own.
 */
export function packBundles(
  bundles: readonly Candidate[][],
  room: number,
  sizeOf: (job: string) => number,
): Candidate[][] {
  const packs: { runs: Candidate[]; tenants: Set<string> }[] = [];
  const open = new Map<string, (typeof packs)[number]>();
  for (const bundle of bundles) {
    const [first] = bundle;
    if (first === undefined) continue;
    const key = `${first.job} ${first.inputVersion} ${first.timeoutMs}`;
    const pack = goesAlone(first) ? undefined : open.get(key);
    const fits =
      pack !== undefined &&
      !pack.tenants.has(first.tenantId) &&
      pack.tenants.size < MAX_TENANTS &&
      pack.runs.length + bundle.length <= sizeOf(first.job);
    if (fits) {
      pack.runs.push(...bundle);
      pack.tenants.add(first.tenantId);
      continue;
    }
    // Nobody behind it goes before it.
    if (packs.length >= room) break;
    const made = { runs: [...bundle], tenants: new Set([first.tenantId]) };
    packs.push(made);
    if (!goesAlone(first)) open.set(key, made);
  }
  return packs.map((pack) => pack.runs);
}
