import { expect, it } from 'vitest';
import { createPlaces } from './places.ts';

const LARGE = 800;
const SMALL = 400;

/** Work that ends when it is told, and says whether it has begun. */
function pieceOfWork() {
  let end: (error?: Error) => void = () => undefined;
  const until = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const piece = {
    begun: false,
    end,
    work: async () => {
      piece.begun = true;
      await until;
    },
  };
  return piece;
}

const pieces = (count: number) => Array.from({ length: count }, pieceOfWork);
const begunOf = (all: readonly { begun: boolean }[]) => all.map(({ begun }) => begun);

it('of large dispatches one begins for every two slots, and the others in their order as those end', async () => {
  const inPlace = createPlaces(4);
  const [a, b, c, d] = pieces(4) as [Piece, Piece, Piece, Piece];
  const ended = [a, b, c, d].map(({ work }) => inPlace(LARGE, work));
  expect(begunOf([a, b, c, d])).toEqual([true, true, false, false]);
  b.end();
  await ended[1];
  expect(begunOf([c, d])).toEqual([true, false]);
  a.end();
  await ended[0];
  expect(d.begun).toBe(true);
  c.end();
  d.end();
  await Promise.all(ended);
});

it('small dispatches do not wait for large ones', async () => {
  const inPlace = createPlaces(4);
  const large = pieces(3);
  const small = pieces(2);
  const ended = [...large.map(({ work }) => inPlace(LARGE, work)), ...small.map(({ work }) => inPlace(SMALL, work))];
  expect(begunOf(large)).toEqual([true, true, false]);
  expect(begunOf(small)).toEqual([true, true]);
  for (const { end } of [...large, ...small]) end();
  await Promise.all(ended);
});

it('a large dispatch that fails leaves its place to the next, and its error to its caller', async () => {
  const inPlace = createPlaces(1);
  const [first, second, third] = pieces(3) as [Piece, Piece, Piece];
  const failed = inPlace(LARGE, first.work);
  const after = inPlace(LARGE, second.work);
  first.end(new Error('no store'));
  await expect(failed).rejects.toThrow('no store');
  expect(second.begun).toBe(true);
  second.end();
  await after;
  const last = inPlace(LARGE, third.work);
  expect(third.begun).toBe(true);
  third.end();
  await last;
});

type Piece = ReturnType<typeof pieceOfWork>;
