const UUID_OID = 2950;
/** What stands before each element: its length, 16. */
const LENGTH = '00000010';
const ELEMENT_BYTES = 20;
/** Dimensions, no nulls, type, elements, lower bound. */
const HEAD_BYTES = 20;

/**
 * Ids as Postgres' own form of `uuid[]`, for a parameter: half as long as their text, and nothing for it to parse.
 * Errors: `TypeError` when one is no UUID.
 */
export function uuidArray(ids: readonly string[]): Buffer {
  const array = Buffer.alloc(HEAD_BYTES + ids.length * ELEMENT_BYTES);
  array.writeInt32BE(1, 0);
  array.writeInt32BE(UUID_OID, 8);
  array.writeInt32BE(ids.length, 12);
  array.writeInt32BE(1, 16);
  const hex = (LENGTH + ids.join(LENGTH)).replaceAll('-', '');
  // Stops at the first character that is no digit.
  if (
    ids.length > 0 &&
    (array.write(hex, HEAD_BYTES, 'hex') !== hex.length / 2 || hex.length / 2 !== ids.length * ELEMENT_BYTES)
  )
    throw new TypeError('ids must be UUIDs');
  return array;
}
