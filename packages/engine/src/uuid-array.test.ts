import { expect, it } from 'vitest';
import { newId } from './id.ts';
import { uuidArray } from './uuid-array.ts';

const ID = '0123ABCD-4567-7890-abcd-ef0123456789';

it('is a head and each id with its length', () => {
  const element = `00000010${ID.replaceAll('-', '').toLowerCase()}`;
  expect(uuidArray([ID, ID]).toString('hex')).toBe(
    `${['00000001', '00000000', '00000b86', '00000002', '00000001'].join('')}${element}${element}`,
  );
  expect(uuidArray(Array.from({ length: 1_000 }, newId))).toHaveLength(20_020);
});

it('may be empty', () => {
  expect(uuidArray([]).readInt32BE(12)).toBe(0);
});

it.each(['', 't', ID.slice(1), `${ID}0`, ID.replace('0', 'x'), ID.replace('-', '00')])(
  'refuses what is no UUID: %j',
  (id) => {
    expect(() => uuidArray([ID, id])).toThrow(TypeError);
    expect(() => uuidArray([id, ID])).toThrow(TypeError);
  },
);
