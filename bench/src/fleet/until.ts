import { until as untilWithin } from '@nightshift/engine/testing';

/** A fleet shares two cores with whatever else is tested: only what never comes is to be given up. */
const PATIENCE_MS = 150_000;

/** Resolves with the first value of `look` that is neither null, undefined nor false. Errors: naming what was waited for. */
export function until<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  return untilWithin(what, look, timeoutMs);
}
