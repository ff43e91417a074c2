import type { SqlClient } from './define-job.ts';
import { isPassing } from './store-errors.ts';

export interface Halved<Item, Result> {
  readonly done: readonly { readonly items: readonly Item[]; readonly result: Result }[];
  readonly failed: readonly { readonly item: Item; readonly error: unknown }[];
}

/** Undoes what `work` did so far, from within it: its savepoint stays. */
export const UNDO_PART = 'ROLLBACK TO SAVEPOINT part';

/** What its constraints put off to the commit is asked here, and again there: by then nobody could tell whose fault it is. */
const RELEASE_PART =
  'SAVEPOINT asked; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT part';

/**
 * Does `work` on all items inside a savepoint; where it throws an error of the data, on each half, down to the items that fail alone: one
 * bad item among n costs log₂ n more tries. `rethrow` names errors that are not the data's fault: they end the whole batch.
 */
export async function halve<Item, Result>(
  client: SqlClient,
  items: readonly Item[],
  work: (items: readonly Item[]) => Promise<Result>,
  rethrow: (error: unknown) => boolean = isPassing,
): Promise<Halved<Item, Result>> {
  await client.query('SAVEPOINT part');
  try {
    const result = await work(items);
    await client.query(RELEASE_PART);
    return { done: [{ items, result }], failed: [] };
  } catch (error) {
    if (rethrow(error)) throw error;
    await client.query(`${UNDO_PART}; RELEASE SAVEPOINT part`);
    const [first] = items;
    if (items.length === 1 && first !== undefined) return { done: [], failed: [{ item: first, error }] };
    return halves(client, items, work, rethrow);
  }
}

/** `halve`, where it is known that `work` throws for all items together. */
export async function halves<Item, Result>(
  client: SqlClient,
  items: readonly Item[],
  work: (items: readonly Item[]) => Promise<Result>,
  rethrow: (error: unknown) => boolean = isPassing,
): Promise<Halved<Item, Result>> {
  if (items.length === 1) return halve(client, items, work, rethrow);
  const middle = items.length >> 1;
  const left = await halve(client, items.slice(0, middle), work, rethrow);
  const right = await halve(client, items.slice(middle), work, rethrow);
  return { done: [...left.done, ...right.done], failed: [...left.failed, ...right.failed] };
}
