import { MAX_DISPATCH } from '../bundle.ts';

/** Slots that share a place for a fleet's dispatch, which is as large as two of few slots'. */
const SLOTS_A_PLACE = 2;

/**
 * Runs `work` of a dispatch of so many runs. Of a fleet's large ones a worker executes one for every two of its slots at a time, so many runs as if
 * they were small: each is a transaction of hundreds of rows, and among four workers' sixteen at once Postgres is busier with their waiting for each
 * other (decision 0025). The others wait here, first come first served. Small dispatches pass: nobody who is urgent waits for a large one.
 */
export function createPlaces(slots: number): <T>(runs: number, work: () => Promise<T>) => Promise<T> {
  let free = Math.max(1, Math.floor(slots / SLOTS_A_PLACE));
  const waiting: (() => void)[] = [];
  return async (runs, work) => {
    if (runs <= MAX_DISPATCH) return work();
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
