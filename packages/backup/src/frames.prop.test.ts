import { createSecretKey, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createOpener, createSealer, FRAME_BYTES } from './frames.ts';

const key = createSecretKey(randomBytes(32));
const header = Buffer.from('one backup');
const SEALED = FRAME_BYTES + 16;

async function through(chunks: readonly Buffer[], transform: ReturnType<typeof createSealer>): Promise<Buffer> {
  const out: Buffer[] = [];
  await pipeline(Readable.from(chunks), transform, async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) out.push(chunk);
  });
  return Buffer.concat(out);
}
const seal = (chunks: readonly Buffer[]) => through(chunks, createSealer(key, header));
const open = (chunks: readonly Buffer[], other = header) => through(chunks, createOpener(key, other));

test('what went in comes out, however both sides are cut into chunks', async () => {
  const sizes = [0, 1, 15, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, 2 * FRAME_BYTES + 77];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...sizes),
      fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 1, maxLength: 6 }),
      async (size, cuts) => {
        const plain = randomBytes(size);
        const sealed = await seal(cut(plain, cuts));
        expect(sealed.length).toBe(size + 16 * Math.max(1, Math.ceil(size / FRAME_BYTES)));
        expect((await open(cut(sealed, cuts))).equals(plain)).toBe(true);
      },
    ),
    { numRuns: 25 },
  );
});

test.each<[string, (sealed: Buffer) => Buffer]>([
  ['the last frame is missing', (sealed) => sealed.subarray(0, 2 * SEALED)],
  ['all is missing', () => Buffer.alloc(0)],
  ['two frames are swapped', (sealed) => Buffer.concat([sealed.subarray(SEALED, 2 * SEALED), sealed.subarray(0, SEALED), sealed.subarray(2 * SEALED)])],
  ['a frame stands twice', (sealed) => Buffer.concat([sealed.subarray(0, SEALED), sealed])],
  ['a frame is left out', (sealed) => Buffer.concat([sealed.subarray(0, SEALED), sealed.subarray(2 * SEALED)])],
  ['a bit is another', (sealed) => { const other = Buffer.from(sealed); other[SEALED + 5] = (other[SEALED + 5] ?? 0) ^ 4; return other; }],
])('it does not open when %s', async (_name, change) => {
  const sealed = await seal([randomBytes(2 * FRAME_BYTES + 10)]);
  await expect(open([change(sealed)])).rejects.toThrow(/was changed, moved or cut off/);
}); // biome-ignore format: one change a line

test('it does not open as another backup', async () => {
  await expect(open([await seal([Buffer.from('x')])], Buffer.from('another'))).rejects.toThrow(/changed, moved/);
});

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}
