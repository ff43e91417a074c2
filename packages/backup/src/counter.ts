import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';

/** Counts and hashes what passes through. */
export function createCounter() {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    through: new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        bytes += chunk.length;
        done(null, chunk);
      },
    }),
    end: () => ({ bytes, sha256: hash.digest('hex') }),
  };
}
