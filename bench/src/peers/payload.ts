/** What every system is given to carry: about 90 bytes of JSON. */
export interface Payload {
  /** Which job it is; the row that an `update` changes. */
  readonly i: number;
  readonly note: string;
  /** When it was asked for, in `monotonicMs`; only where the latency is measured. */
  readonly at?: number;
}

/**
 * What a job does: nothing, change one row by id, or (systems that hand a batch to their handler) change the rows of the batch in one
 * statement.
 */
export type Work = 'noop' | 'update' | 'update-batch';

const NOTE = 'a benchmark carries words that say little, fifty bytes';

export function payload(i: number, at?: number): Payload {
  return at === undefined ? { i, note: NOTE } : { i, note: NOTE, at };
}

/** Milliseconds of a clock that all processes of this machine share, with fractions. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
