import type { Verdict } from '../outcome.ts';
import { isSealed, MASK, type PersonalValues } from './sealed-input.ts';

/** Shorter values (a digit, an initial) would tear messages apart and say nothing about anybody. */
const LEAST_LETTERS = 3;

const NOT_KEPT = 'Not kept: the run has personal input, and what was said of it might show some.';

/** An error's message for the record of a run, without the values of its personal input. */
export function maskedMessage(
  run: { readonly id: string; readonly input: unknown },
  values: PersonalValues,
  message: string,
): string {
  if (!isSealed(run.input)) return message;
  const personal = values.get(run.id);
  if (personal === undefined) return NOT_KEPT;
  // The longest first: a part of it may be a value as well.
  return personal
    .filter((value) => value.length >= LEAST_LETTERS)
    .sort((a, b) => b.length - a.length)
    .reduce((text, value) => text.replaceAll(value, MASK), message);
}

/** The verdict with its message masked. */
export function maskedVerdict(
  run: { readonly id: string; readonly input: unknown },
  values: PersonalValues,
  verdict: Verdict,
): Verdict {
  return 'errorMessage' in verdict && verdict.errorMessage !== null
    ? ({ ...verdict, errorMessage: maskedMessage(run, values, verdict.errorMessage) } as Verdict)
    : verdict;
}
