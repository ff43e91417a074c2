import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';

// The file is a chain of frames, each sealed by AES-256-GCM under a key that no other file has (the STREAM construction: Hoang, Reyhanitabar,
// Rogaway, Vizár 2015). A frame's nonce is its place in the chain and whether it is the last: frames cannot be swapped, repeated, taken
// from another file or left out at the end.

/** Plain bytes of every frame but the last. */
export const FRAME_BYTES = 1024 * 1024;
const TAG_BYTES = 16;
const SEALED_BYTES = FRAME_BYTES + TAG_BYTES;
const LARGEST_INDEX = 2 ** 32 - 1;

function nonce(index: number, last: boolean): Buffer {
  if (index > LARGEST_INDEX)
    throw new RangeError(`a backup has at most ${LARGEST_INDEX + 1} frames of ${FRAME_BYTES} bytes`);
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32BE(index, 7);
  bytes.writeUInt8(last ? 1 : 0, 11);
  return bytes;
}

/** Bytes as they come, out again in pieces of `size` and a last one that is shorter or as long, never empty unless all is. */
class Pieces {
  #parts: Buffer[] = [];
  #length = 0;
  readonly #size: number;
  constructor(size: number) {
    this.#size = size;
  }

  *push(chunk: Buffer): Generator<Buffer> {
    this.#parts.push(chunk);
    this.#length += chunk.length;
    // One piece is kept back: only the end tells which is the last.
    while (this.#length > this.#size) yield this.#take(this.#size);
  }

  rest(): Buffer {
    return this.#take(this.#length);
  }

  #take(size: number): Buffer {
    const all = this.#parts.length === 1 && this.#parts[0] !== undefined ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#parts = all.length > size ? [all.subarray(size)] : [];
    this.#length -= size;
    return all.subarray(0, size);
  }
}

/** Plain bytes in, frames out. `header` is bound to each of them. */
export function createSealer(key: KeyObject, header: Buffer): Transform {
  const pieces = new Pieces(FRAME_BYTES);
  let index = 0;
  const sealed = (plain: Buffer, last: boolean): Buffer => {
    const cipher = createCipheriv('aes-256-gcm', key, nonce(index++, last), { authTagLength: TAG_BYTES });
    cipher.setAAD(header);
    return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  };
  return inFrames(pieces, sealed);
}

/** Frames in, plain bytes out. Errors: `FrameError` at the first frame that does not belong where it stands. */
export function createOpener(key: KeyObject, header: Buffer): Transform {
  const pieces = new Pieces(SEALED_BYTES);
  let index = 0;
  const opened = (frame: Buffer, last: boolean): Buffer => {
    const at = index++;
    if (frame.length < TAG_BYTES) throw new FrameError(at, last);
    const decipher = createDecipheriv('aes-256-gcm', key, nonce(at, last), { authTagLength: TAG_BYTES });
    decipher.setAAD(header);
    decipher.setAuthTag(frame.subarray(frame.length - TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(frame.subarray(0, frame.length - TAG_BYTES)), decipher.final()]);
    } catch {
      throw new FrameError(at, last);
    }
  };
  return inFrames(pieces, opened);
}

export class FrameError extends Error {
  override readonly name = 'FrameError';
  constructor(index: number, last: boolean) {
    super(`frame ${index + 1}${last ? ' (the last)' : ''} was changed, moved or cut off`);
  }
}

function inFrames(pieces: Pieces, turn: (piece: Buffer, last: boolean) => Buffer): Transform {
  const attempt = (done: TransformCallback, work: () => void) => {
    try {
      work();
      done();
    } catch (error) {
      done(error as Error);
    }
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      attempt(done, () => {
        for (const piece of pieces.push(chunk)) this.push(turn(piece, false));
      });
    },
    flush(done) {
      attempt(done, () => this.push(turn(pieces.rest(), true)));
    },
  });
}
