// The process that keeps the machine's memory for the peer benchmark (peers/memory.ts): takes so many MiB, gives them back but for a piece of
// each block, says what it holds, and stays until its parent goes.
import { setTimeout as wait } from 'node:timers/promises';

/** Each is a mapping of its own, as its parent tells malloc: what is given back goes back at once. */
const PIECE_BYTES = 128 * 1024;
const PAGE_BYTES = 4_096;
/** One of so many is held: with what malloc adds to each, one in every block of 2 MiB. */
const HELD_OF = 15;

function take(mib: number): Buffer[] {
  const held: Buffer[] = [];
  const rest: Buffer[] = [];
  for (let i = 0; i < (mib * 2 ** 20) / PIECE_BYTES; i++) {
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    // Memory that nobody has written to is not there yet.
    for (let at = 0; at < PIECE_BYTES; at += PAGE_BYTES) piece[at] = 1;
    (i % HELD_OF === 0 ? held : rest).push(piece);
  }
  return held;
}

const mib = Number(process.argv[2]);
if (!(mib > 0)) throw new RangeError(`MiB to take must be a number above 0, got '${process.argv[2]}'`);
const held = take(mib);
// V8 gives buffers back some time after they were collected.
for (let i = 0; i < 3; i++) {
  globalThis.gc?.();
  await wait(200);
}
process.on('disconnect', () => process.exit(0));
process.send?.(Math.round((held.length * PIECE_BYTES) / 2 ** 20));
