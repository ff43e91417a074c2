/** Why a value cannot be stored as jsonb. */
export type StorageProblem = 'not-json' | 'unstorable-text';

// Postgres stores neither NUL nor half a surrogate pair in jsonb. An even number of backslashes before the `u` is a text about escapes.
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/i;

/** A value as the JSON that Postgres will take, or what stands against it. `undefined` is null. */
export function storableJson(value: unknown): { readonly json: string } | { readonly problem: StorageProblem } {
  try {
    const json = JSON.stringify(value ?? null);
    // The cheap question first: nearly no text has an escape.
    return json.includes('\\u') && UNSTORABLE.test(json) ? { problem: 'unstorable-text' } : { json };
  } catch {
    // A circle, a BigInt, thousands of levels.
    return { problem: 'not-json' };
  }
}
