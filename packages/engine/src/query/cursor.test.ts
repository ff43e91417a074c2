import { expect, test } from 'vitest';
import { InvalidInputError } from '../errors.ts';
import { newId } from '../id.ts';
import { decodeCursor, encodeCursor, INSTANT_PART, NUMBER_PART, TEXT_PART, toPage, UUID_PART } from './cursor.ts';
import { uuid7Floor } from './runs.ts';

test('a cursor comes back as it went', () => {
  const key = ['2026-11-21 23:05:08.123456+00', '42'];
  expect(decodeCursor(encodeCursor(key), [INSTANT_PART, NUMBER_PART])).toEqual(key);
  expect(decodeCursor(encodeCursor(["o'clock / ünïcode"]), [TEXT_PART])).toEqual(["o'clock / ünïcode"]);
});

test.each([
  ['noise', 'abc'],
  ['nothing', ''],
  ['another list’s', encodeCursor(['1', '2'])],
  ['no text', Buffer.from('[1]').toString('base64url')],
  ['SQL', encodeCursor(["x' OR 1=1--"])],
  ['no list', Buffer.from('{"0":"x"}').toString('base64url')],
])('%s is refused as a cursor', (_name, cursor) => {
  expect(() => decodeCursor(cursor, [UUID_PART])).toThrow(InvalidInputError);
});

test('the row after the page tells that there is a next one, and is not shown', () => {
  const key = (row: string) => [row];
  expect(toPage(['a', 'b', 'c'], 2, String, key)).toEqual({ items: ['a', 'b'], nextCursor: encodeCursor(['b']) });
  expect(toPage(['a', 'b'], 2, String, key)).toEqual({ items: ['a', 'b'], nextCursor: null });
  expect(toPage([], 2, String, key)).toEqual({ items: [], nextCursor: null });
});

test('ids made at a time are not below its floor, and earlier ones are', () => {
  const id = newId();
  // The first 48 bits of a UUID v7 are its milliseconds (RFC 9562).
  const at = Number.parseInt(id.replace('-', '').slice(0, 12), 16);
  expect(id >= uuid7Floor(new Date(at))).toBe(true);
  expect(id < uuid7Floor(new Date(at + 1))).toBe(true);
});
