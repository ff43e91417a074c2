import { inTransaction, type Pool } from '@nightshift/db';
import { StoreUnavailableError } from '../errors.ts';
import { isConnectionError, sqlState } from '../store-errors.ts';

/** Pools of a process that shows what ran: `app` sees one tenant's rows, `ops` all tenants'. */
export interface Pools {
  readonly app: Pool;
  readonly ops: Pool;
}

/** One page of a list; `nextCursor` asks for the next one and is null on the last. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

export interface PageRequest {
  /** 1 to 200. */
  readonly limit: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
}

/** A caller waits 3 s at most for the news that Postgres is away; the rest of them is for the way back. */
const READ_DEADLINE_MS = 2_700;

/** Whether Postgres was not there to answer, or too busy (as opposed to: it answered that the statement is wrong). */
export function isStoreUnavailable(error: unknown): boolean {
  // 53: out of connections or memory; 57014: our own statement timeout.
  return (
    error instanceof StoreUnavailableError || isConnectionError(error) || /^53|^57014$/.test(sqlState(error) ?? '')
  );
}

/**
 * Rows of one statement, seen as this tenant (null: as the platform).
 * Errors: `StoreUnavailableError` when Postgres is away or silent, within 3 s.
 */
export async function read<Row extends object>(
  pools: Pools,
  tenantId: string | null,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const answer =
    tenantId === null
      ? pools.ops.query<Row>(text, [...values])
      : inTransaction(pools.app, [tenantId], (client) => client.query<Row>(text, [...values]));
  return (await withinDeadline(answer)).rows;
}

/** Errors: `StoreUnavailableError` when Postgres is away or silent. */
export async function withinDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StoreUnavailableError(new Error(`no answer within ${READ_DEADLINE_MS} ms`))),
      READ_DEADLINE_MS,
    );
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    if (isStoreUnavailable(error) && !(error instanceof StoreUnavailableError)) throw new StoreUnavailableError(error);
    throw error;
  } finally {
    clearTimeout(timer);
    // The late answer, if it is an error, has been reported above.
    work.catch(() => undefined);
  }
}

/** Collects conditions and their values, numbering the placeholders. */
export class Conditions {
  readonly values: unknown[] = [];
  private readonly terms: string[] = [];

  /** `term` with `?` for each value. */
  add(term: string, ...values: unknown[]): this {
    let i = 0;
    this.terms.push(
      term.replaceAll('?', () => {
        this.values.push(values[i]);
        i += 1;
        return `$${this.values.length}`;
      }),
    );
    return this;
  }

  /** Placeholders for values that stand elsewhere in the statement. */
  bind<const Values extends readonly unknown[]>(...values: Values): { [I in keyof Values]: string } {
    return values.map((value) => `$${this.values.push(value)}`) as { [I in keyof Values]: string };
  }

  get where(): string {
    return this.terms.length === 0 ? '' : `WHERE ${this.terms.join(' AND ')}`;
  }
}
