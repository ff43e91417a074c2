import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** One call of the system for 256 ids instead of one each. */
const pool = new Uint8Array(4_096);
let next = pool.length;
let last = 0;
let seq = 0;

function random(): Uint8Array {
  if (next === pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  next += 16;
  return pool.subarray(next - 16, next);
}

/** A clock that steps back further than this was wrong before: ids go on from where it stands now, ms. */
const MOST_AHEAD_MS = 86_400_000;

/** Below every id: where a list begins that goes on behind the last one seen. */
export const NO_ID = '00000000-0000-0000-0000-000000000000';

/** A new UUID v7: ordered by time, which is what partitions and "newest first" rest on. */
export function newId(): string {
  const now = Date.now();
  const bytes = random();
  // Within a millisecond, and when the clock steps back, ids still ascend. Each millisecond begins anywhere in the lower half of the 32 bits:
  // processes that all began at 0 would have but 42 bits to tell their ids apart.
  if (now > last || last - now > MOST_AHEAD_MS) {
    last = now;
    seq = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0) >>> 1;
  } else seq += 1;
  return v7({ random: bytes, msecs: last, seq });
}
