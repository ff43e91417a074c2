import { inTransaction, type Pool, type PoolClient } from '@nightshift/db';
import { bundleSize, dispatchSize, MAX_BUNDLE, MAX_TENANTS, makeBundles, packBundles, sizesFor } from './bundle.ts';
import {
  type Candidate,
  dispatchedTooLong,
  handOut,
  type NewDispatch,
  oldestInTurn,
  oldestOf,
  type QueueState,
  readQueueState,
  readStateAtRest,
  type Share,
  shareOf,
  type Turn,
  tenantsInTurn,
  waitedTooLong,
} from './dispatch-queries.ts';
import { createFloors } from './floors.ts';
import { newId } from './id.ts';
import { type Budget, readBudget, unlimited } from './limits/budget.ts';
import { pairKey, type QueueLimits } from './limits/limits.ts';
import { beginPass } from './limits/pass-lock.ts';
import { priorityName, WAITING_BOUND_MS } from './priority.ts';

/** Dispatches that a pass makes at most, or one a slot if that is more: what it has found starts, and others get their turn, before it looks for more. */
const PASS_DISPATCHES = 16;
/** Of every ten dispatches, one is of the longest-waiting past their bound (SPEC 2); runs would be counted by whole bundles, and miss the tens. */
const OUT_OF_TURN = 10;

export interface PassDeps {
  readonly ops: Pool;
  /** Short queues bundle; a long run is a dispatch of its own. */
  readonly kindOf: (queue: string) => 'short' | 'long';
  /** Measured time of a run of this job, ms. */
  readonly msPerRun: (job: string) => number | undefined;
  /** True when bundles of several tenants may go into one dispatch of this job; absent: never. */
  readonly mayShare?: (job: string) => boolean;
  /** Limits that concern the queue; null or absent: none does. */
  readonly limits?: (queue: string) => Promise<QueueLimits | null>;
}

/** What a pass committed. */
export interface Pass {
  readonly dispatches: readonly NewDispatch[];
  /** Dispatches that wait in Redis past their bound and are to start next. */
  readonly lifts: readonly string[];
  /** True when queued runs are left that wait for room. */
  readonly more: boolean;
  /** True when the next pass is to follow at once: limits stopped this one short of what others wait for. */
  readonly again: boolean;
  /** Dispatches of one priority that Redis may hold, a live slot. */
  readonly window: number;
}

const NOTHING: Pass = { dispatches: [], lifts: [], more: false, again: false, window: 1 };

interface Taken {
  /** Runs of each. */
  readonly dispatches: Candidate[][];
  readonly lifts: readonly string[];
  readonly more: boolean;
  /** True when there was room for more than a pass takes. */
  readonly cut: boolean;
  readonly cursor: string | null;
}

/** What a pass knows when it gives turns to who has waited past the bound. */
interface OutOfTurn {
  readonly urgent: number;
  readonly bounds: ReadonlyMap<number, number>;
  readonly budget: Budget;
  /** Runs and dispatches that had a turn in this pass. */
  readonly used: ReadonlySet<string>;
  readonly lifts: readonly string[];
  readonly turns: number;
}

/**
 * Makes passes: one at a time per queue over all processes, so that windows and turns are exact. Null: another process is at it. `onItsWay` is called with
 * the dispatches before they are committed, so that BullMQ can be told meanwhile: nobody can claim them before (`lookForHandedOut`), and if the commit
 * fails there is nothing to claim. Not under a backlog, where slots would come for them and wait.
 */
export function createPass(
  deps: PassDeps,
): (queue: string, onItsWay?: (dispatches: readonly NewDispatch[]) => unknown) => Promise<Pass | null> {
  const floors = createFloors();
  const lifted = new Set<string>();
  /** Queues of which another process made the last pass. */
  const behind = new Set<string>();
  /** Queues of which the last pass left nothing: all that waits there is read with the state, in one round trip. */
  const calm = new Set<string>();
  /** Tenants that went into one dispatch of a queue and priority lately: for so many the next pass looks. */
  const together = new Map<string, number>();

  /** Dispatches of one priority that Redis may hold, a live slot. */
  function windowOf(queue: string, { slots }: QueueState): number {
    return deps.kindOf(queue) === 'long' ? 1 : sizesFor(slots).window;
  }

  /** What a pass with room for so many dispatches, of so many runs at most, looks at. */
  function shareFor(queue: string, priority: number, room: number, size: number): Share {
    if (deps.kindOf(queue) === 'long') {
      const most = room * (room + 1);
      return { tenants: room, runs: most, most, bundle: room + 1 };
    }
    const tenants = together.get(`${queue} ${priority}`) ?? 1;
    const runs = room * (tenants > 1 ? size : MAX_BUNDLE);
    return { tenants: room * tenants, runs, most: room * MAX_BUNDLE, bundle: MAX_BUNDLE };
  }

  /** Bundles in their order as dispatches: under a backlog those of several tenants together, where the job may share. */
  function pack(
    queue: string,
    priority: number,
    bundles: readonly Candidate[][],
    { room, spread, size }: { room: number; spread: number; size: number },
  ) {
    if (deps.kindOf(queue) === 'long') return bundles.slice(0, room);
    const backlog = bundles.reduce((sum, bundle) => sum + bundle.length, 0);
    const packs = packBundles(bundles, room, (job) =>
      deps.mayShare?.(job) === true ? dispatchSize(backlog, spread, deps.msPerRun(job), size) : 0,
    );
    const tenants = packs.reduce((sum, runs) => sum + new Set(runs.map((run) => run.tenantId)).size, 0);
    if (packs.length > 0)
      together.set(`${queue} ${priority}`, Math.min(MAX_TENANTS, Math.ceil(tenants / packs.length)));
    return packs;
  }

  async function take(client: PoolClient, queue: string, state: QueueState, budget: Budget): Promise<Taken> {
    const { readable } = budget;
    const long = deps.kindOf(queue) === 'long';
    const window = Math.max(1, state.slots * windowOf(queue, state));
    const { runs: size } = sizesFor(state.slots);
    const dispatches: Candidate[][] = [];
    const lifts: string[] = [];
    const bounds = boundsOf(state);
    const [urgent] = state.waiting;
    const most = Math.max(PASS_DISPATCHES, state.slots);
    // Runs that would only wait in Redis for a slot go together instead: a dispatch costs as much for one as for many.
    const idle = state.slots - Object.values(state.inHand).reduce((sum, n) => sum + n, 0);
    const used = new Set<string>();
    let more = false;
    let cut = false;
    let cursor: string | null = null;
    for (const priority of state.waiting) {
      const free = window - (state.inHand[priority] ?? 0);
      const room = Math.min(free, most - dispatches.length);
      cut ||= room < free;
      if (room <= 0) {
        more = true;
        break;
      }
      const share = shareFor(queue, priority, room, size);
      const turn = {
        cursor: state.tenantCursor,
        // One more than is looked at tells whether anybody is left out.
        limit: share.tenants + 1,
        readable,
        paused: budget.heldTenants,
        held: budget.heldPairs,
      };
      const { found, tenants, each } =
        everyOne(state.all, priority, turn, room) ?? (await look(client, queue, priority, turn, share));
      const inTurn = (places: number) => {
        const candidates = budget.admit(found.filter((run) => !used.has(run.id)));
        const spread = Math.max(1, Math.min(places, idle - dispatches.length));
        const bundles = makeBundles(candidates, share.runs, (job, backlog) =>
          long ? 1 : bundleSize(backlog, spread, deps.msPerRun(job)),
        );
        return { candidates, made: pack(queue, priority, bundles, { room: places, spread, size }) };
      };
      let places = room;
      if (bounds.size > 0 && urgent !== undefined) {
        const gone = dispatches.filter(([run]) => run?.priority === urgent).length;
        const turns = Math.min(
          turnsWithin(
            state.taken + dispatches.length + lifts.length,
            inTurn(room).made.length,
            priority === urgent ? room : most - dispatches.length,
          ),
          window - (state.inHand[urgent] ?? 0) - gone,
        );
        const late = await outOfTurn(client, queue, { urgent, bounds, budget, used, lifts, turns });
        dispatches.push(...late.bundles);
        lifts.push(...late.lifts);
        budget.spend(late.bundles.flat());
        for (const run of late.bundles.flat()) used.add(run.id);
        places = Math.min(priority === urgent ? room - late.bundles.length : room, most - dispatches.length);
      }
      if (tenants === 0) continue;
      const { candidates, made } = inTurn(places);
      const taken = made.flat();
      dispatches.push(...made);
      budget.spend(taken);
      const left = found.length >= each || candidates.length > taken.length;
      floors.set(queue, priority, found, new Set(taken.map((run) => run.id)), left);
      const waiting = left || tenants > share.tenants;
      more ||= waiting;
      // Where nobody was left out the turn stays: it is that of the tenants who wait at a less urgent priority.
      if (waiting) cursor = taken.at(-1)?.tenantId ?? cursor;
      // Less urgent runs wait in Postgres while more urgent ones do: in Redis they could only be overtaken.
      if (waiting) break;
    }
    return { dispatches, lifts, more: more || budget.waits || budget.refused, cut: cut && more, cursor };
  }

  /** What is oldest of the tenants in turn, how many are in turn (one more at most), and the most that one of them could have. */
  async function look(client: PoolClient, queue: string, priority: number, turn: Turn, share: Share) {
    if (!floors.any(queue, priority)) {
      const { found, tenants } = await oldestInTurn(client, queue, priority, turn, share);
      return { found, tenants, each: tenants === 0 ? 0 : shareOf(share, Math.min(tenants, share.tenants)) };
    }
    const inTurn = await tenantsInTurn(client, queue, priority, turn);
    if (inTurn.length === 0) return { found: [], tenants: 0, each: 0 };
    const tenants = inTurn.slice(0, share.tenants);
    const each = shareOf(share, tenants.length);
    const from = tenants.map((id) => floors.of(queue, priority, id));
    const found = await oldestOf(client, queue, priority, tenants, from, each, turn.readable, turn.held);
    return { found, tenants: inTurn.length, each };
  }

  /** So many dispatches for who has waited past the bound: out of Postgres, or already in Redis behind more urgent ones. */
  async function outOfTurn(
    client: PoolClient,
    queue: string,
    { urgent, bounds, budget, used, turns, lifts: before }: OutOfTurn,
  ) {
    if (turns <= 0) return { bundles: [], lifts: [] };
    const lifts = (await dispatchedTooLong(client, queue, bounds, [...lifted, ...before], turns)).slice(0, turns);
    if (lifts.length === turns) return { bundles: [], lifts };
    const found = await waitedTooLong(
      client,
      queue,
      bounds,
      budget.readable,
      budget.heldTenants,
      budget.heldPairs,
      used.size + (turns - lifts.length) * MAX_BUNDLE,
    );
    const candidates = budget.admit(found.filter((run) => !used.has(run.id)));
    const size = (job: string) =>
      deps.kindOf(queue) === 'long' ? 1 : bundleSize(candidates.length, turns, deps.msPerRun(job));
    const bundles = makeBundles(candidates, turns - lifts.length, size);
    return { bundles: bundles.map((bundle) => bundle.map((run) => ({ ...run, priority: urgent }))), lifts };
  }

  async function once(
    queue: string,
    limits: QueueLimits | null,
    onItsWay: (dispatches: readonly NewDispatch[]) => unknown,
  ): Promise<Pass | null> {
    // Read while the lock is asked for: a connection answers in order. Who was not given the lock the last time asks for it alone: four processes
    // that all read the state of one queue would do little else.
    // A dispatch that a crash of Postgres takes back is no loss: its runs are queued again, and its BullMQ job finds nothing to claim.
    // Plans are made once a connection, perhaps while hardly anything waits: then reading the whole table looks cheap, and is not under a backlog.
    // Without jit: what is forbidden counts as so dear that older servers would compile the plan. With memory for the ids that a large fleet has in hand.
    const first = () =>
      `SET LOCAL synchronous_commit = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; ${beginPass(queue)}`;
    return inTransaction(
      deps.ops,
      [],
      async (client, beforeCommit, begun) => {
        const atRest = () => readStateAtRest(client, queue, PASS_DISPATCHES);
        const early = behind.has(queue) ? null : calm.has(queue) ? atRest() : readQueueState(client, queue);
        early?.catch(() => undefined);
        if ((await begun).rows[0]?.ours !== true) {
          behind.add(queue);
          return null;
        }
        behind.delete(queue);
        const state = (await early) ?? (await readQueueState(client, queue));
        if (state.queuePaused || state.slots === 0 || state.waiting.length === 0) return NOTHING;
        const readable = Object.fromEntries(
          Object.entries(state.jobs).filter(([job]) => !state.pausedJobs.includes(job)),
        );
        const budget = limits === null ? unlimited(readable, state) : await readBudget(client, limits, readable, state);
        const { dispatches: taken, lifts, more, cut, cursor } = await take(client, queue, state, budget);
        const dispatches = taken.flatMap((runs): NewDispatch[] => {
          const [first] = runs;
          if (first === undefined) return [];
          return [
            {
              id: newId(),
              queue,
              runs: runs.map((run) => run.id),
              job: first.job,
              tenantIds: [...new Set(runs.map((run) => run.tenantId))],
              timeoutMs: first.timeoutMs,
              priority: first.priority,
            },
          ];
        });
        if (dispatches.length + lifts.length > 0)
          beforeCommit(handOut(client, queue, dispatches, cursor, lifts.length));
        await budget.record(client);
        const again = cut || (budget.refused && dispatches.length > 0);
        if (dispatches.length > 0 && !more) onItsWay(dispatches);
        return { dispatches, lifts, more, again, window: windowOf(queue, state) };
      },
      { first },
    );
  }

  return async function pass(queue, onItsWay = () => undefined) {
    const limits = (await deps.limits?.(queue)) ?? null;
    const made = await once(queue, limits, onItsWay);
    if (lifted.size > 1_000) lifted.clear();
    for (const id of made?.lifts ?? []) lifted.add(id);
    if (made !== null && !made.more) calm.add(queue);
    else calm.delete(queue);
    return made;
  };
}

/** Bounds of the priorities that wait behind a more urgent one. */
function boundsOf(state: QueueState): ReadonlyMap<number, number> {
  const bounds = new Map<number, number>();
  const [urgent] = state.waiting;
  for (const priority of [2, 3, 4]) {
    const bound = WAITING_BOUND_MS[priorityName(priority)];
    const some = state.waiting.includes(priority) || (state.inHand[priority] ?? 0) > 0;
    if (bound !== null && some && urgent !== undefined && priority > urgent) bounds.set(priority, bound);
  }
  return bounds;
}

/** How many of the next dispatches, `places` at most, are a tenth where so many go in their turn: what is not handed out has no tenth. */
function turnsWithin(taken: number, inTurn: number, places: number): number {
  let turns = 0;
  let left = inTurn;
  for (let at = taken; at < taken + places; at++) {
    if (at % OUT_OF_TURN === OUT_OF_TURN - 1) turns++;
    else if (left-- === 0) break;
  }
  return turns;
}

/** What may go of this priority, when all that waits is known and there is room for all of it: then nobody's turn matters. */
function everyOne(all: readonly Candidate[] | null, priority: number, turn: Turn, room: number) {
  const found = all?.filter(
    (run) =>
      run.priority === priority &&
      run.inputVersion <= (turn.readable[run.job] ?? 0) &&
      !turn.paused.includes(run.tenantId) &&
      !turn.held.includes(pairKey(run.job, run.tenantId)),
  );
  if (found === undefined || found.length > room) return null;
  return { found, tenants: new Set(found.map((run) => run.tenantId)).size, each: Number.POSITIVE_INFINITY };
}
