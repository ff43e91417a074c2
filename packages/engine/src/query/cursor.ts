import { InvalidInputError } from '../errors.ts';

/** A cursor is the sort key of the last row shown; opaque to callers so that the key may change. */
export function encodeCursor(key: readonly string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** Errors: `InvalidInputError` for anything that is not a cursor of this list. */
export function decodeCursor(cursor: string, parts: readonly RegExp[]): string[] {
  const key = parse(cursor);
  const fits =
    Array.isArray(key) &&
    key.length === parts.length &&
    key.every((part, i) => typeof part === 'string' && part.length <= 200 && parts[i]?.test(part) === true);
  if (!fits) {
    const detail = 'expected the nextCursor of an earlier page of this list';
    throw new InvalidInputError('The page cannot be found', [{ pointer: '/cursor', code: 'invalid-cursor', detail }]);
  }
  return key as string[];
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}

export const UUID_PART = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const TEXT_PART = /^[^\0]*$/;
export const INSTANT_PART = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00$/;
export const NUMBER_PART = /^\d{1,18}$/;

/** One row more than asked for tells whether there is a next page. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  item: (row: Row) => Item,
  key: (row: Row) => readonly string[],
): { items: Item[]; nextCursor: string | null } {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(item),
    nextCursor: rows.length > limit && last !== undefined ? encodeCursor(key(last)) : null,
  };
}
