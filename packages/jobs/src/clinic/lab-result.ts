import type { COMPARATORS, LAB_TESTS, VL_STATUSES } from '@nightshift/db/clinic';
import { addMonths } from './local-days.ts';

type Comparator = (typeof COMPARATORS)[number];
export type VlStatus = (typeof VL_STATUSES)[number];

/** A sample, and its result once there is one. CD4 in cells/mm³, VL in copies/mL. */
export interface LabSample {
  readonly test: (typeof LAB_TESTS)[number];
  readonly drawnOn: string;
  /** Null until the result is there. `TND`: target not detected. */
  readonly comparator: Comparator | null;
  readonly value: number | null;
  /** The lab's limit of detection, where it gives one. */
  readonly assayLimit: number | null;
}

export interface LabResult extends LabSample {
  readonly comparator: Comparator;
}

/** A result that says neither "suppressed" nor "not suppressed": no rule can judge it until somebody corrects it. */
export class UnreadableResultError extends Error {
  override readonly name = 'UnreadableResultError';
  readonly code = 'unreadable-result';
}

/** WHO 2023: suppressed up to and with 1,000 copies/mL. */
const SUPPRESSED_TO = 1_000;
/** What counts as undetectable where the lab names no limit of its own. */
const UNDETECTABLE_BELOW = 50;
const STALE_AFTER_MONTHS = 12;

/**
 * What a viral load says, whatever its age (WHO 2023: undetectable, suppressed, unsuppressed).
 * Errors: `UnreadableResultError` for `>` below or `<` above 1,000, which leave it open.
 */
export function vlLevel({ comparator, value, assayLimit, drawnOn }: LabResult): Exclude<VlStatus, 'stale'> {
  const copies = value ?? 0;
  switch (comparator) {
    case 'TND':
      return 'undetectable';
    case '<':
      if (copies > SUPPRESSED_TO) throw unreadable(comparator, copies, drawnOn);
      return 'undetectable';
    case '>':
      if (copies < SUPPRESSED_TO) throw unreadable(comparator, copies, drawnOn);
      return 'unsuppressed';
    case '=':
      if (copies < (assayLimit ?? UNDETECTABLE_BELOW)) return 'undetectable';
      return copies <= SUPPRESSED_TO ? 'suppressed' : 'unsuppressed';
    default:
      return comparator satisfies never;
  }
}

/** Status of a client's latest viral load today; `stale` once it is older than 12 months. Errors: as `vlLevel`. */
export function vlStatus(latest: LabResult | null, today: string): VlStatus | null {
  if (latest === null) return null;
  return addMonths(latest.drawnOn, STALE_AFTER_MONTHS) < today ? 'stale' : vlLevel(latest);
}

export function isResult(sample: LabSample): sample is LabResult {
  return sample.comparator !== null;
}

/** The one drawn last; of two of a day, the later in the list. */
export function latestOf<Sample extends LabSample>(samples: readonly Sample[]): Sample | null {
  return samples.reduce<Sample | null>(
    (latest, sample) => (latest === null || sample.drawnOn >= latest.drawnOn ? sample : latest),
    null,
  );
}

/** The one drawn first; of two of a day, the earlier in the list. */
export function firstOf<Sample extends LabSample>(samples: readonly Sample[]): Sample | null {
  return samples.reduce<Sample | null>(
    (first, sample) => (first === null || sample.drawnOn < first.drawnOn ? sample : first),
    null,
  );
}

// The value is left out: it is a person's, and errors are read by many.
function unreadable(comparator: '<' | '>', copies: number, drawnOn: string): UnreadableResultError {
  const side = comparator === '>' ? 'below' : 'above';
  return new UnreadableResultError(
    `the viral load drawn on ${drawnOn} is '${comparator}' of a limit ${side} ${SUPPRESSED_TO}${copies === 0 ? ' (zero)' : ''}: it may mean suppressed or not; correct comparator or value`,
  );
}
