import { getHeapSpaceStatistics } from 'node:v8';

/** After the last run has ended its worker has still to tell Redis and whoever waits, ms. */
const REST_AFTER_MS = 5;
/** Less new memory than this is not worth a collection, bytes. */
const WORTH_BYTES = 4 * 1_024 * 1_024;
/** Who has had more runs since it last had nothing in hand is not at rest, but waits between two dispatches of a backlog, which other workers go on with. */
const FEW_RUNS = 100;

/** Told of what the process has in hand. */
export interface Rest {
  /** A dispatch of so many runs. */
  began(runs: number): void;
  ended(): void;
}

/**
 * Collects what is young while nothing is in hand. A worker at rest makes nearly all of its garbage for the runs that do come, so the collection would
 * fall into one of them, and make it 5 ms late (decision 0022). `collect`: `gc` where node runs with `--expose-gc`, as workers do; without it V8 collects
 * when it likes.
 */
export function createRest(
  collect: NodeJS.GCFunction | undefined = globalThis.gc,
  youngBytes: () => number = bytesOfYoung,
): Rest {
  if (collect === undefined) return { began: () => undefined, ended: () => undefined };
  let inHand = 0;
  let sinceRest = 0;
  const timer = setTimeout(() => {
    if (inHand > 0) return;
    const few = sinceRest <= FEW_RUNS;
    sinceRest = 0;
    if (few && youngBytes() >= WORTH_BYTES) collect({ type: 'minor' });
  }, REST_AFTER_MS);
  timer.unref();
  return {
    began(runs) {
      sinceRest += runs;
      inHand += 1;
    },
    ended() {
      inHand -= 1;
      if (inHand === 0) timer.refresh();
    },
  };
}

function bytesOfYoung(): number {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_used_size ?? 0;
}
